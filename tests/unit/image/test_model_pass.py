"""Several layers on their way to several consumers, all made in memory."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest

from modelferry.errors import Cancelled, ModelChanged, RegistryError
from modelferry.image import model_pass
from modelferry.image.model_pass import (
    ALONE_BYTES,
    BACKLOG_BYTES,
    SIDE_BY_SIDE,
    UPLOADS,
    WINDOW_BYTES,
    ModelPass,
)
from modelferry.image.stream import Stretch
from modelferry.sources.ranges import PART_BYTES
from modelferry.values import Digest
from tests.unit.image.made_storage import CHUNK, Storage

Blob = model_pass.StreamedBlob


class World:
    """As many storages as layers, one reader for all."""

    def __init__(self, *sizes: int) -> None:
        self.storages = [Storage(**{f"f{number}": size}) for number, size in enumerate(sizes)]
        self.views = [storage.view() for storage in self.storages]
        self.windows: list[int] = []
        self.at_work: set[str] = set()
        self.most_at_work = 0
        self.lock = threading.Lock()
        self.hold = threading.Event()
        self.hold.set()

    def reader(self, window_bytes: int) -> Callable[[Iterable[Stretch]], Iterator[memoryview]]:
        def read(stretches: Iterable[Stretch]) -> Iterator[memoryview]:
            with self.lock:
                self.windows.append(window_bytes)
            return self.read(stretches)

        return read

    def read(self, stretches: Iterable[Stretch]) -> Iterator[memoryview]:
        ((file, start, stop),) = stretches
        name = file.image_path.name
        storage = next(each for each in self.storages if name in each.data)
        with self.lock:
            self.at_work.add(name)
            self.most_at_work = max(self.most_at_work, len(self.at_work))
        try:
            self.hold.wait(30)
            yield from storage.read([(file, start, stop)])
        finally:
            with self.lock:
                self.at_work.discard(name)

    def whole(self) -> list[bytes]:
        return [s.whole(v) for s, v in zip(self.storages, self.views, strict=True)]

    def digests(self) -> list[Digest]:
        return [Digest(f"sha256:{hashlib.sha256(data).hexdigest()}") for data in self.whole()]

    def readings(self) -> int:
        return sum(len(storage.readings) for storage in self.storages)


def read_all(blob: Blob) -> bytes:
    steps = range(0, blob.size_bytes, 700)
    return b"".join(blob.read(at, min(at + 700, blob.size_bytes)) for at in steps)


class Registry:
    """Takes blobs; keeps them under the digest that it is told in the end."""

    def __init__(self) -> None:
        self.kept: dict[Digest, bytes] = {}
        self.lock = threading.Lock()

    def upload(self, blob: Blob) -> None:
        data = read_all(blob)
        with self.lock:
            self.kept[blob.digest] = data


class Engine:
    """Takes all layers one after the other, as an archive has them."""

    def __init__(self) -> None:
        self.loaded: list[bytes] = []

    def load(self, blobs: Sequence[Blob]) -> list[Digest]:
        self.loaded = [read_all(blob) for blob in blobs]
        return [blob.digest for blob in blobs]


def running(world: World, **consumers: object) -> ModelPass:
    return ModelPass(world.views, world.reader, **consumers)


def test_every_layer_goes_to_registry_and_engine_in_one_reading() -> None:
    world, registry, engine = World(9_000, 30_000, 0, 4_000), Registry(), Engine()
    passing = running(world, upload=registry.upload, load=engine.load)
    sums = passing.sums()
    assert [each.layer for each in sums] == world.digests()
    assert passing.finish() == world.digests()
    assert engine.loaded == world.whole()
    assert registry.kept == dict(zip(world.digests(), world.whole(), strict=True))
    assert world.readings() == 3  # and none of the empty file
    assert world.most_at_work == 1
    assert passing.ended_s > 0


def test_without_a_load_layers_go_side_by_side_and_share_one_window() -> None:
    world, registry = World(*[20_000] * 9), Registry()
    world.hold.clear()
    passing = running(world, upload=registry.upload)
    deadline = time.monotonic() + 30
    while len(world.at_work) < SIDE_BY_SIDE and time.monotonic() < deadline:
        time.sleep(0.01)
    world.hold.set()
    passing.sums()
    passing.finish()
    assert world.most_at_work == SIDE_BY_SIDE
    assert set(world.windows) == {WINDOW_BYTES // SIDE_BY_SIDE}
    assert WINDOW_BYTES + BACKLOG_BYTES == 64 << 20
    assert len(registry.kept) == 9


@pytest.mark.parametrize("layers", range(1, 6))
def test_several_layers_are_read_by_as_many_connections_as_one(layers: int) -> None:
    world = World(*[3_000] * layers)
    running(world, upload=Registry().upload).finish()
    connections = [window // PART_BYTES for window in world.windows]
    assert sum(connections[:SIDE_BY_SIDE]) == WINDOW_BYTES // PART_BYTES


@pytest.mark.parametrize("load", [False, True])
def test_however_many_layers_there_are_so_many_uploads_wait(load: bool) -> None:
    world, registry, engine = World(*[3_000] * 64), Registry(), Engine()
    world.hold.clear()
    before = threading.active_count()
    passing = running(world, upload=registry.upload, load=engine.load if load else None)
    waiting = threading.active_count() - before
    world.hold.set()
    passing.finish()
    assert waiting <= UPLOADS + SIDE_BY_SIDE
    assert set(registry.kept) == set(world.digests())
    assert world.readings() == 64  # nobody had to read by itself


def test_an_upload_that_starts_again_costs_nobody_else_a_reading() -> None:
    world, registry, engine = World(50_000), Registry(), Engine()

    def stumble(blob: Blob) -> None:
        blob.read(0, 20_000)
        registry.upload(blob)

    passing = running(world, upload=stumble, load=engine.load)
    passing.sums()
    passing.finish()
    assert engine.loaded == world.whole()
    assert list(registry.kept.values()) == world.whole()
    assert world.readings() == 2
    assert world.windows == [WINDOW_BYTES, ALONE_BYTES]


def test_a_registry_that_wants_the_digest_first_gets_it() -> None:
    """One that takes only whole blobs: it reads from the source, once the pass knows the digest."""
    world = World(60_000)
    seen: list[tuple[Digest, bytes]] = []

    def monolithic(blob: Blob) -> None:
        seen.append((blob.digest, read_all(blob)))

    passing = running(world, upload=monolithic)
    passing.finish()
    assert seen == [(world.digests()[0], world.whole()[0])]


def test_an_upload_that_fails_is_told_at_once() -> None:
    world = World(10_000_000)

    def refuse(blob: Blob) -> None:
        blob.read(0, 2 * CHUNK)
        raise RegistryError("no room")

    passing = running(world, upload=refuse)
    with pytest.raises(RegistryError, match="no room"):
        passing.sums()
    passing.abandon()


def test_a_load_that_fails_is_told_at_once() -> None:
    world = World(10_000_000)

    def refuse(blobs: Sequence[Blob]) -> None:
        raise RegistryError("no engine")

    passing = running(world, load=refuse)
    with pytest.raises(RegistryError, match="no engine"):
        passing.finish()
    passing.abandon()


def test_a_source_that_fails_is_told_as_what_it_is() -> None:
    """Not as the failure of whoever read it."""
    world, registry, engine = World(50_000, 50_000), Registry(), Engine()
    world.storages[1].error_at = ("f1", 30_000)
    passing = running(world, upload=registry.upload, load=engine.load)
    with pytest.raises(ModelChanged):
        passing.sums()
    with pytest.raises(ModelChanged):
        passing.finish()
    passing.abandon()
    assert world.digests()[1] not in registry.kept
    assert world.storages[1].open_readings == 0


def test_what_is_abandoned_ends_everywhere() -> None:
    world = World(10_000_000, 10_000_000)
    ended: list[BaseException] = []

    def slow(blob: Blob) -> None:
        try:
            for at in range(0, blob.size_bytes, 100):
                blob.read(at, at + 100)
                time.sleep(0.001)
        except BaseException as error:
            ended.append(error)
            raise

    passing = running(world, upload=slow)
    time.sleep(0.1)
    began = time.monotonic()
    passing.abandon()
    with pytest.raises(Cancelled):
        passing.sums()
    with pytest.raises(Cancelled):
        passing.finish()
    assert time.monotonic() - began < 20
    deadline = time.monotonic() + 30
    while len(ended) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert {type(error) for error in ended} == {Cancelled}


def test_nothing_to_move() -> None:
    engine = Engine()
    passing = ModelPass((), World().reader, load=engine.load)
    assert passing.sums() == ()
    assert passing.finish() == []
    assert ModelPass((), World().reader).finish() is None
