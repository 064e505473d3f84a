"""Fixtures for every test: the testbed's addresses, and names that are this test's own."""

from __future__ import annotations

import gc
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import settings

from modelferry.registry.access import RegistryAccess
from modelferry.values import Secret
from testbed.certificates import make_certificate

ROOT = Path(__file__).parent.parent
# How long one example takes says nothing on a machine that others use.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


@pytest.fixture(scope="module", autouse=True)
def nothing_left_open() -> Iterator[None]:
    """What a file's tests leave open fails the last of them, not any test that comes later."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def testbed() -> dict[str, str]:
    """What `scripts/testbed env` prints. A testbed that is down fails the test: it never skips."""
    done = subprocess.run(
        [ROOT / "scripts/testbed", "env"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.fail(f"the testbed is not up: run scripts/testbed up\n{done.stderr}", pytrace=False)
    return {
        name: value
        for line in done.stdout.splitlines()
        for name, _, value in [" ".join(shlex.split(line)).removeprefix("export ").partition("=")]
    }


@pytest.fixture(scope="session")
def registry_access(testbed: dict[str, str]) -> RegistryAccess:
    """`plain_http` is left out: a loopback address falls back to http by itself."""
    return RegistryAccess(
        host=testbed["TESTBED_REGISTRY"],
        username=testbed["TESTBED_REGISTRY_USERNAME"],
        password=Secret(testbed["TESTBED_REGISTRY_PASSWORD"]),
        plain_http=False,
    )


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an https server on loopback, with its key."""
    return make_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> str:
    """A name nobody else has: lower case, fit for a container, bucket, repository or namespace."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:24].strip("-")
    return f"t-{name}-{uuid4().hex[:8]}"


def pytest_collection_finish() -> None:
    gc.freeze()  # modules and tests stay: nothing_left_open need not look at them each time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "testbed" in getattr(item, "fixturenames", ()):
            item.add_marker("testbed")
