from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import PurePosixPath

import pytest

from modelferry.artifacts import ModelFile
from modelferry.image.compose import AppImage, ModelLayer, compose
from modelferry.image.layer import Folder, LayerFile, LayerView, make_layer
from modelferry.image.model_layers import bounded, find_released, guess_placements, model_layer
from modelferry.image.placement import Placement
from modelferry.image.released import MODELS, ReleasedLayer, compose_app, read_layers
from modelferry.image.stream import Sums
from modelferry.values import Digest

MODEL = Folder(path=PurePosixPath("/m"))
MANIFEST_LIMIT = 4 << 20  # of most registries
APP = AppImage(config=b'{"os":"linux","rootfs":{"diff_ids":[]}}', layers=())


def view(name: str, count: int) -> LayerView:
    paths = [PurePosixPath(f"/m/{name}-{number:05}") for number in range(count)]
    return make_layer(tuple(LayerFile(path=p, folders=(MODEL,), file=file(p)) for p in paths))


def file(path: PurePosixPath) -> ModelFile:
    return ModelFile(
        uri=f"s3://models{path}",
        image_path=path,
        size_bytes=10_000,
        etag=f'"{hashlib.md5(bytes(path), usedforsecurity=False).hexdigest()}"',
        version_id=None,
        modified=None,
        source_line=1,
    )


def layer(of: LayerView, number: int) -> ModelLayer:
    files = tuple(hashlib.sha256(bytes(each.path)).hexdigest() for each in of.files)
    sums = Sums(layer=Digest(f"sha256:{number:064}"), files=files)
    return model_layer(of, sums, lambda start, stop: b"", None)


def release(views: Sequence[LayerView]) -> tuple[ReleasedLayer, ...]:
    """As the next run reads it, of two manifests that registries take."""
    layers = [layer(each, number) for number, each in enumerate(views)]
    image = compose(APP, bounded(layers))
    own = compose_app(APP, image=image, models=layers, image_id=None, records={}, key=())
    assert len(image.manifest_bytes) < 128 << 10  # each node pulls it
    assert len(own.manifest_bytes) < MANIFEST_LIMIT
    said = json.loads(own.manifest_bytes)["annotations"]
    described = [each.descriptor for each in image.layers]
    return read_layers(described, image.config_bytes, "team/app", said.get(MODELS))


def test_very_many_files_are_known_again() -> None:
    views = [view("few", 3), view("many", 20_000), view("more", 1_000)]
    found = release(views)
    assert [find_released(each, found) for each in views] == list(found)
    model = [each.model for each in found]
    assert model[1]
    assert [len(file.sha256) for file in model[1].files] == [64] * 20_000


def test_more_than_a_manifest_can_tell_are_a_model_still() -> None:
    views = [view("many", 40_000)]
    (found,) = release(views)
    assert found.model  # a seam is found where it lies
    assert find_released(views[0], [found]) is None


def test_many_layers_share_what_a_manifest_can_tell() -> None:
    layers = bounded(layer(view(f"l{number}", 500), number) for number in range(64))
    image = compose(APP, layers)
    assert len(image.manifest_bytes) < 128 << 10
    assert len(json.loads(image.manifest_bytes)["layers"]) == 64


LIB = (Folder(path=PurePosixPath("/usr")), Folder(path=PurePosixPath("/usr/lib"), mode=0o751))


@pytest.mark.parametrize(
    ("wanted", "place", "made"),
    [
        ("/lib/v1.bin", "/usr/lib/v1.bin", ()),
        ("/lib/v2.bin", "/usr/lib/v2.bin", ()),
        ("/lib/v3/a/m.bin", "/usr/lib/v3/a/m.bin", ("/usr/lib/v3", "/usr/lib/v3/a")),
    ],
)
def test_a_new_name_is_expected_where_the_others_of_its_folder_are(
    wanted: str, place: str, made: tuple[str, ...]
) -> None:
    """Also where the image's own links lead there."""
    asked = file(PurePosixPath("/lib/v1.bin"))
    found = release(
        [make_layer((LayerFile(path=PurePosixPath("/usr/lib/v1.bin"), folders=LIB, file=asked),))]
    )
    folders = (*LIB, *(Folder(path=PurePosixPath(path)) for path in made))
    path = PurePosixPath(wanted)
    assert guess_placements([path], found) == {
        path: Placement(path=PurePosixPath(place), folders=folders)
    }
    assert guess_placements([PurePosixPath("/opt/v1.bin")], found) is None
