from __future__ import annotations

from pathlib import PurePosixPath

import pytest

from modelferry.artifacts import ModelFile, ResolvedModel
from modelferry.errors import FerryError, InputError, ModelChanged, ModelNotFound
from modelferry.sources.open_model import OpenModel
from modelferry.sources.source import Source


def resolved(name: str) -> ResolvedModel:
    file = ModelFile(
        uri=f"s3://models/{name}",
        image_path=PurePosixPath(f"/model/{name}"),
        size_bytes=5,
        etag=None,
        version_id=None,
        modified=None,
        source_line=1,
    )
    return ResolvedModel(files=(file,), version="v1", reasons=())


def never_opened(line: int) -> Source:
    raise AssertionError(f"line {line} is not read here")


def gone() -> ResolvedModel:
    raise ModelNotFound("there is none any more")


@pytest.mark.parametrize(
    ("resolve", "error"), [(gone, ModelNotFound), (lambda: resolved("other"), InputError)]
)
def test_a_model_that_cannot_be_had_again_is_the_fetch_stages(
    resolve: object, error: type[FerryError]
) -> None:
    model = OpenModel(
        resolved("m.onnx"), never_opened, sha256=(("m.onnx", "ab" * 32),), resolve=resolve
    )
    with pytest.raises(error) as caught:
        model.again(ModelChanged("it changed"))
    assert caught.value.stage == "fetch"
