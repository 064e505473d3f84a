"""Which image of an index is meant."""

from __future__ import annotations

import pytest

from modelferry.artifacts import Descriptor
from modelferry.last_release.read import of_platform
from modelferry.registry.manifests import IndexEntry
from modelferry.values import Digest


def entry(platform: str) -> IndexEntry:
    manifest = Descriptor(media_type="m", digest=Digest(f"sha256:{platform}"), size_bytes=1)
    return IndexEntry(manifest=manifest, platform=platform)


@pytest.mark.parametrize(
    ("there", "platform", "meant"),
    [
        (["linux/amd64", "linux/arm64"], "linux/arm64", "linux/arm64"),
        (["linux/amd64", "linux/arm64/v8"], "linux/arm64", "linux/arm64/v8"),
        (["linux/amd64", "linux/arm64"], "linux/arm64/v8", "linux/arm64"),
        (["linux/arm/v6", "linux/arm/v7"], "linux/arm/v7", "linux/arm/v7"),
        (["linux/arm/v6"], "linux/arm/v7", None),
        (["linux/arm"], "linux/arm64", None),
        (["unknown/unknown", ""], "linux/amd64", None),
        (["", "linux/amd64"], "", None),
    ],
)
def test_the_image_of_a_platform(there: list[str], platform: str, meant: str | None) -> None:
    assert of_platform(map(entry, there), platform) == (meant and f"sha256:{meant}")
