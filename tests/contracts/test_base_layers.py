"""A base image's layers on a first release: taken as its registry has them, on every engine, and
out of the engine where that registry does not help."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from modelferry.artifacts import Image, Model, TestedImage, Verdict
from modelferry.errors import BuildError
from modelferry.image.released import Released
from modelferry.image.spec import RegistryLogin
from modelferry.last_release.base_images import find_base
from modelferry.last_release.destination import Destination
from modelferry.last_release.read import read_released
from modelferry.plan.spec import PushPlan
from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry
from modelferry.stages.push import push_image
from modelferry.values import Digest, ImageRef, Secret
from testbed.own_registry import OwnRegistry, own_registry
from tests.contracts.conftest import Connect, MakeYard
from tests.contracts.image_yard import MADE_BY, SMALL, Yard, run_in, sha256_in, sha256_of
from tests.contracts.relay import relayed

ENGINES = ("first", "newer-classic", "newer-containerd")
FILLING = 8 << 20  # of the base; nothing else here is as large


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    image: Image
    model: Model
    sent_bytes: int


class World:
    def __init__(self, yard: Yard, plan: PushPlan) -> None:
        self.yard, self.plan, self.engine = yard, plan, yard.engine
        self.login = {"username": plan.access.username, "password": password(plan.access)}

    def base(self, name: str, *, push: bool = True) -> list[Digest]:
        """A new image in the engine, and in its registry; its layers there, or nothing."""
        folder = self.yard.folder / f"base-{os.urandom(4).hex()}"
        folder.mkdir()
        (folder / "filling").write_bytes(os.urandom(FILLING))
        (folder / "Dockerfile").write_text(f"{SMALL}COPY filling /filling\nENV MADE=base\n")
        given = ("--build-arg", f"BASE={self.yard.base}", "--label", f"{MADE_BY}={self.yard.name}")
        build = ["docker", "buildx", "build", "--builder", "default", "--provenance=false"]
        words = [*build, "--load", "--tag", name, *given, str(folder)]
        subprocess.run(words, check=True, capture_output=True)
        if not push:
            return []
        said = self.engine.client.images.push(
            name, auth_config=self.login, stream=True, decode=True
        )
        assert not [line["error"] for line in said if "error" in line]
        return layers_of(name, self.plan.access)

    def release(
        self, base: str, *more: str, released: Released | None = None, **chosen: object
    ) -> Made:
        lines = (f"FROM {base}", "COPY app.txt /srv/app.txt", *more, "")
        self.yard.write("Dockerfile", "\n".join(lines))
        registry, model = Registry(self.plan.access), self.yard.model("/lib/deep/m")
        spec = replace(self.yard.spec(), **chosen)
        image = self.yard.build(
            model,
            destination=Destination(
                push=self.plan, registry=registry, released=released or Released()
            ),
            base=lambda platform, known: find_base(
                spec, self.plan.access, self.engine, platform, known
            ),
            **chosen,
        )
        tested = TestedImage(image=image, verdict=Verdict.PASSED)
        pushed = push_image(tested, self.plan, registry=registry)
        assert pushed.digest == image.digest
        return Made(image=image, model=model, sent_bytes=pushed.uploaded_bytes)

    def check(self, released: Made) -> None:
        """It runs as it was tested, and as an engine pulls it that has no such image."""
        image = released.image
        assert sha256_in(self.engine, image.engine_id, released.model) == sha256_of(released.model)
        assert json.loads(image.config)["config"]["Env"][-1] == "MADE=base"
        self.yard.images.release()
        client = self.engine.client
        reference = f"{self.plan.name}@{image.digest}"
        pulled = str(client.images.pull(reference, auth_config=self.login).id)
        try:
            assert pulled == image.engine_id
            assert sha256_in(self.engine, pulled, released.model) == sha256_of(released.model)
            ran = run_in(self.engine, pulled, "cat", "/srv/app.txt")
            assert ran.startswith(self.yard.name)
        finally:
            client.images.remove(pulled, force=True)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[OwnRegistry]:
    folder = tmp_path / "other-registry"
    folder.mkdir()
    with own_registry(folder) as made:
        yield made


@pytest.fixture(params=ENGINES)
def world(
    request: pytest.FixtureRequest,
    connect: Connect,
    make_yard: MakeYard,
    push_plan: PushPlan,
    other: OwnRegistry,
) -> Iterator[World]:
    engine = connect(request.param)
    with relayed(engine.address, port(other.host), port(push_plan.access.host)):
        yield World(make_yard(engine), push_plan)


def port(host: str) -> int:
    return int(host.rpartition(":")[2])


def password(access: RegistryAccess) -> str:
    assert access.password
    return access.password.reveal()


def login_of(access: RegistryAccess) -> RegistryLogin:
    assert access.username
    return RegistryLogin(
        host=access.host, username=access.username, password=Secret(password(access))
    )


def layers_of(name: str, access: RegistryAccess) -> list[Digest]:
    image = ImageRef.parse(name)
    stored = Registry(replace(access, host=image.registry)).get_manifest(image.repository, "latest")
    assert stored
    return [layer["digest"] for layer in json.loads(stored.data)["layers"]]


def bottom(released: Made, count: int) -> list[Digest]:
    return [layer.descriptor.digest for layer in released.image.layers[:count]]


def test_a_base_in_another_registry_is_copied_as_it_is(world: World, other: OwnRegistry) -> None:
    name = f"{other.host}/{world.yard.name}/base:latest"
    there = world.base(name)
    released = world.release(name)
    assert bottom(released, len(there)) == there
    assert released.sent_bytes > FILLING  # through us, registry to registry
    assert not list(world.yard.folder.rglob("app.tar"))  # and not out of the engine
    world.check(released)


def test_a_base_that_is_pulled_by_the_build_is_copied_as_it_is(
    world: World, other: OwnRegistry
) -> None:
    """As on a fresh runner: the engine has no image of that name, neither before nor after."""
    name = f"{other.host}/{world.yard.name}/base:latest"
    there = world.base(name)
    world.engine.client.images.remove(name, force=True)
    made = world.release(name)
    assert bottom(made, len(there)) == there
    assert [layer.origin for layer in made.image.layers][: len(there) + 1] == [
        *("app" for _ in there),
        "model",
    ]
    world.check(made)


def test_a_base_in_the_same_registry_is_mounted(world: World) -> None:
    name = f"{world.plan.access.host}/contracts/{world.yard.name}-base:latest"
    there = world.base(name)
    released = world.release(name)
    assert bottom(released, len(there)) == there
    assert released.sent_bytes < FILLING / 4
    world.check(released)


def test_a_first_model_lies_right_above_a_base_of_the_same_registry(world: World) -> None:
    """As on a fresh runner, with what a run reads of the registry beforehand."""
    name = f"{world.plan.access.host}/contracts/{world.yard.name}-base:latest"
    there = world.base(name)
    world.engine.client.images.remove(name, force=True)
    registry = Registry(world.plan.access)
    released = read_released(registry, world.plan, others=(ImageRef.parse(name),))
    assert len(released.others) == len(there)
    made = world.release(name, released=released, login=login_of(world.plan.access))
    assert bottom(made, len(there)) == there
    assert [layer.origin for layer in made.image.layers].index("model") == len(there)
    assert made.sent_bytes < FILLING / 4
    world.check(made)


def test_a_base_that_only_the_engine_has_comes_out_of_it(world: World) -> None:
    name = f"modelferry.invalid/{world.yard.name}-base:latest"
    world.base(name, push=False)
    began = time.monotonic()
    released = world.release(name)
    assert time.monotonic() - began < 60
    assert released.sent_bytes > FILLING
    world.check(released)


def test_a_base_whose_tag_has_moved_is_the_one_that_the_engine_took(
    world: World, other: OwnRegistry
) -> None:
    """The engine's is asked for by its digest; of another image under the tag nothing is taken."""
    name = f"{other.host}/{world.yard.name}/base:latest"
    before = world.base(name)
    kept = f"modelferry.invalid/{world.yard.name}-kept:latest"
    world.engine.client.images.get(name).tag(kept)
    after = world.base(name)
    world.engine.client.images.get(kept).tag(name)
    released = world.release(name)
    blobs = {layer.descriptor.digest for layer in released.image.layers}
    assert after[-1] not in blobs
    assert blobs >= set(before)
    world.check(released)


def test_what_a_registry_no_longer_has_comes_out_of_the_engine(
    world: World, other: OwnRegistry
) -> None:
    name = f"{other.host}/{world.yard.name}/base:latest"
    world.base(name)
    other.forget()
    world.check(world.release(name))


def test_a_registry_that_died_since_the_pull_is_waited_for_seconds_only(
    world: World, other: OwnRegistry
) -> None:
    name = f"{other.host}/{world.yard.name}/base:latest"
    world.base(name)
    other.kill()
    began = time.monotonic()
    released = world.release(name)
    assert time.monotonic() - began < 45  # the build and the push among them
    world.check(released)


def test_a_registry_that_refuses_us_costs_no_release(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who pulled the base had a login that this run has not."""
    caplog.set_level("INFO")
    plan = world.plan
    name = f"{plan.access.host}/contracts/{world.yard.name}-base:latest"
    world.base(name)
    (tmp_path / "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    nobody = replace(plan.access, username=None, password=None)
    world.yard.write("Dockerfile", f"FROM {name}\nCOPY app.txt /srv/app.txt\n")
    model = world.yard.model("/lib/deep/m")
    image = world.yard.build(
        model,
        destination=Destination(push=plan, registry=Registry(plan.access), released=Released()),
        base=lambda platform, known: find_base(
            world.yard.spec(), nobody, world.engine, platform, known
        ),
    )
    pushed = push_image(
        TestedImage(image=image, verdict=Verdict.PASSED), plan, registry=Registry(plan.access)
    )
    assert any("comes out of Docker" in line for line in caplog.messages)
    world.check(Made(image=image, model=model, sent_bytes=pushed.uploaded_bytes))


def test_a_first_model_is_on_its_way_while_the_app_is_built(
    world: World, other: OwnRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it will stand is read from the base; a build that fails ends after that."""
    name = f"{other.host}/{world.yard.name}/base:latest"
    world.base(name)
    opened = world.yard.open(world.yard.model("/lib/deep/m"))
    monkeypatch.setattr(world.yard, "open", lambda *_, **__: opened)
    slow = "RUN i=0; while [ $i -lt 5000000 ]; do i=$((i+1)); done; false"
    with pytest.raises(BuildError):
        world.release(name, slow)
    assert opened.fetched_bytes == 100_000


def test_a_builder_takes_the_base_by_itself(
    connect: Connect,
    make_yard: MakeYard,
    push_plan: PushPlan,
    other: OwnRegistry,
    testbed: dict[str, str],
) -> None:
    world = World(make_yard(connect("first")), push_plan)
    name = f"{other.host}/{world.yard.name}/base:latest"
    there = world.base(name)
    released = world.release(
        name, builder=testbed["TESTBED_BUILDKIT"], login=login_of(push_plan.access)
    )
    assert bottom(released, len(there)) == there
    assert released.sent_bytes < FILLING / 4
    world.check(released)
