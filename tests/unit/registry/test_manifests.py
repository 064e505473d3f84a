import json
from typing import Any

import pytest

from modelferry.errors import RegistryError
from modelferry.registry.manifests import (
    IMAGE_TYPES,
    INDEX_TYPES,
    StoredManifest,
    is_index,
    read_image,
    read_index,
)
from modelferry.values import digest_of

D = "sha256:" + "a" * 64
CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": D, "size": 3}
LAYER = {"mediaType": "x", "digest": D, "size": 9, "annotations": {"k": "v"}}
IMAGE = {"schemaVersion": 2, "config": CONFIG, "layers": [LAYER], "annotations": {"b": "2"}}


def stored(content: object, media_type: str = IMAGE_TYPES[0]) -> StoredManifest:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return StoredManifest(media_type=media_type, digest=digest_of(data), data=data)


@pytest.mark.parametrize("media_type", IMAGE_TYPES)
def test_images_of_both_families(media_type: str) -> None:
    image = read_image(stored(IMAGE, media_type))
    assert not is_index(stored(IMAGE, media_type))
    assert (image.config.digest, image.config.size_bytes) == (D, 3)
    assert image.layers[0].annotations == (("k", "v"),)
    assert image.annotations == (("b", "2"),)


@pytest.mark.parametrize("media_type", INDEX_TYPES)
def test_indexes_of_both_families(media_type: str) -> None:
    arm = {**LAYER, "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}}
    index = stored({"schemaVersion": 2, "manifests": [LAYER, arm]}, media_type)
    assert is_index(index)
    assert [entry.platform for entry in read_index(index)] == ["", "linux/arm64/v8"]


def without(path: str, value: Any) -> dict[str, Any]:
    changed: dict[str, Any] = json.loads(json.dumps(IMAGE))
    *parents, last = path.split(".")
    place: Any = changed
    for parent in parents:
        place = place[int(parent)] if isinstance(place, list) else place[parent]
    place[last] = value
    return changed


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<html>", "it is not JSON"),
        ([], "it is not an object"),
        (without("schemaVersion", 1), "schemaVersion is 1"),
        (without("annotations", ["b"]), "annotations is not an object of strings"),
        (without("layers.0.annotations", {"k": 1}), r"layers\[0\].annotations is not an object"),
        (without("config.size", True), "config.size is True"),
        (without("config", None), "config is not an object"),
        (without("config.digest", "md5:1"), "config.digest: 'md5:1' is no digest"),
        (without("config.size", -1), "config.size is -1"),
        (without("layers", {}), "layers is not a list"),
        (without("layers.0.mediaType", None), r"layers\[0\].mediaType is None"),
    ],
)
def test_the_wrong_field_is_named(content: object, told: str) -> None:
    with pytest.raises(RegistryError, match=told):
        read_image(stored(content))
