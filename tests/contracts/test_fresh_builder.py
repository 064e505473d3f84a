"""A builder that knows nothing, and a registry that has the last release: what did not change is
neither built nor sent again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from modelferry.image.app.buildx import push_app
from modelferry.image.spec import RegistryLogin
from modelferry.last_release.read import read_pushed_app
from modelferry.plan.spec import PushPlan
from testbed import buildkit, gotools, web
from tests.contracts.conftest import Connect, MakeYard
from tests.contracts.image_yard import SMALL
from tests.contracts.release_yard import Release, ReleaseYard

DOCKERFILE = f"""\
{SMALL.replace('tools="sh', 'tools="mkdir sh')}
RUN mkdir /made && cat /proc/sys/kernel/random/uuid > /made/id
COPY requirements.txt /made/
RUN cat /proc/sys/kernel/random/uuid > /made/by-requirements
COPY app.txt /srv/app.txt
CMD ["cat", "/srv/app.txt"]
"""


@contextmanager
def fresh_buildkit(folder: Path) -> Iterator[str]:
    """The testbed's, with a root of its own that is empty."""
    folder.mkdir()
    theirs = buildkit._settings()
    own = theirs.replace(str(buildkit._root()), str(folder / "root"))
    socket = folder / "buildkitd.sock"
    settings = folder / "buildkitd.toml"
    settings.write_text(own.replace(str(buildkit._socket()), str(socket)))
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [gotools.ensure("buildkitd"), "--config", settings], stdout=log, stderr=log
        )
    try:
        while not web.listens(socket):
            assert daemon.poll() is None, (folder / "log").read_text()
        yield f"unix://{socket}"
    finally:
        daemon.terminate()
        daemon.wait(30)


@pytest.fixture
def yard(connect: Connect, make_yard: MakeYard, push_plan: PushPlan, tmp_path: Path) -> ReleaseYard:
    made = make_yard(connect("first"))
    made.write("Dockerfile", DOCKERFILE)
    made.write("requirements.txt", "flask")
    (tmp_path / "releases").mkdir()
    return ReleaseYard(made, push_plan, tmp_path / "releases")


def digests(release: Release) -> list[str]:
    return [layer.descriptor.digest for layer in release.image.layers]


def test_a_fresh_buildkit(
    yard: ReleaseYard, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    model = yard.yard.model("/model/m", size=100_000)
    with fresh_buildkit(tmp_path / "one") as builder:
        first = yard.release(model, builder=builder)
    with fresh_buildkit(tmp_path / "two") as builder:
        caplog.clear()
        same = yard.release(model, builder=builder)
        assert same.pushed.digest == first.pushed.digest
        assert same.pushed.uploaded_bytes == 0
        assert sum(line.endswith("CACHED") for line in caplog.messages) >= 4
    with fresh_buildkit(tmp_path / "three") as builder:
        yard.yard.write("app.txt", "new code")
        code = yard.release(model, builder=builder)
        new = set(digests(code)) - set(digests(first))
        assert len(new) == 1
        assert code.pushed.uploaded_bytes < 10_000
        assert yard.yard.run(code.image.engine_id) == "new code"


def test_an_engine_that_lost_its_cache(yard: ReleaseYard, caplog: pytest.LogCaptureFixture) -> None:
    """As a fresh runner's: without the image, and without what its build made."""
    caplog.set_level("INFO")
    name = yard.yard.name
    yard.yard.write("Dockerfile", DOCKERFILE.replace("RUN cat", f"RUN : {name} && cat"))
    model = yard.yard.model("/model/m", size=100_000)
    first = yard.release(model)
    yard.yard.forget()
    caplog.clear()
    yard.yard.write("app.txt", "new code")
    code = yard.release(model)
    assert len(set(digests(code)) - set(digests(first))) == 1
    assert code.pushed.uploaded_bytes < 20_000
    assert yard.yard.run(code.image.engine_id) == "new code"
    assert yard.yard.run(code.image.engine_id, "cat", "/made/by-requirements") != ""


def test_a_build_with_a_date_gives_the_same_layers_anywhere(
    yard: ReleaseYard, testbed: dict[str, str], tmp_path: Path
) -> None:
    """Without any cache."""
    yard.yard.write(
        "Dockerfile",
        "ARG BASE\nFROM $BASE\nRUN mkdir /made && echo 1 > /made/one\nCOPY app.txt /made/\n",
    )
    access = yard.plan.access
    assert access.username
    assert access.password
    spec = replace(
        yard.yard.spec(),
        builder=testbed["TESTBED_BUILDKIT"],
        no_cache=True,
        build_args=(("BASE", yard.yard.base), ("SOURCE_DATE_EPOCH", "1700000000")),
        login=RegistryLogin(host=access.host, username=access.username, password=access.password),
    )
    made: list[tuple[str, ...]] = []
    for number in range(2):
        folder = tmp_path / f"build-{number}"
        folder.mkdir()
        yard.yard.write("app.txt", "the same")  # at another time
        digest = push_app(
            spec,
            yard.plan.name,
            plain_http=True,
            temp=folder,
            workspace=yard.yard.context,
        )
        _, layers = read_pushed_app(yard.registry, yard.plan.repository, digest)
        made.append(tuple(layer.descriptor.digest for layer in layers))
    assert made[0] == made[1]
