import base64
import hashlib
import json
import os
import zlib
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from modelferry.artifacts import Descriptor, Layer, ModelFile
from modelferry.image.compose import (
    LAYER_TYPE,
    AppImage,
    Composition,
    ModelLayer,
    compose,
)
from modelferry.image.layer import Folder
from modelferry.image.layer_entries import Record, Trace
from modelferry.image.model_record import (
    FILES,
    FOLDERS,
    FileRecord,
    ModelRecord,
    model_annotations,
)
from modelferry.image.released import (
    BUILD_KEY,
    ENTRIES,
    IMAGE,
    IMAGE_ID,
    MODELS,
    Released,
    ReleasedApp,
    ReleasedImage,
    compose_app,
    keep_released,
    read_entries,
    read_layers,
)
from modelferry.image.seam import ReleasedStack
from modelferry.values import Digest

FILE = ModelFile(
    uri="azblob://a/models/m.onnx",
    image_path=PurePosixPath("/lib/m.onnx"),
    size_bytes=9,
    etag='"0x1"',
    version_id=None,
    modified=None,
    source_line=1,
)
PLACE = PurePosixPath("/usr/lib/m.onnx")
RECORD = ModelRecord(
    files=(
        FileRecord(
            uri=FILE.uri,
            path=FILE.image_path,
            place=PLACE,
            etag=FILE.etag,
            version_id=None,
            size_bytes=9,
            sha256="ab" * 32,
        ),
    ),
    folders=(
        Folder(path=PurePosixPath("/usr"), mode=0o1755, uid=3, gid=4, mtime_s=-5),
        Folder(path=PurePosixPath("/usr/lib")),
    ),
)


def digest(text: str) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")


def layer(name: str, record: ModelRecord | None = None) -> Layer:
    blob = Descriptor(
        media_type=LAYER_TYPE,
        digest=digest(f"blob {name}"),
        size_bytes=7,
        annotations=model_annotations(record) if record else (),
    )
    return Layer(
        descriptor=blob,
        diff_id=digest(name),
        origin="model" if record else "app",
        read=lambda start, stop: b"",
    )


APP = AppImage(
    config=json.dumps(
        {
            "os": "linux",
            "rootfs": {"diff_ids": [digest("base"), digest("code")]},
            "moby.buildkit.cache.v0": "bm90ZXM=",
        }
    ).encode(),
    layers=(layer("base"), layer("code")),
)


def composed(
    record: ModelRecord = RECORD, annotations: tuple[tuple[str, str], ...] = ()
) -> Composition:
    return compose(
        APP, (ModelLayer(layer=layer("m", record), history="M"),), seam=1, annotations=annotations
    )


def as_released(image: Composition, models: str | None = None) -> ReleasedImage:
    manifest = json.loads(image.manifest_bytes)
    return ReleasedImage(
        digest=image.manifest.digest,
        manifest=image.manifest_bytes,
        config=image.config,
        layers=read_layers(
            [each.descriptor for each in image.layers], image.config_bytes, "team/app", models
        ),
        annotations=manifest.get("annotations", {}),
    )


def released_app(image: Composition, key: str) -> ReleasedApp:
    own = compose_app(
        APP, image=image, models=(), image_id="sha256:id", records={}, key=((BUILD_KEY, key),)
    )
    return ReleasedApp(
        tag="mf-main-app",
        config=own.config_bytes,
        config_digest=own.config.digest,
        layers=read_layers([each.descriptor for each in own.layers], own.config_bytes, "team/app"),
        annotations=json.loads(own.manifest_bytes)["annotations"],
    )


def test_a_release_is_read_back_as_it_was_written() -> None:
    found = as_released(composed())
    assert [each.model for each in found.layers] == [None, RECORD, None]
    assert found.stack == ReleasedStack(app=(digest("base"), digest("code")), below_model=1)
    assert found.layers[1].descriptor == layer("m", RECORD).descriptor
    assert found.layers[1].repository == "team/app"


def test_the_apps_manifest_keeps_the_builders_cache_and_the_image_does_not() -> None:
    image = composed()
    own = compose_app(
        APP, image=image, models=(), image_id="sha256:id", records={}, key=((BUILD_KEY, "k"),)
    )
    assert own.config_bytes == APP.config
    assert b"moby.buildkit" not in image.config_bytes
    assert [each.diff_id for each in own.layers] == [digest("base"), digest("code")]
    said = json.loads(own.manifest_bytes)["annotations"]
    assert (said[IMAGE], said[IMAGE_ID], said[BUILD_KEY]) == (
        image.manifest.digest,
        "sha256:id",
        "k",
    )
    none = compose_app(APP, image=image, models=(), image_id=None, records={}, key=())
    assert {IMAGE_ID, BUILD_KEY}.isdisjoint(json.loads(none.manifest_bytes)["annotations"])


def test_entries_are_remembered_and_too_many_are_not() -> None:
    record = Record(paths=frozenset(["/usr"]), traces={"/usr": Trace("folder", 0o755)})
    image = composed()

    def said(records: dict[Digest, Record]) -> dict[str, str]:
        own = compose_app(APP, image=image, models=(), image_id=None, records=records, key=())
        return json.loads(own.manifest_bytes)["annotations"]

    assert read_entries(said({digest("base"): record})) == {digest("base"): record}
    many = replace(record, paths=frozenset(f"/{os.urandom(50).hex()}" for _ in range(60_000)))
    assert ENTRIES not in said({digest("base"): many})


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"paths":1,"layers":{}}', '{"paths":[],"layers":{"a":{"/":[1]}}}'],
)
def test_entries_that_cannot_be_read_are_none(text: str) -> None:
    packed = base64.b64encode(zlib.compress(text.encode())).decode()
    assert read_entries({ENTRIES: packed}) == {}
    for broken in (text, packed[:-8], packed.upper()):
        assert read_entries({ENTRIES: broken}) == {}


def test_a_source_that_changed_in_any_way_is_another() -> None:
    (known,) = RECORD.files
    assert known.is_of(FILE, PLACE)
    for changed in (
        {"uri": "azblob://a/models/other"},
        {"etag": '"0x2"'},
        {"version_id": "v"},
        {"size_bytes": 10},
        {"image_path": PurePosixPath("/m")},
    ):
        assert not known.is_of(replace(FILE, **changed), PLACE)
    assert not known.is_of(FILE, PurePosixPath("/elsewhere/m.onnx"))
    elsewhen = replace(FILE, etag='"0x2"')
    assert known.is_of(elsewhen, PLACE, lambda _: "ab" * 32)
    assert not known.is_of(elsewhen, PLACE, lambda _: "cd" * 32)
    assert not known.is_of(elsewhen, PurePosixPath("/m"), lambda _: "ab" * 32)
    nameless = replace(FILE, etag=None)
    assert not replace(known, etag=None).is_of(nameless, PLACE)


def test_the_same_content_keeps_its_manifest() -> None:
    before = as_released(composed(annotations=(("commit", "a"),)))
    again = keep_released(composed(annotations=(("commit", "b"),)), [before])
    assert (again.manifest.digest, again.manifest_bytes) == (before.digest, before.manifest)
    assert keep_released(composed(), []) == composed()
    other = compose(APP, (), seam=1)
    assert keep_released(other, [before]) == other


def test_a_source_written_anew_with_the_same_bytes_is_known_the_next_time() -> None:
    """The image keeps its manifest, which names the old ETag; the app's manifest has the new."""
    (file,) = RECORD.files
    newer = replace(RECORD, files=(replace(file, etag='"0x2"'),))
    before = as_released(composed())
    image = composed(newer)
    models = (ModelLayer(layer=layer("m", newer), history="M"),)
    own = compose_app(APP, image=image, models=models, image_id=None, records={}, key=())
    said = json.loads(own.manifest_bytes)["annotations"]
    assert as_released(keep_released(image, [before]), said[MODELS]).layers[1].model == newer


def test_only_what_is_there_is_relied_on() -> None:
    image = as_released(composed())
    app = released_app(composed(), "k")
    blobs = {each.descriptor.digest for each in image.layers}
    whole = Released(image=image, app=app, present=frozenset({*blobs, image.config.digest}))
    assert whole.whole_app() == app
    assert set(whole.blobs()) == {each.diff_id for each in image.layers}
    assert [each.model for each in whole.models()] == [RECORD]
    lost = replace(whole, present=whole.present - {digest("blob m")})
    assert lost.models() == ()
    assert lost.whole_app() == app
    lost = replace(whole, present=whole.present - {digest("blob code")})
    assert lost.whole_app() is None
    assert digest("code") not in lost.blobs()
    assert lost.stack == image.stack  # the order is known without them


def test_which_build_made_the_release() -> None:
    image = as_released(composed(annotations=((BUILD_KEY, "first"),)))
    present = frozenset({image.config.digest, *(each.descriptor.digest for each in image.layers)})
    released = Released(image=image, present=present)
    assert released.made_by("first") == image
    assert released.made_by("second") is None
    again = replace(
        released, app=released_app(composed(annotations=((BUILD_KEY, "first"),)), "second")
    )
    assert again.made_by("second") == image  # another key, the same content
    of_another = replace(released, app=released_app(composed(), "second"))
    assert of_another.made_by("second") is None
    assert replace(released, present=frozenset()).made_by("first") is None


def test_the_default_branchs_release_counts_beside_ones_own() -> None:
    """Merged into a branch that released before, its content keeps its digest."""
    own = as_released(compose(APP, ()))
    default = as_released(composed(annotations=((BUILD_KEY, "theirs"),)))
    released = Released(image=own, default=default, present=frozenset(default.blobs))
    assert released.made_by("theirs") == default
    assert released.made_by("ours") is None
    kept = keep_released(composed(annotations=(("commit", "b"),)), released.images)
    assert kept.manifest.digest == default.digest
    assert [each.model for each in released.models()] == [RECORD]


def test_a_blob_here_goes_before_one_elsewhere() -> None:
    image = as_released(composed())
    others = tuple(replace(each, repository="base/python") for each in image.layers)
    present = frozenset(each.descriptor.digest for each in image.layers)
    found = Released(image=image, others=others, present=present).blobs()
    assert {each.repository for each in found.values()} == {"team/app"}
    found = Released(others=others, present=present).blobs()
    assert {each.repository for each in found.values()} == {"base/python"}


def test_an_image_without_a_model_or_with_one_in_pieces_has_no_seam() -> None:
    assert as_released(compose(APP, ())).stack is None
    image = as_released(composed())
    split = replace(image, layers=(image.layers[1], image.layers[0], image.layers[1]))
    assert split.stack is None


@pytest.mark.parametrize("text", ["", "7", "[7]", "{}", '[{"uri": 1}]'])
def test_a_model_layer_that_says_nothing_useful_is_still_one(text: str) -> None:
    given = replace(layer("m").descriptor, annotations=((FILES, text), (FOLDERS, "[")))
    config = json.dumps({"rootfs": {"diff_ids": [digest("m")]}}).encode()
    (found,) = read_layers([given], config, "r")
    assert found.model == ModelRecord(files=(), folders=())


def test_a_config_that_does_not_fit_is_refused() -> None:
    for config in (
        b"{}",
        b"[]",
        b"x",
        b'{"rootfs": {"diff_ids": []}}',
        b'{"rootfs": {"diff_ids": ["x"]}}',
    ):
        with pytest.raises((ValueError, KeyError, TypeError)):
            read_layers([layer("m").descriptor], config, "r")
