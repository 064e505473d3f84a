"""Which files of a context arrive in real builds, beside what the product takes for sent."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from modelferry.image.recipe.ignore import parse_rules
from modelferry.image.recipe.tree import ignore_file, read_rules, sent_names
from tests.contracts.conftest import Connect
from tests.ignore_cases import BROKEN, UNCLEAR, understood, write_files

Build = Callable[..., Path | None]

_AT_ONCE = 60  # copies in one build: engines take no more than some 120 layers
_ENDS_THE_BUILD = ("illegal exclusion pattern", "syntax error in pattern")


@pytest.fixture(autouse=True)
def own_sender(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """BuildKit keeps one copy of a sender's context, and updates it: builds that go on beside these
    would share it."""
    monkeypatch.setenv("BUILDX_CONFIG", str(tmp_path / "buildx"))


@pytest.fixture(params=["buildkit", "newer-classic", "newer-containerd"])
def build(
    request: pytest.FixtureRequest, testbed: dict[str, str], connect: Connect, tmp_path: Path
) -> Build:
    """The files that the build leaves; None where it ends at a pattern."""
    if request.param != "buildkit":
        connect(request.param)
        return builder(tmp_path, "default")
    address = testbed["TESTBED_BUILDKIT"]
    name = ("--name", "modelferry-ignore")
    subprocess.run(["docker", "buildx", "create", *name, "--driver", "remote", address], check=True)
    return builder(tmp_path, name[1])


def builder(tmp_path: Path, name: str) -> Build:
    def build(dockerfile: str, context: Path, *flags: str) -> Path | None:
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        (context / "Dockerfile").write_text(dockerfile)
        given = ("--builder", name, "--output", f"type=local,dest={out}", *flags)
        done = subprocess.run(
            ["docker", "buildx", "build", "--provenance=false", *given, context],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode == 0:
            return out
        assert any(words in done.stderr for words in _ENDS_THE_BUILD), done.stderr
        return None

    return build


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def make_context(folder: Path, text: str) -> Path:
    """Its `.dockerignore` alone counts where it is a named one."""
    write_files(folder)
    (folder / ".dockerignore").write_bytes(text.encode())
    (folder / "Dockerfile.dockerignore").write_text("**\n")
    return folder


def arrived(
    build: Build, folder: Path, texts: Iterable[str]
) -> list[tuple[str, set[str], set[str]]]:
    """Of each text the names that arrived, and those that the product takes for sent."""
    found: list[tuple[str, set[str], set[str]]] = []
    left = list(texts)
    while left:
        some, left = left[:_AT_ONCE], left[_AT_ONCE:]
        contexts = [make_context(folder / f"{len(left)}-{n}", text) for n, text in enumerate(some)]
        lines = [f"COPY --from=c{n} . /{n}/" for n in range(len(some))]
        flags = [f"--build-context=c{n}={context}" for n, context in enumerate(contexts)]
        (folder / "main").mkdir(exist_ok=True)
        out = build("\n".join(["FROM scratch", *lines, ""]), folder / "main", *flags)
        assert out
        for n, (text, context) in enumerate(zip(some, contexts, strict=True)):
            ours = {*sent_names(context, read_rules(context / ".dockerignore"))}
            found.append((text, names(out / str(n)), ours))
    return found


def test_what_is_understood_is_what_arrives(build: Build, tmp_path: Path) -> None:
    cases = understood()
    for text, real, ours in arrived(build, tmp_path / "contexts", cases):
        assert real == ours, text
        assert cases[text] <= real, text


def test_nothing_arrives_that_does_not_count(build: Build, tmp_path: Path) -> None:
    for text, real, ours in arrived(build, tmp_path / "contexts", UNCLEAR):
        assert real <= ours, text


@pytest.mark.parametrize("text", BROKEN, ids=repr)
@pytest.mark.parametrize("build", ["buildkit"], indirect=True)
def test_what_ends_the_build_leaves_nothing_out(build: Build, tmp_path: Path, text: str) -> None:
    context = make_context(tmp_path / "context", text)
    (context / "Dockerfile.dockerignore").unlink()
    assert build("FROM scratch\nCOPY . /\n", context) is None
    assert parse_rules(text.encode()) == ()


MAIN = (
    "*\n!src/app.py\n",
    "\ufeff*.log\r\nsrc/\r\n",
    "# all\n*\n!*.py\n!Models\n",
    "models/\n[^a].log\n*.l[!x]g\n../app.py\n",
    "src\n!src/app.py\nsrc\n",
)


@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile.dockerignore"])
@pytest.mark.parametrize("text", MAIN, ids=repr)
def test_the_first_engines_main_context(
    connect: Connect, tmp_path: Path, name: str, text: str
) -> None:
    """Its BuildKit knows no named contexts."""
    connect("first")
    context = tmp_path / "context"
    write_files(context)
    (context / ".dockerignore").write_text("**\n")
    (context / name).write_bytes(text.encode())
    out = builder(tmp_path, "default")("FROM scratch\nCOPY . /\n", context)
    assert out
    rules = read_rules(ignore_file(context, context / "Dockerfile"))
    assert names(out) == {*sent_names(context, rules)}
