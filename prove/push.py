"""One image of one layer, pushed to a registry of the proof's own, whose storage is looked into."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from modelferry.errors import FerryError
from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry
from modelferry.registry.upload import PIECE_BYTES
from modelferry.values import Secret, digest_of
from prove.blob import Bytes
from prove.proof import Outcome, red, right, wrong
from testbed.own_registry import (
    PASSWORD,
    USERNAME,
    OwnRegistry,
    own_registry,
    own_registry_with_tokens,
)

MIB = 1 << 20
LAYER_BYTES = 150 * MIB
PIECE = PIECE_BYTES[0]
REPOSITORY = "prove/image"
_OCI = "application/vnd.oci.image"


@dataclass(kw_only=True)
class Push:
    """One image of one layer, tagged last. `on_sent` is told how much of the layer went out."""

    registry: Registry
    layer: Bytes
    sent_bytes: int = 0
    on_sent: Callable[[int], None] = lambda _: None

    def run(self) -> None:
        self.registry.upload_blob(REPOSITORY, self.layer, self._count)
        config = Bytes(b'{"architecture":"amd64","os":"linux"}')
        self.registry.upload_blob(REPOSITORY, config, lambda _: None)
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": _descriptor(config, f"{_OCI}.config.v1+json"),
            "layers": [_descriptor(self.layer, f"{_OCI}.layer.v1.tar")],
        }
        data = json.dumps(manifest).encode()
        for reference in (digest_of(data), "v1"):
            self.registry.put_manifest(REPOSITORY, reference, data, f"{_OCI}.manifest.v1+json")

    @property
    def resent_bytes(self) -> int:
        return self.sent_bytes - self.layer.size_bytes

    def _count(self, sent: int) -> None:
        self.sent_bytes += sent
        self.on_sent(self.sent_bytes)


def _descriptor(blob: Bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": blob.digest, "size": blob.size_bytes}


def client(host: str) -> Registry:
    access = RegistryAccess(
        host=host, username=USERNAME, password=Secret(PASSWORD), plain_http=True
    )
    return Registry(access, {})


def judged(push: Push, own: OwnRegistry, *, must: str, most_resent_bytes: int) -> Outcome:
    """Runs the push, and looks into the registry's storage for what came of it."""
    error: FerryError | None = None
    try:
        push.run()
    except FerryError as caught:
        error = caught
    stored, tags = own.blob_digest(push.layer.digest), own.tags(REPOSITORY)
    own.forget()
    if stored not in (None, push.layer.digest):
        return wrong(f"other bytes are kept: {stored} under {push.layer.digest}")
    if error is not None:
        if tags:
            return wrong(f"tags {tags} after {error}")
        return red(str(error)) if must == "red" else wrong(f"not {must}: {error}")
    if stored is None or tags != ["v1"]:
        return wrong(f"pushed, and the registry has blob {stored}, tags {tags}")
    if push.resent_bytes > most_resent_bytes:
        return wrong(f"{push.resent_bytes} bytes were sent again, more than {most_resent_bytes}")
    return right(resent_bytes=push.resent_bytes) if must == "right" else wrong("not red")


MakeLayer = Callable[[int], Bytes]


@contextmanager
def registry_and_layers(access_s: int | None = None) -> Iterator[tuple[OwnRegistry, MakeLayer]]:
    """A registry of the proof's own, with tokens that live `access_s` or without; its layers."""
    base = os.urandom(LAYER_BYTES - 8)
    with tempfile.TemporaryDirectory(prefix="modelferry-prove-") as name:
        folder = Path(name)
        opened = (
            own_registry(folder)
            if access_s is None
            else own_registry_with_tokens(folder, access_s=access_s)
        )
        with opened as own:
            yield own, lambda number: Bytes(number.to_bytes(8) + base)
