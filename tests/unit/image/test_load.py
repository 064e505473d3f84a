import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelferry.artifacts import Descriptor, Layer
from modelferry.image.compose import (
    GZIP_LAYER_TYPE,
    LAYER_TYPE,
    AppImage,
    Composition,
    ModelLayer,
    compose,
    sha256,
)
from modelferry.image.file_range import FileRange
from modelferry.image.load import Entry, archive, entries, read_refusal
from modelferry.progress import log_meter
from modelferry.values import Digest

NAME = "modelferry.invalid/app:running"
PLAIN, PACKED, MODEL = b"plain app layer", b"packed", b"model layer" * 100


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda start, stop: data[start:stop]


@pytest.fixture
def stored(tmp_path: Path) -> dict[Digest, FileRange]:
    (tmp_path / "saved").write_bytes(b"xx" + PLAIN)
    return {sha256(PLAIN): FileRange(path=tmp_path / "saved", start=2, size_bytes=len(PLAIN))}


@pytest.fixture
def image() -> Composition:
    app_blob = Descriptor(media_type=GZIP_LAYER_TYPE, digest=sha256(PACKED), size_bytes=len(PACKED))
    app = Layer(descriptor=app_blob, diff_id=sha256(PLAIN), origin="app", read=reader(PACKED))
    model_blob = Descriptor(media_type=LAYER_TYPE, digest=sha256(MODEL), size_bytes=len(MODEL))
    model = Layer(descriptor=model_blob, diff_id=sha256(MODEL), origin="model", read=reader(MODEL))
    config = b'{"architecture":"amd64","os":"linux"}'
    return compose(
        AppImage(config=config, layers=(app, app)), (ModelLayer(layer=model, history="m"),)
    )


def read_back(parts: tuple[Entry, ...]) -> dict[str, bytes]:
    with log_meter("load", None) as meter:
        data = b"".join(archive(parts, meter))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}


def blob(digest: str) -> str:
    return f"blobs/sha256/{digest[7:]}"


def test_the_archive_for_the_classic_store(
    image: Composition, stored: dict[Digest, FileRange]
) -> None:
    found = read_back(entries(image, image.layers[2:], stored, name=NAME, classic=True))
    (listed,) = json.loads(found["manifest.json"])
    assert listed["RepoTags"] == [NAME]
    assert found[listed["Config"]] == image.config_bytes
    assert listed["Layers"] == [blob(sha256(data)) for data in (PLAIN, PLAIN, MODEL)]
    assert found[listed["Layers"][2]] == MODEL
    assert listed["Layers"][0] not in found  # the engine has it


def test_the_full_archive_carries_what_the_classic_store_unpacks(
    image: Composition, stored: dict[Digest, FileRange]
) -> None:
    found = read_back(entries(image, image.layers, stored, name=NAME, classic=True))
    assert found[blob(sha256(PLAIN))] == PLAIN
    assert found[blob(sha256(MODEL))] == MODEL


def test_the_archive_for_the_containerd_store(
    image: Composition, stored: dict[Digest, FileRange]
) -> None:
    found = read_back(entries(image, image.layers[2:], stored, name=NAME, classic=False))
    assert json.loads(found["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (top,) = json.loads(found["index.json"])["manifests"]
    assert top["digest"] == image.manifest.digest
    assert top["annotations"] == {"io.containerd.image.name": NAME}
    assert found[blob(top["digest"])] == image.manifest_bytes
    assert found[blob(image.config.digest)] == image.config_bytes
    assert found[blob(sha256(MODEL))] == MODEL
    (listed,) = json.loads(found["manifest.json"])
    assert listed["Layers"][:2] == [blob(sha256(PACKED))] * 2


def test_what_the_engine_says_against_an_archive() -> None:
    loaded = json.dumps({"stream": "Loaded image ID: sha256:1\n"})
    full = json.dumps({"error": "no space left on device", "errorDetail": {"message": "x"}})
    unpacking = json.dumps({"stream": "Error unpacking image sha256:1: unexpected EOF\n"})
    assert read_refusal("") == read_refusal(f"{loaded}\r\n") == ""
    assert read_refusal(f"{loaded}\r\n{full}\r\n") == "no space left on device"
    assert read_refusal(f"{loaded}\r\n{unpacking}\r\n").endswith("unexpected EOF")
