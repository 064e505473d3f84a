"""Apps built on an engine of one's choice, and a repository to push them to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelferry import engine as engines
from modelferry.engine import Engine
from modelferry.plan.spec import PushPlan
from modelferry.registry.access import RegistryAccess
from tests.contracts.image_yard import Yard

Connect = Callable[[str], Engine]
MakeYard = Callable[[Engine], Yard]


@pytest.fixture
def connect(testbed: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Connect:
    """By name; the product and its children then find that engine in DOCKER_HOST."""
    hosts = dict(pair.split("=", 1) for pair in testbed.get("TESTBED_ENGINES", "").split())
    hosts["first"] = testbed.get("DOCKER_HOST", "unix:///var/run/docker.sock")

    def connect_to(name: str) -> Engine:
        if name not in hosts:
            pytest.fail(f"{name} is not up: scripts/testbed up --with newer-engines", pytrace=False)
        monkeypatch.setenv("DOCKER_HOST", hosts[name])
        return engines.connect()

    return connect_to


@pytest.fixture
def make_yard(testbed: dict[str, str], tmp_path: Path, unique: str) -> Iterator[MakeYard]:
    made: list[Yard] = []

    def make(engine: Engine) -> Yard:
        folder = tmp_path / f"yard-{len(made)}"
        yard = Yard(engine, testbed["TESTBED_BASE_IMAGE"], folder, unique)
        made.append(yard)
        return yard

    yield make
    for yard in made:
        yard.close()


@pytest.fixture
def push_plan(registry_access: RegistryAccess, unique: str) -> PushPlan:
    return PushPlan(access=registry_access, repository=f"contracts/{unique}", tags=("v7",))
