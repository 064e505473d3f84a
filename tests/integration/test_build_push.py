"""build and push on the real engine and registry: from a Dockerfile and model files to a digest."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from modelferry import engine as engines
from modelferry.artifacts import (
    Descriptor,
    Image,
    Layer,
    Model,
    PushedImage,
    TestedImage,
    Verdict,
)
from modelferry.engine import Engine
from modelferry.errors import BuildError, RegistryError
from modelferry.image import load
from modelferry.image.compose import LAYER_TYPE, AppImage, compose
from modelferry.image.file_range import FileRange
from modelferry.image.released import Released
from modelferry.image.run_images import RunImages
from modelferry.image.spec import RegistryLogin
from modelferry.last_release.destination import Destination
from modelferry.last_release.read import read_released
from modelferry.plan.spec import ManagedTags, PushPlan
from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry
from modelferry.registry.manifests import StoredManifest, read_image
from modelferry.stages.build import build_image
from modelferry.stages.push import push_image
from modelferry.values import Digest, Secret, digest_of
from tests.build_spec import plain_spec
from tests.contracts.image_yard import Models, run_in

MIB = 1 << 20
PRINT_TREE = (
    r"find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /etc/hostname "
    r"-o -path /etc/hosts -o -path /etc/resolv.conf \) -prune -o -printf '%p %y %m %U:%G %Ts %l\n'"
)

MADE_WITH_A_CONTAINER = ("/", "/.dockerenv", "/etc", "/etc/mtab")

# A shell and what the tests look with: 8 MB instead of the base's 300, so a build takes a second.
SMALL_BASE = """\
FROM {base} AS full
RUN mkdir /small && cd / && cp -a bin sbin lib* root tmp opt home /small && \\
    for tool in sh cat sha256sum; do \\
      echo /usr/bin/$tool; ldd /usr/bin/$tool | grep -o '/lib[^ ]*' | sed 's,^/lib,/usr/lib,'; \\
    done | sort -u | xargs cp -L --parents -t /small
FROM scratch
COPY --from=full /small/ /
"""

Build = Callable[..., Image]


every_engine = pytest.mark.parametrize(
    "engine", ["first", "newer-classic", "newer-containerd"], indirect=True
)


@pytest.fixture
def engine(
    testbed: dict[str, str], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Engine]:
    """The testbed's first engine, or the one that the test's parameter names."""
    newer = dict(pair.split("=", 1) for pair in testbed["TESTBED_ENGINES"].split())
    named = getattr(request, "param", "first")
    if address := testbed.get("DOCKER_HOST") if named == "first" else newer[named]:
        monkeypatch.setenv("DOCKER_HOST", address)
    connected = engines.connect()
    yield connected
    connected.client.close()


@pytest.fixture(scope="session")
def small_bases() -> Iterator[dict[str, str]]:
    """By engine. Under a tag, so that no clearing of the build cache changes it between builds."""
    made: dict[str, str] = {}
    yield made
    for address, name in made.items():
        docker(address, "rmi", "--force", name)


@pytest.fixture
def small_base(small_bases: dict[str, str], engine: Engine, testbed: dict[str, str]) -> str:
    if engine.address not in small_bases:
        name = f"modelferry-test/small:{uuid4().hex}"
        text = SMALL_BASE.format(base=testbed["TESTBED_BASE_IMAGE"]).encode()
        build = ("buildx", "build", "--quiet", "--load", "--provenance=false", "--tag", name, "-")
        docker(engine.address, *build, stdin=text)
        small_bases[engine.address] = name
    return small_bases[engine.address]


def docker(address: str, *arguments: str, stdin: bytes = b"") -> None:
    env = {**os.environ, "DOCKER_HOST": address}
    subprocess.run(["docker", *arguments], input=stdin, env=env, capture_output=True, check=True)


@pytest.fixture
def context(tmp_path: Path, small_base: str, unique: str) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "app.py").write_text(f"# {unique}\n")
    write_dockerfile(folder, f"FROM {small_base}", "COPY app.py /code/")
    return folder


def write_dockerfile(folder: Path, *lines: str) -> None:
    (folder / "Dockerfile").write_text("\n".join((*lines, "")))


@pytest.fixture
def push_plan(registry_access: RegistryAccess, unique: str) -> PushPlan:
    return PushPlan(access=registry_access, repository=unique, tags=("v1", "latest"))


@pytest.fixture
def registry(push_plan: PushPlan) -> Registry:
    return Registry(push_plan.access, {})


@pytest.fixture
def build(
    engine: Engine,
    context: Path,
    models: Models,
    tmp_path: Path,
    unique: str,
    push_plan: PushPlan,
    registry: Registry,
) -> Iterator[Build]:
    """build_image on the context, with what most tests do not care about filled in."""
    access = push_plan.access
    assert access.username
    assert access.password
    login = RegistryLogin(host=access.host, username=access.username, password=access.password)
    spec = plain_spec(context, kept_as=unique, login=login)
    runs: list[RunImages] = []

    def run(model: Model | None = None, *, in_context: bool = False, **given: object) -> Image:
        images = RunImages(engine=engine, key=unique, run_label=f"{unique}-{len(runs)}")
        runs.append(images)
        temp = tmp_path / f"temp-{len(list(tmp_path.iterdir()))}"
        temp.mkdir()
        own = {
            name: given.pop(name)
            for name in ("annotations", "destination", "load")
            if name in given
        }
        to = Destination(push=push_plan, registry=registry, released=Released())
        settings = {"annotations": (), "destination": to, "load": True, **own}
        return build_image(
            replace(spec, **given),
            models.open(model, in_context=in_context) if model else None,
            images=images,
            temp=temp,
            workspace=context,
            **settings,
        ).image

    yield run
    for images in runs:
        images.release()


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


@pytest.fixture
def model(models: Models) -> Model:
    return models.of((("/model/large.onnx", 65 * MIB), ("/lib/größe.bin", 5)))


def push(image: Image, plan: PushPlan, registry: Registry) -> PushedImage:
    return push_image(TestedImage(image=image, verdict=Verdict.PASSED), plan, registry=registry)


def run(engine: Engine, image: str, command: str) -> str:
    return run_in(engine, image, "sh", "-c", command)


def test_what_was_built_is_what_a_node_pulls(
    build: Build, model: Model, push_plan: PushPlan, registry: Registry, engine: Engine
) -> None:
    image = build(model)
    assert image.engine_id in (digest_of(image.config), digest_of(image.manifest))
    pushed = push(image, push_plan, registry)
    assert pushed.digest == image.digest == digest_of(image.manifest)
    assert str(pushed.ref) == f"{push_plan.name}@{image.digest}"
    for reference in (*push_plan.tags, pushed.digest):
        stored = registry.get_manifest(push_plan.repository, reference)
        assert stored is not None
        assert stored.data == image.manifest

    engine.client.images.remove(image.engine_id, force=True)
    login = {
        "username": push_plan.access.username,
        "password": push_plan.access.password.reveal() if push_plan.access.password else "",
    }
    pulled = engine.client.images.pull(push_plan.name.name, image.digest, auth_config=login)
    assert pulled.id == image.engine_id
    sums = run(engine, image.engine_id, "sha256sum /model/large.onnx /lib/größe.bin")
    assert [line.split()[0] for line in sums.splitlines()] == [f.sha256 for f in model.files]


@every_engine
def test_nothing_changes_in_the_image_but_the_files(
    build: Build, models: Models, context: Path, testbed: dict[str, str], engine: Engine
) -> None:
    write_dockerfile(
        context,
        f"FROM {testbed['TESTBED_BASE_IMAGE']}",
        "RUN mkdir -m 0700 /home/app && chown 1234:5678 /home/app && touch -d 2001-02-03 /home/app",
    )
    paths = ("/home/app/m", "/tmp/m", "/root/m", "/lib/m", "/opt/new/m")
    with_model = build(models.model(*paths, size=9))
    without = build()
    before, after = (
        {
            line
            for line in run(engine, image.engine_id, PRINT_TREE).splitlines()
            if line.split()[0] not in MADE_WITH_A_CONTAINER
        }
        for image in (without, with_model)
    )
    assert len(before) > 1000
    assert before - after == set()
    assert {line.split()[0] for line in after - before} == {
        "/home/app/m",
        "/tmp/m",
        "/root/m",
        "/usr/lib/m",
        "/opt/new",
        "/opt/new/m",
    }


@every_engine
def test_only_what_changed_is_sent(
    build: Build, model: Model, context: Path, push_plan: PushPlan, registry: Registry
) -> None:
    managed = ManagedTags(image="mf-main", app="mf-app", fallback_image=None, fallback_app=None)
    plan = replace(push_plan, managed=managed)

    def deliver() -> tuple[Image, PushedImage]:
        released = read_released(registry, plan)
        to = Destination(push=plan, registry=registry, released=released)
        image = build(model, destination=to)
        tested = TestedImage(image=image, verdict=Verdict.PASSED)
        return image, push_image(tested, plan, registry=registry, released=released)

    image, first = deliver()
    assert image.uploaded_bytes > 65 * MIB, "the model travels while the image is made"
    assert first.uploaded_bytes > image.uploaded_bytes
    image, again = deliver()
    assert image.uploaded_bytes == again.uploaded_bytes == 0
    (context / "app.py").write_text("print('changed')\n")
    image, changed = deliver()
    assert image.uploaded_bytes < MIB  # the code's layer, while the image is made
    assert changed.digest != first.digest
    assert 0 < changed.uploaded_bytes < MIB


@every_engine
def test_the_image_id_is_a_function_of_content(build: Build, model: Model, engine: Engine) -> None:
    first = build(model, annotations=(("org.opencontainers.image.revision", "a"),))
    second = build(model, annotations=(("org.opencontainers.image.revision", "b"),))
    assert first.config == second.config
    assert first.digest != second.digest
    if engine.facts.store == "classic":
        assert first.engine_id == second.engine_id


@every_engine
def test_the_engine_shows_where_the_model_came_from(
    build: Build, model: Model, engine: Engine
) -> None:
    image = build(model, labels=(("team", "risk"),))
    shown = engine.client.images.get(image.engine_id)
    assert shown.labels["team"] == "risk"
    assert shown.labels["modelferry.model.version"] == "v7"
    assert shown.labels["modelferry.model.uri"].splitlines()[0].endswith("/large.onnx")
    lines = [line["CreatedBy"] for line in shown.history()]
    assert "MODEL azblob://store/models/large.onnx => /model/large.onnx" in lines
    assert any("COPY app.py" in line for line in lines)
    stored = StoredManifest(
        media_type=image.manifest_media_type, digest=image.digest, data=image.manifest
    )
    annotated = [dict(layer.annotations) for layer in read_image(stored).layers]
    (large,) = json.loads(annotated[-2]["modelferry.model.files"])
    assert (large["etag"], large["sha256"]) == ('"1"', model.files[0].sha256)


def test_without_a_push_nothing_is_compressed(build: Build, model: Model, tmp_path: Path) -> None:
    image = build(model, destination=None)
    assert {layer.descriptor.media_type for layer in image.layers} == {LAYER_TYPE}
    assert list(tmp_path.rglob("*.gz")) == []


@every_engine
def test_no_container_is_left(build: Build, engine: Engine, model: Model, unique: str) -> None:
    build(model)
    labelled = {"label": f"modelferry.run={unique}-0"}
    assert engine.client.containers.list(all=True, filters=labelled) == []


def test_a_model_goes_into_a_folder_that_is_one(build: Build, models: Models) -> None:
    with pytest.raises(BuildError, match="it is a folder there") as caught:
        build(models.model("/home", size=3))
    assert "=> /home/" in caught.value.do


def test_two_names_of_one_place_are_refused(build: Build, models: Models) -> None:
    with pytest.raises(BuildError, match=r"/usr/lib/m and /lib/m are one place|one place"):
        build(models.model("/usr/lib/m", "/lib/m", size=3))


def test_a_file_below_another_is_refused(build: Build, models: Models) -> None:
    """No engine could unpack it."""
    with pytest.raises(BuildError, match="below /usr/lib/a in the image, a file of the model"):
        build(models.model("/lib/a", "/usr/lib/a/b", size=3))


@every_engine
def test_a_folder_that_leads_to_a_file_is_none(
    build: Build, context: Path, small_base: str, models: Models
) -> None:
    """Put below it, the model would be hidden by the layer above, and nobody told."""
    (context / "tree").mkdir()
    (context / "tree" / "data").write_text("a file\n")
    (context / "tree" / "model").symlink_to("/data")
    write_dockerfile(context, f"FROM {small_base}", "COPY tree/ /", "COPY app.py /code/")
    with pytest.raises(BuildError, match="/data is a file there, not a folder"):
        build(models.model("/model/m", size=3))


@every_engine
def test_a_failing_step_is_shown_on_its_line(
    build: Build, context: Path, small_base: str, tmp_path: Path
) -> None:
    write_dockerfile(
        context, f"FROM {small_base}", "RUN echo nearly there \\", " && exit 7", "RUN true"
    )
    with pytest.raises(BuildError) as caught:
        build()
    error = caught.value
    assert error.what.startswith("The build failed at Dockerfile:2, `RUN echo nearly there")
    assert error.what.endswith("exit code: 7")
    assert "nearly there" in error.seen
    (annotation,) = error.annotations
    assert (annotation.file, annotation.line) == ("Dockerfile", 2)
    assert list(tmp_path.rglob("buildx")) == []


@every_engine
def test_a_missing_file_and_a_wrong_word_are_shown_too(
    build: Build, context: Path, small_base: str
) -> None:
    write_dockerfile(context, f"FROM {small_base}", "COPY nosuch.py /code/")
    with pytest.raises(BuildError, match=r"Dockerfile:\d+, `COPY nosuch\.py /code/`.*not found"):
        build()
    write_dockerfile(context, f"FROM {small_base}", "RUNN true")
    with pytest.raises(BuildError, match=r"Dockerfile:2: unknown instruction: RUNN"):
        build()


def test_every_build_input_reaches_the_build(
    build: Build,
    context: Path,
    small_base: str,
    tmp_path: Path,
    engine: Engine,
    caplog: pytest.LogCaptureFixture,
    unique: str,
) -> None:
    digest = hashlib.sha256(f"{unique}-secret".encode()).hexdigest()
    write_dockerfile(
        context,
        f"FROM {small_base}",
        "ARG GREETING",
        "RUN --mount=type=secret,id=token sha256sum /run/secrets/token > /sum"
        f" && read sum rest < /sum && test $sum = {digest}",
        "RUN echo $GREETING > /greeting",
        "FROM scratch AS not-wanted",
    )
    text = (context / "Dockerfile").read_text()
    (context / "Dockerfile").write_text(text.replace("\nARG", " AS wanted\nARG", 1))
    caplog.set_level(logging.DEBUG)
    image = build(
        target="wanted",
        no_cache=True,
        platform=engine.facts.platform,
        build_args=(("GREETING", unique),),
        build_secrets=(("token", Secret(f"{unique}-secret")),),
        cache_to=("type=inline",),
    )
    assert run(engine, image.engine_id, "cat /greeting").strip() == unique
    assert f"{unique}-secret" not in caplog.text
    assert f"{unique}-secret".encode() not in image.config
    with pytest.raises(BuildError, match="RUN --mount=type=secret"):
        build(target="wanted", no_cache=True, build_args=(("GREETING", unique),))


def test_a_model_in_the_context_is_there_while_building(
    build: Build, model: Model, context: Path, small_base: str, engine: Engine
) -> None:
    write_dockerfile(
        context, f"FROM {small_base}", "COPY large.onnx /seen/", "RUN sha256sum /seen/* > /sum"
    )
    image = build(model, in_context=True)
    assert run(engine, image.engine_id, "cat /sum").split()[0] == model.files[0].sha256
    kept = run(engine, image.engine_id, "sha256sum /model/large.onnx")
    assert kept.split()[0] == model.files[0].sha256
    assert {path.name for path in context.iterdir()} == {"Dockerfile", "app.py"}
    write_dockerfile(context, f"FROM {small_base}", "RUN exit 1")
    with pytest.raises(BuildError):
        build(model, in_context=True)
    assert {path.name for path in context.iterdir()} == {"Dockerfile", "app.py"}


def test_another_build_context_is_read(
    build: Build,
    context: Path,
    testbed: dict[str, str],
    tmp_path: Path,
    engine: Engine,
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "shared.py").write_text("shared")
    write_dockerfile(
        context, f"FROM {testbed['TESTBED_BASE_IMAGE']}", "COPY --from=lib shared.py /code/"
    )
    given = (("lib", str(tmp_path / "lib")),)
    image = build(builder=testbed["TESTBED_BUILDKIT"], build_contexts=given)
    assert run(engine, image.engine_id, "cat /code/shared.py") == "shared"


@every_engine
def test_a_buildkit_elsewhere_builds_into_this_engine(
    build: Build,
    model: Model,
    testbed: dict[str, str],
    engine: Engine,
    context: Path,
    tmp_path: Path,
    push_plan: PushPlan,
    registry: Registry,
) -> None:
    write_dockerfile(context, f"FROM {testbed['TESTBED_BASE_IMAGE']}", "COPY app.py /code/")
    image = build(model, builder=testbed["TESTBED_BUILDKIT"])
    pushed = push(image, push_plan, registry)
    assert pushed.digest == image.digest
    sums = run(engine, image.engine_id, "sha256sum /model/large.onnx")
    assert sums.split()[0] == model.files[0].sha256
    assert list(tmp_path.rglob("buildx")) == []


def test_a_buildkit_that_does_not_answer_is_named(build: Build) -> None:
    with pytest.raises(BuildError) as caught:
        build(builder="unix:///nonexistent/buildkitd.sock")
    assert caught.value.what == "No BuildKit answers at unix:///nonexistent/buildkitd.sock"


@every_engine
def test_the_engine_takes_a_full_archive_when_it_lacks_the_app(
    engine: Engine, tmp_path: Path, unique: str
) -> None:
    tree = io.BytesIO()
    with tarfile.open(fileobj=tree, mode="w") as tar:
        entry = tarfile.TarInfo("hello")
        entry.size = len(unique)
        tar.addfile(entry, io.BytesIO(unique.encode()))
    data = tree.getvalue()
    (tmp_path / "layer").write_bytes(data)
    content = FileRange(path=tmp_path / "layer", start=0, size_bytes=len(data))
    blob = Descriptor(media_type=LAYER_TYPE, digest=digest_of(data), size_bytes=len(data))
    layer = Layer(descriptor=blob, diff_id=digest_of(data), origin="app", read=content.read)
    system, architecture = engine.facts.platform.split("/")[:2]
    config = json.dumps({"architecture": architecture, "os": system, "config": {}}).encode()
    composed = compose(AppImage(config=config, layers=(layer,)), ())
    images = RunImages(engine=engine, key=unique, run_label=unique)
    loaded = load.load_image(images, (), lambda: composed)
    try:
        assert loaded in (composed.config.digest, composed.manifest.digest)
        assert engine.client.images.get(loaded).id == loaded
    finally:
        images.release()


@every_engine
def test_an_image_that_cannot_be_loaded_is_an_error(engine: Engine, unique: str) -> None:
    data = unique.encode()  # no tar
    blob = Descriptor(media_type=LAYER_TYPE, digest=digest_of(data), size_bytes=len(data))
    layer = Layer(
        descriptor=blob,
        diff_id=digest_of(data),
        origin="model",
        read=lambda start, stop: data[start:stop],
    )
    config = b'{"architecture":"amd64","os":"linux","config":{}}'
    composed = compose(AppImage(config=config, layers=(layer,)), ())
    with pytest.raises(BuildError, match="did not load the image"):
        load.load_image(
            RunImages(engine=engine, key=unique, run_label=unique), (), lambda: composed
        )
    for image_id in (composed.config.digest, composed.manifest.digest):
        assert engine.request("GET", f"/images/{image_id}/json").status_code == 404


def test_a_manifest_that_is_lost_means_no_tag(
    build: Build, push_plan: PushPlan, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = build()
    put = Registry.put_manifest

    def lose(self: Registry, repository: str, reference: str, data: bytes, kind: str) -> Digest:
        if reference == image.digest:
            return image.digest
        return put(self, repository, reference, data, kind)

    monkeypatch.setattr(Registry, "put_manifest", lose)
    with pytest.raises(RegistryError, match=r"took manifest .* and does not have it"):
        push(image, push_plan, registry)
    for tag in push_plan.tags:
        assert registry.get_manifest(push_plan.repository, tag) is None


def test_another_image_than_the_tested_one_is_not_pushed(
    build: Build, push_plan: PushPlan, registry: Registry
) -> None:
    other = replace(build(), engine_id=digest_of(b"another"))
    with pytest.raises(AssertionError, match="was tested and is not what would be pushed"):
        push(other, push_plan, registry)
    assert registry.get_manifest(push_plan.repository, push_plan.tags[0]) is None


def test_a_blob_that_is_missing_means_no_tag(
    build: Build,
    model: Model,
    push_plan: PushPlan,
    registry: Registry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = build(model)
    lost = digest_of(image.config)  # the layers went before
    upload = Registry.upload_blob

    def lose_one(self: Registry, repository: str, blob: object, count: object) -> None:
        if blob.digest != lost:
            upload(self, repository, blob, count)

    monkeypatch.setattr(Registry, "upload_blob", lose_one)
    with pytest.raises(RegistryError, match=r"could not push .*BLOB_UNKNOWN"):
        push(image, push_plan, registry)
    for tag in push_plan.tags:
        assert registry.get_manifest(push_plan.repository, tag) is None
