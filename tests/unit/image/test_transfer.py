"""What is read again for a load, of a model that was released before; the engine is left out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from modelferry.artifacts import ModelFile
from modelferry.image import transfer
from modelferry.image.compose import AppImage, Composition, ModelLayer, compose
from modelferry.image.model_layers import model_layer
from modelferry.image.model_pass import WINDOW_BYTES
from modelferry.image.placement import Placement
from modelferry.image.released import ReleasedLayer, read_layers
from modelferry.image.stream import ReadInOrder, Sums
from modelferry.image.transfer import OnBytes, Transfer
from modelferry.progress import shown_by
from modelferry.values import Digest
from tests.unit.image.made_storage import Storage

SIZE = 9_000


class Meters:
    def __init__(self) -> None:
        self.opened: list[tuple[str, int | None]] = []
        self.counted = 0

    def add(self, count: int) -> None:
        self.counted += count

    @contextmanager
    def show(self, label: str, total_bytes: int | None) -> Iterator[Meters]:
        self.opened.append((label, total_bytes))
        yield self


def image_of(layers: Sequence[ModelLayer]) -> Composition:
    return compose(AppImage(config=b'{"os":"linux"}', layers=()), tuple(layers))


@pytest.mark.parametrize("lacks", [True, False])
def test_a_load_of_an_unchanged_model_has_the_whole_window_and_a_meter(
    monkeypatch: pytest.MonkeyPatch, lacks: bool
) -> None:
    storage, windows, meters = MarkedStorage(model=SIZE), list[int](), Meters()

    def reader(on_read: OnBytes, window_bytes: int) -> ReadInOrder:
        def read(stretches: object) -> Iterator[memoryview]:
            windows.append(window_bytes)
            for body in storage.read(stretches):
                on_read(len(body))
                yield body

        return read

    def load(_: object, streamed: Sequence[object], composed: Callable[[], Composition]) -> None:
        assert not streamed
        (layer,) = composed().layers
        if lacks:
            layer.read(0, layer.descriptor.size_bytes)

    monkeypatch.setattr(transfer, "load_image", load)
    view = storage.view()
    (file,) = view.files
    with shown_by(meters.show):
        moving = Transfer(
            (file.file,),
            {file.path: Placement(path=file.path, folders=view.folders)},
            reader,
            released=(released(storage),),
            load_into=object(),
        )
        layers, _ = moving.layers()
        moving.finish(image_of(layers))
    assert windows == ([WINDOW_BYTES] if lacks else [])
    assert meters.opened == ([("fetch", view.size_bytes)] if lacks else [])
    assert meters.counted == (SIZE if lacks else 0)
    layers[0].layer.read(0, 2_000)  # by a push, perhaps beside others
    assert windows[-1] < WINDOW_BYTES / 2
    assert meters.counted == (SIZE if lacks else 0)


@pytest.mark.parametrize("read_before", [True, False])
def test_a_file_of_the_workspace_is_read_once_to_be_known(read_before: bool) -> None:
    """Each checkout marks it anew; who made the build key has read it."""
    storage = WorkspaceStorage(model=SIZE)
    sha256 = hashlib.sha256(storage.data["model"]).hexdigest()
    known, view = released(storage, sha256), storage.view()
    again = replace(view.files[0].file, etag='"2"')
    moving = Transfer(
        (again,),
        {again.image_path: Placement(path=again.image_path, folders=view.folders)},
        lambda _, __: storage.read,
        released=(known,),
        sums={again.uri: sha256} if read_before else None,
    )
    (layer,), _ = moving.layers()
    moving.finish(image_of([layer]))
    assert layer.layer.descriptor == known.descriptor
    assert len(storage.readings) == (0 if read_before else 1)


class MarkedStorage(Storage):
    """With ETags: an unchanged file is known as such."""

    def file(self, name: str) -> ModelFile:
        return replace(super().file(name), etag='"1"')


class WorkspaceStorage(Storage):
    def file(self, name: str) -> ModelFile:
        return replace(super().file(name), uri=f"file:{name}", etag='"1"')


def released(storage: Storage, sha256: str = "ab" * 32) -> ReleasedLayer:
    sums = Sums(layer=Digest("sha256:" + "1" * 64), files=(sha256,))
    layer = model_layer(storage.view(), sums, lambda start, stop: b"", None)
    image = image_of([layer])
    (found,) = read_layers([layer.layer.descriptor], image.config_bytes, "team/app")
    assert found.model
    assert found.model.files[0].path == PurePosixPath("/model/model")
    return found
