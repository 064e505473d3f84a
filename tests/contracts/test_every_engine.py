"""build and push on every engine users have: the classic store, old and new, and containerd's."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelferry.artifacts import Model, TestedImage, Verdict
from modelferry.engine import Engine
from modelferry.image import load
from modelferry.image.app.buildx import build_app
from modelferry.image.compose import GZIP_LAYER_TYPE, LAYER_TYPE, Composition, compose
from modelferry.image.load import load_image
from modelferry.image.released import Released
from modelferry.last_release.destination import Destination
from modelferry.plan.spec import PushPlan
from modelferry.registry.client import Registry
from modelferry.stages.build import build_target
from modelferry.stages.push import push_image
from tests.contracts.conftest import Connect, MakeYard
from tests.contracts.image_yard import MADE_BY, SMALL, Yard, run_in, sha256_in, sha256_of
from tests.contracts.whole_app import whole_app

ENGINES = ("first", "newer-classic", "newer-containerd")
ALONE_BYTES = 64 << 20


@pytest.fixture(params=ENGINES)
def yard(request: pytest.FixtureRequest, connect: Connect, make_yard: MakeYard) -> Yard:
    return make_yard(connect(request.param))


@pytest.fixture(autouse=True)
def _only_what_the_engine_lacks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The archive without the app's layers was enough, in every test here."""
    caplog.set_level("INFO", "modelferry")
    yield
    said = [record.getMessage() for record in caplog.get_records("call")]
    assert [line for line in said if "sending all" in line] == []


def test_the_engines_are_what_their_names_say(connect: Connect) -> None:
    facts = {name: connect(name).facts for name in ENGINES}
    assert facts["newer-classic"].store == "classic"
    assert facts["newer-containerd"].store == "containerd"
    assert int(facts["newer-classic"].version.split(".")[0]) >= 28


def test_the_app_reads_its_model_as_it_was_fetched(yard: Yard) -> None:
    small = yard.model("/model/model.onnx", "/model/words/vocabulary.txt", "/srv/weights.bin")
    big = yard.model("/model/big.bin", size=ALONE_BYTES)
    files = (*small.resolved.files, *big.resolved.files)
    resolved = replace(small.resolved, files=files)
    model = Model(resolved=resolved, files=(*small.files, *big.files))
    image = yard.build(model)
    assert sha256_in(yard.engine, image.engine_id, model) == sha256_of(model)
    assert yard.run(image.engine_id).startswith(yard.name)
    assert [layer.origin for layer in image.layers][-3:] == ["app", "model", "model"]


def test_the_engine_has_the_very_image_that_will_be_pushed(yard: Yard) -> None:
    image = yard.build(yard.model("/model/model.onnx"))
    if yard.engine.facts.store == "classic":
        assert image.engine_id == _digest(image.config)
    else:
        assert image.engine_id == image.digest
    kept = yard.engine.client.images.get(image.engine_id).attrs
    assert kept["Id"] == image.engine_id
    assert kept["RootFS"]["Layers"] == [layer.diff_id for layer in image.layers]
    assert kept["Config"]["Labels"]["modelferry.model.version"] == "v7"
    assert kept["Config"]["Labels"]["org.example.kind"] == "test"


def test_an_app_without_a_model(yard: Yard) -> None:
    image = yard.build()
    assert yard.run(image.engine_id).startswith(yard.name)


def test_an_image_of_data_alone(yard: Yard) -> None:
    """An app without a layer, which the oldest engine here does not save."""
    yard.write("Dockerfile", 'FROM scratch\nLABEL data=alone\nCMD ["/none"]\n')
    model = yard.model("/data/model.bin")
    image = yard.build(model)
    assert [layer.origin for layer in image.layers] == ["model"]
    container = yard.engine.client.containers.create(image.engine_id)
    try:
        packed = b"".join(container.get_archive("/data/model.bin")[0])
    finally:
        container.remove(force=True)
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        content = archive.extractfile("model.bin")
        assert content
        assert hashlib.sha256(content.read()).hexdigest() == model.files[0].sha256
    config = json.loads(image.config)["config"]
    assert (config["Labels"]["data"], config["Cmd"]) == ("alone", ["/none"])


def test_after_a_change_of_code_only_the_code_is_new(yard: Yard, push_plan: PushPlan) -> None:
    to = Destination(push=push_plan, registry=Registry(push_plan.access), released=Released())
    model = yard.model("/model/model.onnx")
    before = yard.build(model, destination=to)
    yard.write("app.txt", "new code")
    after = yard.build(model, destination=to)
    assert yard.run(after.engine_id) == "new code"
    assert sha256_in(yard.engine, after.engine_id, model) == sha256_of(model)
    old = {layer.descriptor.digest for layer in before.layers}
    new = [layer for layer in after.layers if layer.descriptor.digest not in old]
    assert [layer.origin for layer in new] == ["app"]
    assert new[0].descriptor.size_bytes < 10_000


def test_the_same_build_again_gives_the_same_image(yard: Yard) -> None:
    model = yard.model("/model/model.onnx")
    assert yard.build(model).digest == yard.build(model).digest


def test_one_app_is_the_same_image_on_every_engine(
    connect: Connect, make_yard: MakeYard, tmp_path: Path
) -> None:
    """Its config everywhere; its layers' compressed bytes wherever we compress them."""
    builder = make_yard(connect("first"))
    app = builder.build()
    archive = b"".join(builder.engine.client.images.get(app.engine_id).save())
    composed: dict[str, Composition] = {}
    for name in ENGINES:
        engine = make_yard(connect(name)).engine
        image_id = str(engine.client.images.load(archive)[0].id)
        folder = tmp_path / name
        folder.mkdir()
        composed[name] = compose(whole_app(engine, image_id, folder).image, ())
    assert len({image.config.digest for image in composed.values()}) == 1
    assert composed["first"].manifest.digest == composed["newer-classic"].manifest.digest


def test_what_was_pushed_is_what_was_tested(
    yard: Yard, connect: Connect, push_plan: PushPlan
) -> None:
    """Pulled by another engine than it was built on."""
    model = yard.model("/model/model.onnx", "/srv/team/words.txt")
    registry = Registry(push_plan.access)
    image = yard.build(
        model, destination=Destination(push=push_plan, registry=registry, released=Released())
    )
    app_types = {layer.descriptor.media_type for layer in image.layers if layer.origin == "app"}
    assert app_types <= {GZIP_LAYER_TYPE, LAYER_TYPE}
    pushed = push_image(
        TestedImage(image=image, verdict=Verdict.PASSED),
        push_plan,
        registry=registry,
    )
    assert pushed.digest == image.digest
    first = connect("first")
    pulled = _pull(first, push_plan, f"{push_plan.name}@{pushed.digest}")
    try:
        assert pulled == _digest(image.config)
        assert sha256_in(first, pulled, model) == sha256_of(model)
        assert run_in(first, pulled).startswith(yard.name)
    finally:
        first.client.images.remove(pulled, force=True)


@pytest.mark.parametrize(
    ("path", "real", "parents"),
    [
        ("/tmp/model.bin", "/tmp/model.bin", ("/tmp",)),
        ("/home/app/model.bin", "/home/app/model.bin", ("/home", "/home/app")),
        ("/srv/team/model.bin", "/srv/team/model.bin", ("/srv", "/srv/team")),
        ("/lib/models/model.bin", "/usr/lib/models/model.bin", ("/lib", "/usr", "/usr/lib")),
        ("/var/run/models/model.bin", "/run/models/model.bin", ("/var", "/var/run")),
    ],
)
def test_beside_the_file_nothing_changes(
    yard: Yard, path: str, real: str, parents: tuple[str, ...]
) -> None:
    without = yard.build()
    model = yard.model(path)
    image = yard.build(model)
    look = ("stat", "--format", "%n %F %a %u %g %Y", *parents)
    assert yard.run(image.engine_id, *look) == yard.run(without.engine_id, *look)
    assert yard.run(image.engine_id, "realpath", path) == real
    assert yard.run(image.engine_id, "stat", "--format", "%a %u %g", real) == "644 0 0"
    assert sha256_in(yard.engine, image.engine_id, model) == sha256_of(model)


def test_a_model_in_the_context(yard: Yard) -> None:
    model = yard.model("/model/model.bin")
    step = "RUN sha256sum /early/model.bin | cut -c1-64 > /srv/seen"
    yard.write("Dockerfile", f"{SMALL}COPY model.bin /early/\n{step}\n")
    image = yard.build(model, in_context=True)
    assert yard.run(image.engine_id, "cat", "/srv/seen") == model.files[0].sha256
    assert sha256_in(yard.engine, image.engine_id, model) == sha256_of(model)
    assert not (yard.context / "model.bin").exists()


def test_a_model_in_the_context_of_the_test_target(yard: Yard, tmp_path: Path) -> None:
    model = yard.model("/model/model.bin")
    yard.write("Dockerfile", f"{SMALL}\nFROM full AS tests\nCOPY model.bin /early/\n")
    target = build_target(
        replace(yard.spec(), target="tests"),
        images=yard.images,
        temp=tmp_path,
        workspace=yard.context,
        in_context=yard.copies(model),
    )
    seen = run_in(yard.engine, target, "sha256sum", "/early/model.bin")
    assert seen.split()[0] == model.files[0].sha256
    assert not (yard.context / "model.bin").exists()


def test_an_app_built_by_another_builder(yard: Yard, testbed: dict[str, str]) -> None:
    model = yard.model("/model/model.onnx")
    image = yard.build(model, builder=testbed["TESTBED_BUILDKIT"])
    assert yard.run(image.engine_id).startswith(yard.name)
    assert sha256_in(yard.engine, image.engine_id, model) == sha256_of(model)


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
def test_an_engine_that_lacks_the_apps_layers_gets_them_too(
    yard: Yard,
    known: bool,
    testbed: dict[str, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody's prune, say. A builder elsewhere keeps no cache in the engine, but hands over
    plain layers; the containerd store gets compressed ones, as its own builder makes them."""
    compressed = yard.engine.facts.store == "containerd"
    own = f"/srv/{yard.name}.txt"  # in the words of the last step: nothing else is upon it
    yard.write("Dockerfile", f'{SMALL}\nCOPY app.txt {own}\nCMD ["cat", "{own}"]')
    spec = replace(yard.spec(), builder="docker" if compressed else testbed["TESTBED_BUILDKIT"])
    app = build_app(spec, yard.images, "app", temp=tmp_path, workspace=yard.context)
    saved = whole_app(yard.engine, app, tmp_path)
    yard.engine.client.images.remove(app, force=True)
    if compressed:
        yard.forget()
    composed = compose(saved.image, (), labels=(("a", "b"),))
    if not known:
        monkeypatch.setattr(load, "lacking", lambda *_, **__: ())
    loaded = load_image(yard.images, (), lambda: composed)
    assert yard.run(loaded).startswith(yard.name)
    assert ("sending all" in caplog.text) == (not known)
    caplog.clear()


def test_attestations_beside_the_image_are_left_out(
    connect: Connect, make_yard: MakeYard, tmp_path: Path
) -> None:
    """An index in place of an image; only the containerd store can keep one."""
    yard = make_yard(connect("newer-containerd"))
    tag = f"{yard.name}:attested"
    build = ("docker", "buildx", "build", "--load", "--provenance=true", "--tag", tag)
    given = ("--build-arg", f"BASE={yard.base}", "--label", f"{MADE_BY}={yard.name}")
    subprocess.run([*build, *given, str(yard.context)], check=True, capture_output=True)
    app = whole_app(yard.engine, tag, tmp_path).image
    kept = yard.engine.client.images.get(tag).attrs["RootFS"]["Layers"]
    assert [layer.diff_id for layer in app.layers] == kept
    assert json.loads(app.config)["rootfs"]["diff_ids"] == kept


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _pull(engine: Engine, plan: PushPlan, reference: str) -> str:
    password = plan.access.password
    login = {"username": plan.access.username, "password": password.reveal() if password else ""}
    return str(engine.client.images.pull(reference, auth_config=login).id)
