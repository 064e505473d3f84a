"""Single layers out of an engine's own store, on every engine users have; and what they say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from modelferry.artifacts import Descriptor
from modelferry.engine import Engine
from modelferry.image.app.buildx import build_app
from modelferry.image.app.content_store import read_content_store
from modelferry.image.app.layer_store import read_layer_store
from modelferry.image.app.layers import app_in_engine
from modelferry.image.layer_entries import LayerEntries, scan_layer
from modelferry.image.placement import Fit, fit_model
from modelferry.image.released import Released, ReleasedApp, ReleasedLayer
from modelferry.image.workers import Stop
from modelferry.values import Digest
from tests.contracts.conftest import Connect, MakeYard
from tests.contracts.image_yard import SMALL, Yard
from tests.contracts.whole_app import whole_app

ENGINES = ("first", "newer-classic", "newer-containerd")

# Each line of this is a layer that changes what lies below it in another way.
CHANGES = """\
RUN install -d -m 700 -o 1234 -g 5678 /data/v1 && touch -d @1000000000.5 /data/v1 \\
  && echo old > /data/v1/m && echo 1 > /data/one && ln /data/one /data/two && mkfifo /data/pipe
RUN rm -rf /data/v1
RUN mkdir -m 750 /data/v1 && ln -s /data/v1 /current
WORKDIR /work/deep
COPY app.txt /srv/model.bin
RUN rm -rf /srv && mkdir -m 2775 /srv && touch /srv/{long}
""".format(long="x" * 150)
WITH_TOOLS = SMALL.replace('tools="sh', 'tools="rm ln mkdir mkfifo touch install sh')


@pytest.fixture(params=ENGINES)
def yard(request: pytest.FixtureRequest, connect: Connect, make_yard: MakeYard) -> Yard:
    made = make_yard(connect(request.param))
    made.write("Dockerfile", f"{WITH_TOOLS}{CHANGES}")
    return made


@pytest.fixture
def image_id(yard: Yard, tmp_path: Path) -> str:
    folder = tmp_path / "build"
    folder.mkdir()
    return build_app(yard.spec(), yard.images, "app", temp=folder, workspace=yard.context)


def diff_ids(engine: Engine, image_id: str) -> list[Digest]:
    return engine.client.images.get(image_id).attrs["RootFS"]["Layers"]


def test_a_layer_alone_is_as_docker_save_gives_it(
    yard: Yard, image_id: str, tmp_path: Path
) -> None:
    """The last three, and none of those below."""
    engine = yard.engine
    whole = whole_app(engine, image_id, tmp_path, compress=False)
    wanted = diff_ids(engine, image_id)[-3:]
    alone = tmp_path / "alone"
    alone.mkdir()
    if engine.facts.store == "classic":
        layers = read_layer_store(
            engine,
            image_id,
            diff_ids(engine, image_id),
            wanted,
            alone,
            run_label=yard.name,
            stop=Stop(),
        )
        assert layers is not None
        found = dict(layers.tars)
    else:
        by_blob = {layer.descriptor.digest: layer.diff_id for layer in whole.image.layers}
        blobs = read_content_store(
            engine,
            image_id,
            lambda digest: by_blob[digest] in wanted,
            alone,
            run_label=yard.name,
            stop=Stop(),
        )
        assert blobs is not None
        layers, found = blobs, {by_blob[name]: blob for name, blob in blobs.layers.items()}
    assert layers.config == whole.image.config
    assert set(found) == set(wanted)
    for diff_id, content in found.items():
        kept = whole.stored[diff_id]
        assert content.read_all() == kept.read(0, kept.size_bytes)


def test_a_code_commit_takes_the_code_out_of_the_engine(
    yard: Yard, image_id: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As a run after a release does: all but the last layer are in the registry."""
    caplog.set_level("INFO")
    first = whole_app(yard.engine, image_id, tmp_path)
    blobs = {
        layer.descriptor.digest: layer.read(0, layer.descriptor.size_bytes)
        for layer in first.image.layers
    }
    known = tuple(
        ReleasedLayer(descriptor=layer.descriptor, diff_id=layer.diff_id, repository="team/app")
        for layer in first.image.layers[:-1]
        if layer.diff_id != first.image.layers[-1].diff_id
    )
    again = tmp_path / "again"
    again.mkdir()
    second = app_in_engine(
        yard.engine,
        image_id,
        again,
        released=Released(
            others=known, present=frozenset(layer.descriptor.digest for layer in known)
        ),
        read_range=lambda repository, digest, start, stop: blobs[digest][start:stop],
        travels=True,
        run_label=yard.name,
        stop=Stop(),
    )
    assert second.image == first.image
    assert "the registry lacks 1," in caplog.messages[-1]
    assert not (again / "app.tar").exists()
    for layer in second.image.layers:
        assert layer.read(0, layer.descriptor.size_bytes) == blobs[layer.descriptor.digest]


def test_a_store_that_is_elsewhere_is_passed_over(
    yard: Yard, image_id: str, tmp_path: Path
) -> None:
    """A rootless engine, say, or one behind a policy that refuses bind mounts."""
    facts = replace(yard.engine.facts, data_root=Path("/nonexistent"))
    engine = replace(yard.engine, facts=facts)
    ids = diff_ids(engine, image_id)
    label, stop = yard.name, Stop()
    assert (
        read_layer_store(engine, image_id, ids, ids, tmp_path, run_label=label, stop=stop) is None
    )
    assert (
        read_content_store(
            engine, image_id, lambda digest: True, tmp_path, run_label=label, stop=stop
        )
        is None
    )


def test_what_the_layers_say_of_a_models_place(yard: Yard, image_id: str, tmp_path: Path) -> None:
    app = whole_app(yard.engine, image_id, tmp_path).image
    steps = len(app.layers) - 6  # before CHANGES

    def fit(*paths: str) -> Fit:
        asked = [PurePosixPath(path) for path in paths]
        stack = [
            LayerEntries(
                layer.diff_id,
                record=None,
                scan=lambda blob=layer.descriptor, read=layer.read: scan(blob, read),
            )
            for layer in app.layers
        ]
        return fit_model(asked, stack, base_layers=steps)

    def scan(blob: Descriptor, read: object) -> object:
        return scan_layer(read, blob.size_bytes, blob.media_type, Stop())

    assert fit("/model/m").seam == steps
    assert fit("/lib/m").placements[PurePosixPath("/lib/m")].path == PurePosixPath("/usr/lib/m")
    assert fit("/work/deep/m").seam == steps  # WORKDIR's layer comes later, and has the last word
    deleted = fit("/data/v1/m")
    assert deleted.seam == steps + (3 if "opq" in deleted.notice else 2)
    assert "/data/v1" in deleted.notice
    linked = fit("/current/m")
    assert linked.placements[PurePosixPath("/current/m")].path == PurePosixPath("/data/v1/m")
    top = fit("/srv/model.bin")
    assert top.seam == len(app.layers)
    (folder,) = top.placements[PurePosixPath("/srv/model.bin")].folders
    assert folder.mode == 0o2775
    tmp = fit("/tmp/m").placements[PurePosixPath("/tmp/m")]
    assert tmp.folders[0].mode == 0o1777
    (_, home) = fit("/home/app/m").placements[PurePosixPath("/home/app/m")].folders
    assert (home.mode, home.uid) == (0o700, 1234)


def test_no_container_is_left(yard: Yard, image_id: str, tmp_path: Path) -> None:
    ids = diff_ids(yard.engine, image_id)
    read_layer_store(yard.engine, image_id, ids, (), tmp_path, run_label=yard.name, stop=Stop())
    mark = {"label": f"modelferry.run={yard.name}"}
    assert yard.engine.client.containers.list(all=True, filters=mark) == []


def test_another_builders_notes_make_no_other_app(
    yard: Yard, image_id: str, tmp_path: Path
) -> None:
    first = whole_app(yard.engine, image_id, tmp_path).image
    noted = json.dumps({**json.loads(first.config), "moby.buildkit.cache.v0": "b3RoZXJz"})
    layers = tuple(
        ReleasedLayer(descriptor=layer.descriptor, diff_id=layer.diff_id, repository="team/app")
        for layer in first.layers
    )
    released = ReleasedApp(
        tag="mf-main-app",
        config=noted.encode(),
        config_digest=Digest("sha256:" + "0" * 64),
        layers=layers,
        annotations={},
    )
    again = tmp_path / "again"
    again.mkdir()
    second = app_in_engine(
        yard.engine,
        image_id,
        again,
        released=Released(
            app=released, present=frozenset(layer.descriptor.digest for layer in layers)
        ),
        read_range=lambda *_: b"",
        travels=True,
        run_label=yard.name,
        stop=Stop(),
    )
    assert second.image.config == noted.encode()
    assert second.image.layers == first.layers
