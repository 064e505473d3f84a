"""A base image in a private registry, over plain http, with no login but the inputs'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelferry.artifacts import TestedImage, Verdict
from modelferry.errors import BuildError, IdentityError
from modelferry.image.released import Released
from modelferry.image.spec import RegistryLogin
from modelferry.last_release.destination import Destination
from modelferry.plan.spec import PushPlan
from modelferry.registry.client import Registry
from modelferry.stages.push import push_image
from modelferry.values import Secret
from tests.contracts.conftest import Connect, MakeYard
from tests.contracts.image_yard import Yard


@pytest.fixture
def yard(connect: Connect, make_yard: MakeYard) -> Yard:
    return make_yard(connect("first"))


@pytest.fixture
def login(push_plan: PushPlan) -> RegistryLogin:
    access = push_plan.access
    assert access.username
    assert access.password
    return RegistryLogin(host=access.host, username=access.username, password=access.password)


@pytest.fixture
def private_base(yard: Yard, push_plan: PushPlan) -> Iterator[str]:
    """Pushed, and no longer in the engine: it must be asked of the registry."""
    image = yard.build(
        destination=Destination(
            push=push_plan, registry=Registry(push_plan.access), released=Released()
        )
    )
    pushed = push_image(
        TestedImage(image=image, verdict=Verdict.PASSED),
        push_plan,
        registry=Registry(push_plan.access),
    )
    yard.engine.client.images.remove(image.engine_id, force=True)
    yield f"{push_plan.name}@{pushed.digest}"
    assert list(yard.folder.rglob("config.json")) == []  # the login went with the build


@pytest.mark.parametrize("builder", ["docker", "a BuildKit"])
def test_the_inputs_login_is_enough(
    yard: Yard,
    private_base: str,
    login: RegistryLogin,
    builder: str,
    testbed: dict[str, str],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever keeps the user's own logins, and is not even there."""
    (tmp_path / "config.json").write_text('{"credsStore": "modelferry-has-no-such-helper"}')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    address = builder if builder == "docker" else testbed["TESTBED_BUILDKIT"]
    yard.write("Dockerfile", f"FROM {private_base}\nCOPY app.txt /srv/again.txt\n")
    image = yard.build(login=login, builder=address)
    assert yard.run(image.engine_id, "cat", "/srv/again.txt").startswith(yard.name)
    assert login.password.reveal() not in caplog.text


def test_another_build_context_may_be_private_too(
    yard: Yard, private_base: str, login: RegistryLogin, testbed: dict[str, str]
) -> None:
    yard.write("Dockerfile", "FROM lib\nCOPY app.txt /srv/again.txt\n")
    image = yard.build(
        login=login,
        builder=testbed["TESTBED_BUILDKIT"],
        build_contexts=(("lib", f"docker-image://{private_base}"),),
    )
    assert yard.run(image.engine_id, "cat", "/srv/again.txt").startswith(yard.name)


def test_a_cache_in_the_private_registry(
    yard: Yard, push_plan: PushPlan, login: RegistryLogin, testbed: dict[str, str]
) -> None:
    cache = f"type=registry,ref={push_plan.name}:cache"
    yard.build(login=login, builder=testbed["TESTBED_BUILDKIT"], cache_to=(f"{cache},mode=max",))
    assert Registry(push_plan.access).get_manifest(push_plan.repository, "cache")


@pytest.mark.parametrize("builder", ["docker", "a BuildKit"])
def test_a_wrong_password_is_told_of_the_base_image(
    yard: Yard, private_base: str, login: RegistryLogin, builder: str, testbed: dict[str, str]
) -> None:
    address = builder if builder == "docker" else testbed["TESTBED_BUILDKIT"]
    yard.write("Dockerfile", f"FROM {private_base}\n")
    with pytest.raises(IdentityError) as caught:
        yard.build(login=replace(login, password=Secret("no such password")), builder=address)
    assert caught.value.what.startswith(
        f"The base image {private_base} was refused at Dockerfile:1: failed to fetch"
    )
    assert "`password`" in caught.value.do
    assert caught.value.annotations[0].line == 1


def test_without_any_login_the_way_to_give_one_is_told(
    yard: Yard, private_base: str, login: RegistryLogin
) -> None:
    yard.write("Dockerfile", f"FROM {private_base}\n")
    with pytest.raises(IdentityError, match="was refused at Dockerfile:1") as caught:
        yard.build()
    assert f"Log in to {login.host} before this step" in caught.value.do


def test_a_base_image_that_does_not_exist_was_not_refused(
    yard: Yard, push_plan: PushPlan, login: RegistryLogin
) -> None:
    yard.write("Dockerfile", f"FROM {push_plan.name}:never-pushed\n")
    with pytest.raises(BuildError, match=r"The build failed at Dockerfile:1: .*not found"):
        yard.build(login=login)
