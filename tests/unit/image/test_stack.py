import gzip
import hashlib
import io
import tarfile
from pathlib import PurePosixPath

import pytest

from modelferry.artifacts import Descriptor, Layer
from modelferry.errors import BuildError
from modelferry.image.app.layers import SavedApp
from modelferry.image.compose import GZIP_LAYER_TYPE, AppImage
from modelferry.image.layer_entries import Record, Traces
from modelferry.image.placement import Fit
from modelferry.image.seam import ReleasedStack
from modelferry.image.stack import fit_app
from modelferry.image.workers import Stop
from modelferry.values import Digest

MODEL = PurePosixPath("/lib/m")


class Content:
    def __init__(self, data: bytes) -> None:
        self.data, self.size_bytes, self.reads = data, len(data), 0

    def read(self, start: int, stop: int, /) -> bytes:
        self.reads += 1
        return self.data[start:stop]


def tar(**links: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, target in links.items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
    return out.getvalue()


def file_tar(name: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return out.getvalue()


def app(*tars: bytes) -> tuple[SavedApp, list[Content]]:
    """Every other layer compressed, as they come from a registry."""
    layers: list[Layer] = []
    contents: list[Content] = []
    for number, data in enumerate(tars):
        diff_id = Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")
        blob = gzip.compress(data) if number % 2 else data
        contents.append(Content(blob))
        layers.append(
            Layer(
                descriptor=Descriptor(
                    media_type=GZIP_LAYER_TYPE, digest=diff_id, size_bytes=len(blob)
                ),
                diff_id=diff_id,
                origin="app",
                read=contents[-1].read,
            )
        )
    stored = {layer.diff_id: content for layer, content in zip(layers, contents, strict=True)}
    image = AppImage(config=b"{}", layers=tuple(layers))
    return SavedApp(image=image, stored=stored), contents


def fit(
    saved: SavedApp,
    *,
    records: dict[Digest, Record] | None = None,
    base: tuple[Digest, ...] | None = None,
    released: ReleasedStack | None = None,
    scanned: dict[Digest, Traces] | None = None,
) -> Fit:
    return fit_app(
        saved,
        [MODEL],
        records=records or {},
        released=released,
        base=base,
        scanned=scanned or {},
        stop=Stop(),
    )


def _warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelname == "WARNING"]


def test_layers_are_read_once_and_then_remembered() -> None:
    saved, contents = app(tar(lib="usr/lib"), tar(a="b"), tar(c="d"))
    first = fit(saved)
    assert first.placements[MODEL].path == PurePosixPath("/usr/lib/m")
    assert all(content.reads for content in contents)
    changed, contents = app(tar(lib="usr/lib"), tar(a="b"), tar(e="f"))
    second = fit(changed, records=dict(first.records))
    assert second.placements == first.placements
    assert [bool(content.reads) for content in contents] == [False, False, True]


@pytest.mark.parametrize("below", [True, False])
def test_a_file_that_only_a_link_leads_to_is_in_the_way(below: bool) -> None:
    """No part of the path that was asked for has its name."""
    layers = (file_tar("data/blob"), tar(lib="/data/blob"))
    saved, _ = app(*(layers if below else reversed(layers)))
    with pytest.raises(BuildError, match="/data/blob is a file there, not a folder"):
        fit(saved)


def test_the_base_counts_where_the_app_is_made_of_it() -> None:
    saved, _ = app(tar(lib="usr/lib"), tar(a="b"), tar(c="d"))
    ids = tuple(layer.diff_id for layer in saved.image.layers)
    assert fit(saved, base=ids[:1]).seam == 1
    assert fit(saved, base=ids[1:2]).seam == 3  # of another stage's base
    assert fit(saved, base=(*ids, ids[0])).seam == 3
    assert fit(saved).seam == 3


def test_a_base_of_nothing_is_one(caplog: pytest.LogCaptureFixture) -> None:
    """FROM scratch: the model lies below all, where its parents' links lead in the end."""
    saved, _ = app(tar(a="b"), tar(lib="usr/lib"))
    found = fit(saved, base=())
    assert (found.seam, found.placements[MODEL].path) == (0, PurePosixPath("/usr/lib/m"))
    assert _warned(caplog) == []


def test_why_the_model_lies_higher_is_told(caplog: pytest.LogCaptureFixture) -> None:
    saved, _ = app(tar(a="b"), tar(**{"lib/m": "/old"}), tar(c="d"))
    assert fit(saved, base=()).seam == 2
    (told,) = _warned(caplog)
    assert told.endswith("which has a file at that path")
