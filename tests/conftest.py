"""Fixtures for every test: the testbed's addresses, and names that are this test's own."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from testbed.certificates import make_certificate

ROOT = Path(__file__).parent.parent


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
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an https server on loopback, with its key."""
    return make_certificate(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> str:
    """A name nobody else has: lower case, fit for a container, bucket, repository or namespace."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")[:24].strip("-")
    return f"t-{name}-{uuid4().hex[:8]}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "testbed" in getattr(item, "fixturenames", ()):
            item.add_marker("testbed")
