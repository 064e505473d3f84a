from __future__ import annotations

from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from modelferry.artifacts import Descriptor, FetchedFile, Model, ModelFile, ResolvedModel
from modelferry.image.compose import CONFIG_TYPE, LAYER_TYPE
from modelferry.image.model_record import FileRecord, ModelRecord
from modelferry.image.released import ReleasedImage, ReleasedLayer
from modelferry.last_release.take import model_changed
from modelferry.values import Digest

FILE = ModelFile(
    uri="s3://models/m",
    image_path=PurePosixPath("/m"),
    size_bytes=9,
    etag='"1"',
    version_id=None,
    modified=None,
    source_line=1,
)
UNTOLD = ModelRecord(files=(), folders=())


def digest(number: int) -> Digest:
    return Digest(f"sha256:{number:064}")


def model(sha256: str) -> Model:
    resolved = ResolvedModel(files=(FILE,), version="1", reasons=())
    return Model(resolved=resolved, files=(FetchedFile(file=FILE, sha256=sha256),))


def told(sha256: str) -> ModelRecord:
    known = FileRecord(
        uri=FILE.uri,
        path=FILE.image_path,
        place=FILE.image_path,
        etag=None,
        version_id=None,
        size_bytes=9,
        sha256=sha256,
    )
    return ModelRecord(files=(known,), folders=())


def released(record: ModelRecord, layer: int) -> ReleasedImage:
    def stored(number: int, of: ModelRecord | None) -> ReleasedLayer:
        blob = Descriptor(media_type=LAYER_TYPE, digest=digest(number), size_bytes=9)
        return ReleasedLayer(descriptor=blob, diff_id=digest(number), repository="a", model=of)

    config = Descriptor(media_type=CONFIG_TYPE, digest=digest(8), size_bytes=9)
    return ReleasedImage(
        digest=digest(9),
        manifest=b"",
        config=config,
        layers=(stored(7, None), stored(layer, record)),
        annotations={},
    )


@pytest.mark.parametrize(
    ("before", "changed"),
    [
        (None, True),
        (released(told("ab"), 1), False),
        (released(told("cd"), 1), True),
        (released(told("ab"), 2), False),  # in another layer, the same bytes
        (released(UNTOLD, 1), False),  # too many files to be told of
        (released(UNTOLD, 2), True),
    ],
)
def test_whether_the_model_is_another(before: ReleasedImage | None, changed: bool) -> None:
    assert model_changed(before, model("ab"), {digest(1)}) is changed


def test_a_release_without_a_model_had_another() -> None:
    before = released(UNTOLD, 1)
    without = replace(before, layers=before.layers[:1])
    assert model_changed(without, model("ab"), {digest(1)})
