"""What makes the key another one, what does not, and when there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from modelferry.artifacts import ModelFile, ResolvedModel
from modelferry.inputs import from_values
from modelferry.last_release.changed import BuildKey
from modelferry.last_release.key import NoBuildKey, build_key
from modelferry.plan import RunContext, make_plan
from modelferry.values import ImageRef

GIVEN = {
    "registry": "reg.azurecr.io",
    "repository": "team/score",
    "stages": "fetch build test push",
    "model": "azblob://acct/models/m.onnx",
    "build-args": "MODE=fast",
    "checks": "POST /score @sample.json => 200",
    "integration-tests": "tests/integration",
}
MODEL = ModelFile(
    uri="azblob://acct/models/m.onnx",
    image_path=PurePosixPath("/model/m.onnx"),
    size_bytes=10,
    etag='"0x1"',
    version_id=None,
    modified=None,
    source_line=1,
)
BASES = {"python:3.13-slim": "sha256:" + "b" * 64}

KeyOf = Callable[..., str | None]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM python:3.13-slim\nCOPY app.py /\n")
    (tmp_path / ".dockerignore").write_text("README.md\ntests\nother\n")
    (tmp_path / "app.py").write_text("x = 1\n")
    (tmp_path / "README.md").write_text("words\n")
    (tmp_path / "sample.json").write_text("{}")
    (tmp_path / "tests/integration").mkdir(parents=True)
    (tmp_path / "tests/integration/test_app.py").write_text("def test_x(): pass\n")
    (tmp_path / "tests/conftest.py").write_text("")
    (tmp_path / "other").mkdir()
    return tmp_path


@pytest.fixture
def key_of(workspace: Path, reasons: list[str], keys: list[BuildKey]) -> KeyOf:
    def key(
        given: Mapping[str, str] | None = None,
        *,
        model: ModelFile | None = MODEL,
        bases: Mapping[str, str] = BASES,
        platform: str = "linux/amd64",
        commit: str = "a" * 40,
    ) -> str | None:
        context = RunContext(
            workspace=workspace,
            temp=Path("/temp/run"),
            run_id="42",
            run_attempt=1,
            repository="team/app",
            commit=commit,
            branch="main",
            server_url=None,
        )
        plan = make_plan(from_values({**GIVEN, **(given or {})}), context)
        assert plan.build
        resolved = ResolvedModel(files=(model,), version="v1", reasons=()) if model else None

        def digest_of(image: ImageRef) -> str | None:
            return bases.get(str(image).removeprefix("docker.io/library/"))

        try:
            keys.append(build_key(plan, plan.build, resolved, digest_of, platform=platform))
            return keys[-1].digest
        except NoBuildKey as error:
            reasons.append(str(error))
            return None

    return key


@pytest.fixture
def reasons() -> list[str]:
    """Why there was no key."""
    return []


@pytest.fixture
def keys() -> list[BuildKey]:
    """All that were made."""
    return []


def test_the_same_delivery_has_the_same_key(key_of: KeyOf) -> None:
    key = key_of()
    assert key is not None
    assert key == key_of()


@pytest.mark.parametrize(
    "given",
    [
        {"labels": "team=lynx"},
        {"tags": "v2"},
        {"model-version": "spring"},
        {"timeout": "1m"},
        {"cache-from": "type=registry,ref=x/y"},
    ],
    ids=str,
)
def test_inputs_that_decide_no_content_are_no_part_of_it(
    key_of: KeyOf, given: dict[str, str]
) -> None:
    assert key_of(given) == key_of()


def test_neither_the_commit_nor_files_outside_context_and_tests_count(
    key_of: KeyOf, workspace: Path
) -> None:
    before = key_of()
    (workspace / "README.md").write_text("other words\n")
    (workspace / "other/new").write_text("")
    (workspace / "tests/test_unrelated.py").write_text("")
    assert key_of(commit="b" * 40) == before


@pytest.mark.parametrize(
    "given",
    [
        {"build-args": "MODE=slow"},
        {"target": "app"},
        {"builder": "tcp://localhost:1234"},
        {"build-secrets": "token=hunter2hunter2"},
        {"unit-tests": "pytest"},
        {"checks": "GET / => 200"},
        {"test-env": "A=1"},
        {"port": "81"},
        {"health-path": "/health"},
        {"start-timeout": "5s"},
        {"integration-tests": ""},
        {"model-in-context": "true"},
        {"model-sha256": "a" * 64},
        {"stages": "fetch build push"},
    ],
    ids=str,
)
def test_every_input_that_decides_content_or_verdict_changes_it(
    key_of: KeyOf, given: dict[str, str]
) -> None:
    assert key_of(given) not in (None, key_of())


@pytest.mark.parametrize(
    "name",
    [
        "app.py",
        "Dockerfile",
        "sample.json",
        "tests/integration/test_app.py",
        "tests/conftest.py",
    ],
)
def test_every_file_that_is_read_changes_it(key_of: KeyOf, workspace: Path, name: str) -> None:
    before = key_of()
    with (workspace / name).open("a") as file:
        file.write("\n")
    assert key_of() not in (None, before)


@pytest.mark.parametrize(
    "model",
    [
        None,
        replace(MODEL, etag='"0x2"'),
        replace(MODEL, version_id="7"),
        replace(MODEL, image_path=PurePosixPath("/other/m.onnx")),
        replace(MODEL, uri="azblob://acct/models/n.onnx"),
    ],
    ids=["none", "etag", "version", "path", "uri"],
)
def test_another_model_changes_it(key_of: KeyOf, model: ModelFile | None) -> None:
    assert key_of(model=model) not in (None, key_of())


def test_another_base_changes_it(key_of: KeyOf) -> None:
    newer = {"python:3.13-slim": "sha256:" + "c" * 64}
    assert key_of(bases=newer) not in (None, key_of())


def test_another_platform_changes_it(key_of: KeyOf) -> None:
    """Of two runners in a matrix each has its own image, though the bases are one index."""
    assert key_of(platform="linux/arm64") not in (None, key_of())


@pytest.mark.parametrize("link", ["other/m.onnx", "sample.json", "tests/integration/data"])
def test_what_a_link_leads_to_counts(key_of: KeyOf, workspace: Path, link: str) -> None:
    real = workspace / "other/real"
    real.write_text("AAAA")
    (workspace / link).unlink(missing_ok=True)
    (workspace / link).symlink_to(real)
    local = replace(MODEL, uri="file:other/m.onnx") if link.startswith("other") else MODEL
    before = key_of(model=local)
    real.write_text("BBBB")
    assert key_of(model=local) not in (None, before)


def test_a_command_may_read_the_whole_workspace(key_of: KeyOf, workspace: Path) -> None:
    command = {"integration-tests": "make integration"}
    before = key_of(command)
    (workspace / "README.md").write_text("other words\n")
    assert key_of(command) not in (None, before)


def test_a_model_of_the_workspace_is_known_by_its_content(
    key_of: KeyOf, workspace: Path, keys: list[BuildKey]
) -> None:
    path = workspace / "other/m.onnx"
    path.write_bytes(b"weights")
    local = replace(MODEL, uri="file:other/m.onnx", etag='"1"')
    given = {"model": "file:other/m.onnx"}
    before = key_of(given, model=local)
    assert key_of(given, model=replace(local, etag='"2"')) == before
    assert keys[-1].sums == {"file:other/m.onnx": hashlib.sha256(b"weights").hexdigest()}
    path.write_bytes(b"heavier")
    assert key_of(given, model=local) not in (None, before)


@pytest.mark.parametrize(
    ("given", "dockerfile", "says"),
    [
        ({"no-cache": "true"}, None, "no-cache"),
        ({}, "FROM nobody-knows-this\n", "nobody says what nobody-knows-this is now"),
        ({}, "FROM python:3.13-slim\nADD https://x/y /\n", "line 2: ADD https://x/y"),
        ({"build-contexts": "src=https://x/y.git"}, None, "is not on this machine"),
    ],
)
def test_there_is_no_key_where_something_cannot_be_known(
    key_of: KeyOf,
    workspace: Path,
    reasons: list[str],
    given: dict[str, str],
    dockerfile: str | None,
    says: str,
) -> None:
    if dockerfile:
        (workspace / "Dockerfile").write_text(dockerfile)
    assert key_of(given) is None
    assert says in reasons[0]


def test_a_model_that_nothing_tells_apart_gives_no_key(key_of: KeyOf) -> None:
    assert key_of(model=replace(MODEL, etag=None)) is None


def test_a_named_build_context_counts(key_of: KeyOf, workspace: Path) -> None:
    given = {"build-contexts": "extra=other"}
    before = key_of(given)
    (workspace / "other/new").write_text("")
    assert key_of(given) not in (None, before, key_of())


def test_a_named_build_context_reads_its_plain_ignore_file_alone(
    key_of: KeyOf, workspace: Path
) -> None:
    given = {"build-contexts": "extra=other"}
    (workspace / "other/Dockerfile.dockerignore").write_text("*\n")
    (workspace / "other/code.py").write_text("1")
    before = key_of(given)
    (workspace / "other/code.py").write_text("2")
    changed = key_of(given)
    assert changed not in (None, before)
    (workspace / "other/.dockerignore").write_text("*.py\n")
    ignored = key_of(given)
    (workspace / "other/code.py").write_text("3")
    assert key_of(given) == ignored


def test_an_image_as_build_context_counts_by_its_digest(key_of: KeyOf) -> None:
    given = {"build-contexts": "extra=docker-image://alpine:3"}
    one = key_of(given, bases={**BASES, "alpine:3": "sha256:" + "1" * 64})
    other = key_of(given, bases={**BASES, "alpine:3": "sha256:" + "2" * 64})
    assert None not in (one, other)
    assert one != other
    assert key_of(given) is None
