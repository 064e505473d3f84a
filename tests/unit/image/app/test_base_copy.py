import hashlib
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import pytest

from modelferry.artifacts import Descriptor
from modelferry.errors import RegistryError
from modelferry.image.app.base_copy import BaseCopy
from modelferry.image.compose import GZIP_LAYER_TYPE
from modelferry.image.recipe.base import BaseImage
from modelferry.image.released import ReleasedLayer
from modelferry.image.sending import Blob, Sending
from modelferry.values import Digest

BLOBS = (b"lower layer", b"upper layer")


def sha(data: bytes) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")


def layer(data: bytes) -> ReleasedLayer:
    blob = Descriptor(media_type=GZIP_LAYER_TYPE, digest=sha(data), size_bytes=len(data))
    return ReleasedLayer(descriptor=blob, diff_id=sha(b"diff" + data), repository="library/base")


LAYERS = tuple(layer(data) for data in BLOBS)
CONTENTS = {each.descriptor.digest: data for each, data in zip(LAYERS, BLOBS, strict=True)}


def read_range(repository: str, digest: Digest, start: int, stop: int) -> bytes:
    assert repository == "library/base"
    return CONTENTS[digest][start:stop]


BASE = BaseImage(
    diff_ids=tuple(each.diff_id for each in LAYERS), layers=LAYERS, read_range=read_range
)


class World:
    def __init__(self, folder: Path, base: BaseImage | None) -> None:
        self.sending, self.sent = Sending(), dict[Digest, bytes]()
        self.copy = BaseCopy(lambda _: base, lambda _: self.send, folder, self.sending)

    def send(self, blob: Blob, on_sent: Callable[[int], None]) -> None:
        self.sent[blob.digest] = blob.read(0, blob.size_bytes)
        on_sent(blob.size_bytes)

    def arrived(self, known: Collection[Digest] = ()) -> tuple[ReleasedLayer, ...]:
        self.copy.begin(known)
        return self.copy.arrived()


def test_the_layers_are_sent_as_they_are(tmp_path: Path) -> None:
    world = World(tmp_path, BASE)
    assert world.arrived() == LAYERS
    world.sending.finish()
    assert world.sent == CONTENTS
    assert world.sending.sent_bytes == sum(map(len, BLOBS))


def test_what_is_known_stays_where_it_is(tmp_path: Path) -> None:
    world = World(tmp_path, BASE)
    assert world.arrived(known=[LAYERS[0].diff_id]) == LAYERS[1:]


def test_a_layer_that_does_not_come_is_not_counted_on(tmp_path: Path) -> None:
    def read(repository: str, digest: Digest, start: int, stop: int) -> bytes:
        if digest == LAYERS[0].descriptor.digest:
            raise RegistryError("gone")
        return read_range(repository, digest, start, stop)

    assert World(tmp_path, replace(BASE, read_range=read)).arrived() == LAYERS[1:]


def test_a_layer_with_other_bytes_is_not_counted_on(tmp_path: Path) -> None:
    def read(_: str, digest: Digest, start: int, stop: int) -> bytes:
        return CONTENTS[digest][start:stop].swapcase()

    assert World(tmp_path, replace(BASE, read_range=read)).arrived() == ()


def test_where_the_upload_fails_the_layer_is_at_hand_for_the_push(tmp_path: Path) -> None:
    world = World(tmp_path, BASE)

    def send(blob: Blob, _: Callable[[int], None]) -> None:
        blob.read(0, blob.size_bytes)
        raise RegistryError("full")

    world.copy = BaseCopy(lambda _: BASE, lambda _: send, tmp_path, world.sending)
    assert world.arrived() == LAYERS
    digest = LAYERS[0].descriptor.digest
    assert world.copy.read_range(pytest.fail)("library/base", digest, 0, 5) == BLOBS[0][:5]


def test_a_layer_compressed_by_zstd_comes_out_of_the_engine(tmp_path: Path) -> None:
    blob = replace(LAYERS[0].descriptor, media_type=f"{GZIP_LAYER_TYPE[:-4]}zstd")
    base = replace(BASE, layers=(replace(LAYERS[0], descriptor=blob), LAYERS[1]))
    assert World(tmp_path, base).arrived() == LAYERS[1:]


def test_a_base_that_nobody_knows(tmp_path: Path) -> None:
    world = World(tmp_path, None)
    assert world.arrived() == ()
    assert world.copy.found() is None
