import io
import json
import tarfile
from collections.abc import Callable, Iterable

import pytest

from modelferry.artifacts import Descriptor, Layer
from modelferry.image.compose import (
    GZIP_LAYER_TYPE,
    LAYER_TYPE,
    AppImage,
    Composition,
    ModelLayer,
    compose,
)
from modelferry.image.load import Entry, archive, index_entries, lacking, read_refusal
from modelferry.progress import log_meter
from modelferry.values import Digest, digest_of

NAME = "modelferry.invalid/app:running"
BASE, CODE, MODEL = b"base layer", b"code layer", b"model layer" * 100


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda start, stop: data[start:stop]


def layer(data: bytes, origin: str = "app") -> Layer:
    media_type = GZIP_LAYER_TYPE if origin == "app" else LAYER_TYPE
    packed = b"packed " + data if origin == "app" else data
    blob = Descriptor(media_type=media_type, digest=digest_of(packed), size_bytes=len(packed))
    return Layer(descriptor=blob, diff_id=digest_of(data), origin=origin, read=reader(packed))


@pytest.fixture
def image() -> Composition:
    config = b'{"architecture":"amd64","os":"linux"}'
    return compose(
        AppImage(config=config, layers=(layer(BASE), layer(CODE))),
        (ModelLayer(layer=layer(MODEL, "model"), history="m"),),
        seam=1,
    )


def read_back(entries: Iterable[Entry]) -> dict[str, bytes]:
    with log_meter("load", None) as meter:
        data = b"".join(archive(entries, meter))
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}


def test_the_index_says_how_the_layers_make_the_image(image: Composition) -> None:
    names = {digest_of(MODEL): "run/0"}
    found = read_back(index_entries(image, NAME, "run", names))
    (listed,) = json.loads(found["manifest.json"])
    assert listed["RepoTags"] == [NAME]
    assert found[listed["Config"]] == image.config_bytes
    base, code = (f"run/{digest_of(data)[7:]}" for data in (BASE, CODE))
    assert listed["Layers"] == [base, "run/0", code]
    assert json.loads(found["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (top,) = json.loads(found["index.json"])["manifests"]
    assert top["digest"] == image.manifest.digest
    assert top["annotations"] == {"io.containerd.image.name": NAME}
    assert image.manifest_bytes in found.values()


IDS = {name: digest_of(data) for name, data in (("base", BASE), ("code", CODE), ("model", MODEL))}


@pytest.mark.parametrize(
    ("stacks", "classic", "containerd"),
    [
        ([], "base model code", "base model code"),
        ([["base", "code"]], "model code", "model"),
        ([["base", "model"]], "code", "code"),
        ([["base", "model", "code"]], "", ""),
        ([["model"], ["base"]], "model code", "code"),
        ([["base"], ["code", "model"]], "model code", ""),
    ],
)
def test_an_engine_lacks_what_its_store_cannot_use(
    image: Composition, stacks: list[list[str]], classic: str, containerd: str
) -> None:
    known: list[list[Digest]] = [[IDS[name] for name in stack] for stack in stacks]
    names = {diff_id: name for name, diff_id in IDS.items()}
    for store, wanted in ((True, classic), (False, containerd)):
        found = [names[each.diff_id] for each in lacking(image, known, classic=store)]
        assert found == wanted.split()


def test_a_layer_that_is_there_twice_is_sent_once() -> None:
    app = AppImage(config=b'{"os":"linux"}', layers=(layer(BASE), layer(BASE)))
    assert len(lacking(compose(app, ()), [], classic=True)) == 1


def test_what_the_engine_says_against_an_archive() -> None:
    loaded = json.dumps({"stream": "Loaded image ID: sha256:1\n"})
    full = json.dumps({"error": "no space left on device", "errorDetail": {"message": "x"}})
    unpacking = json.dumps({"stream": "Error unpacking image sha256:1: unexpected EOF\n"})
    assert read_refusal("") is read_refusal(f"{loaded}\r\n") is None
    assert read_refusal(f"{loaded}\r\n{full}\r\n") == "no space left on device"
    assert str(read_refusal(f"{loaded}\r\n{unpacking}\r\n")).endswith("unexpected EOF")
