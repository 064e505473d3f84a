import hashlib
import json
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.artifacts import (
    Descriptor,
    FetchedFile,
    Layer,
    Model,
    ModelFile,
    ResolvedModel,
)
from modelferry.image.compose import (
    GZIP_LAYER_TYPE,
    LAYER_TYPE,
    AppImage,
    ModelLayer,
    compose,
    model_labels,
)
from modelferry.values import Digest


def digest(text: str) -> Digest:
    return Digest(f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")


def nothing(start: int, stop: int) -> bytes:
    raise AssertionError("composing reads no layer")


def app_layer(name: str) -> Layer:
    descriptor = Descriptor(media_type=GZIP_LAYER_TYPE, digest=digest(f"gz {name}"), size_bytes=10)
    return Layer(descriptor=descriptor, diff_id=digest(name), origin="app", read=nothing)


def model_layer(name: str) -> ModelLayer:
    descriptor = Descriptor(
        media_type=LAYER_TYPE,
        digest=digest(name),
        size_bytes=99,
        annotations=(("modelferry.model.files", "[]"),),
    )
    layer = Layer(descriptor=descriptor, diff_id=digest(name), origin="model", read=nothing)
    return ModelLayer(layer=layer, history=f"MODEL {name}")


def app(layers: int = 2, history: list[dict[str, Any]] | None = None, **config: Any) -> AppImage:
    names = [f"app {number}" for number in range(layers)]
    given_config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {"Cmd": ["run"], "Labels": {"theirs": "kept"}},
        "rootfs": {"type": "layers", "diff_ids": [digest(name) for name in names]},
        "history": [{"created_by": name} for name in names] if history is None else history,
        **config,
    }
    return AppImage(
        config=json.dumps(given_config).encode(), layers=tuple(app_layer(name) for name in names)
    )


def test_the_manifest_and_the_config_to_the_byte() -> None:
    """What a registry and a node read; the digests follow from these bytes alone."""
    composed = compose(
        app(1),
        (model_layer("m"),),
        labels=(("modelferry.model.version", "v3"),),
        annotations=(("org.opencontainers.image.revision", "abc"),),
    )
    assert json.loads(composed.config_bytes) == {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Cmd": ["run"],
            "Labels": {"theirs": "kept", "modelferry.model.version": "v3"},
        },
        "rootfs": {"type": "layers", "diff_ids": [digest("app 0"), digest("m")]},
        "history": [
            {"created_by": "app 0"},
            {"created_by": "MODEL m", "comment": "modelferry"},
        ],
    }
    assert json.loads(composed.manifest_bytes) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": composed.config.digest,
            "size": len(composed.config_bytes),
        },
        "layers": [
            {"mediaType": GZIP_LAYER_TYPE, "digest": digest("gz app 0"), "size": 10},
            {
                "mediaType": LAYER_TYPE,
                "digest": digest("m"),
                "size": 99,
                "annotations": {"modelferry.model.files": "[]"},
            },
        ],
        "annotations": {"org.opencontainers.image.revision": "abc"},
    }
    assert composed.config.digest == digest(composed.config_bytes.decode())
    assert composed.manifest.digest == digest(composed.manifest_bytes.decode())
    assert composed.manifest.digest == (
        "sha256:63f1bf5bab70f374a89329e57d67f4df988dd85a4a130f50c9d4bf319f8148ef"
    )


def test_commit_and_run_change_the_manifest_and_not_the_config() -> None:
    first = compose(app(), (), annotations=(("revision", "a"),))
    second = compose(app(), (), annotations=(("revision", "b"),))
    assert first.config_bytes == second.config_bytes
    assert first.manifest.digest != second.manifest.digest


@given(st.integers(0, 5), st.integers(0, 3), st.data())
def test_layers_and_diff_ids_agree_wherever_the_seam_is(
    layers: int, models: int, data: st.DataObject
) -> None:
    seam = data.draw(st.integers(0, layers))
    empty = data.draw(st.lists(st.integers(0, layers), max_size=4))
    history: list[dict[str, Any]] = [{"created_by": f"app {n}"} for n in range(layers)]
    for place in sorted(empty, reverse=True):
        history.insert(place, {"created_by": "ENV", "empty_layer": True})
    parts = tuple(model_layer(f"m{n}") for n in range(models))
    composed = compose(app(layers, history), parts, seam=seam)
    config = json.loads(composed.config_bytes)
    names = [
        *(f"app {n}" for n in range(seam)),
        *(f"m{n}" for n in range(models)),
        *(f"app {n}" for n in range(seam, layers)),
    ]
    assert config["rootfs"]["diff_ids"] == [digest(name) for name in names]
    assert [layer.diff_id for layer in composed.layers] == [digest(name) for name in names]
    written = [line["created_by"] for line in config["history"] if not line.get("empty_layer")]
    assert [line.removeprefix("MODEL ") for line in written] == names
    kept = [line for line in config["history"] if line.get("comment") != "modelferry"]
    assert kept == history


def test_the_model_lies_on_top_unless_said_otherwise() -> None:
    composed = compose(app(2), (model_layer("m"),))
    assert [layer.origin for layer in composed.layers] == ["app", "app", "model"]


def test_layers_without_recorded_history_keep_their_place_in_it() -> None:
    composed = compose(app(3, [{"created_by": "COPY"}]), (model_layer("m"),))
    lines = [line["created_by"] for line in json.loads(composed.config_bytes)["history"]]
    assert lines == ["not recorded", "not recorded", "COPY", "MODEL m"]


@pytest.mark.parametrize("run", [None, {"Cmd": ["x"]}, {"Labels": None}])
def test_an_app_without_labels_gets_ours(run: dict[str, Any] | None) -> None:
    composed = compose(app(1, config=run), (), labels=(("a", "1"),))
    assert json.loads(composed.config_bytes)["config"]["Labels"] == {"a": "1"}


def test_fields_that_we_do_not_know_stay() -> None:
    composed = compose(app(1, **{"os.version": "x", "variant": "v8"}), ())
    config = json.loads(composed.config_bytes)
    assert (config["os.version"], config["variant"]) == ("x", "v8")


def test_a_builders_cache_stays_out_of_the_config() -> None:
    assert b"moby" not in compose(app(1, **{"moby.buildkit.cache.v0": "x"}), ()).config_bytes


def test_an_image_tells_where_its_model_came_from() -> None:
    file = ModelFile(
        uri="azblob://acct/models/größe.onnx",
        image_path=PurePosixPath("/model/größe.onnx"),
        size_bytes=5,
        etag='"0x8D"',
        version_id="2026-01-01T00:00:00Z",
        modified=datetime(2026, 1, 1, tzinfo=UTC),
        source_line=1,
    )
    fetched = FetchedFile(file=file, sha256="ab" * 32)
    resolved = ResolvedModel(files=(file,), version="v7", reasons=())
    assert dict(model_labels(Model(resolved=resolved, files=(fetched,)))) == {
        "modelferry.model.uri": "azblob://acct/models/größe.onnx",
        "modelferry.model.version": "v7",
        "modelferry.model.sha256": "ab" * 32,
    }


def test_the_labels_of_very_many_files_stay_as_long_as_an_engine_takes() -> None:
    def labels(count: int) -> dict[str, str]:
        files = tuple(
            FetchedFile(file=a_file(f"s3://models/{number:05}"), sha256=f"{number:064}")
            for number in range(count)
        )
        resolved = ResolvedModel(files=tuple(each.file for each in files), version="v7", reasons=())
        return dict(model_labels(Model(resolved=resolved, files=files)))

    few, many = labels(50), labels(20_000)
    assert few["modelferry.model.sha256"].count("\n") == 49
    assert all(len(name) + len(value) <= 4096 for name, value in many.items())
    assert many["modelferry.model.uri"].startswith("20000 files, sha256:")
    assert many["modelferry.model.sha256"] != labels(20_001)["modelferry.model.sha256"]


def a_file(uri: str) -> ModelFile:
    return ModelFile(
        uri=uri,
        image_path=PurePosixPath("/model"),
        size_bytes=5,
        etag=None,
        version_id=None,
        modified=None,
        source_line=1,
    )
