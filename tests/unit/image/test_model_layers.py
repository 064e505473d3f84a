from __future__ import annotations

import json
from pathlib import PurePosixPath

from modelferry.artifacts import ModelFile
from modelferry.image.compose import AppImage, ModelLayer, compose
from modelferry.image.layer import Folder, LayerFile, LayerView, make_layer
from modelferry.image.model_layers import bounded, find_released, model_layer
from modelferry.image.released import read_layers
from modelferry.image.stream import Sums
from modelferry.values import Digest

MODEL = Folder(path=PurePosixPath("/m"))
MANIFEST_LIMIT = 4 << 20  # of most registries


def view(name: str, count: int) -> LayerView:
    paths = [PurePosixPath(f"/m/{name}-{number:05}") for number in range(count)]
    return make_layer(tuple(LayerFile(path=p, folders=(MODEL,), file=file(p)) for p in paths))


def file(path: PurePosixPath) -> ModelFile:
    return ModelFile(
        uri=f"s3://models{path}",
        image_path=path,
        size_bytes=10_000,
        etag='"0x8D"',
        version_id=None,
        modified=None,
        source_line=1,
    )


def layer(of: LayerView, number: int) -> ModelLayer:
    sums = Sums(layer=Digest(f"sha256:{number:064}"), files=("ab" * 32,) * len(of.files))
    return model_layer(of, sums, lambda start, stop: b"", None)


def test_a_manifest_of_very_many_files_is_one_that_registries_take() -> None:
    views = [view("few", 3), view("many", 20_000), view("more", 1_000)]
    layers = bounded(layer(each, number) for number, each in enumerate(views))
    image = compose(AppImage(config=b'{"os":"linux"}', layers=()), layers)
    assert len(image.manifest_bytes) < MANIFEST_LIMIT
    described = [part.layer.descriptor for part in layers]
    found = read_layers(described, image.config_bytes, "team/app")
    assert all(each.model for each in found)  # a seam is found where they lie
    known = [find_released(each, found) for each in views]
    assert [each and each.diff_id for each in known] == [
        described[0].digest,
        None,
        described[2].digest,
    ]


def test_many_layers_share_what_a_manifest_can_tell() -> None:
    layers = bounded(layer(view(f"l{number}", 500), number) for number in range(64))
    image = compose(AppImage(config=b'{"os":"linux"}', layers=()), layers)
    assert len(image.manifest_bytes) < MANIFEST_LIMIT
    assert len(json.loads(image.manifest_bytes)["layers"]) == 64
