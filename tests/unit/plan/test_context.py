from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from modelferry.plan import run_context
from modelferry.plan.context import git_default_branch, git_head

RUNNER = {
    "GITHUB_WORKSPACE": "/github/workspace",
    "RUNNER_TEMP": "/github/runner_temp",
    "GITHUB_RUN_ID": "123",
    "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_REPOSITORY": "team/app",
    "GITHUB_SHA": "a" * 40,
    "GITHUB_REF_NAME": "main",
    "GITHUB_HEAD_REF": "",
    "GITHUB_SERVER_URL": "https://github.com",
}


def test_on_a_runner() -> None:
    context = run_context(RUNNER)
    assert context.workspace == Path("/github/workspace")
    assert context.temp.parent == Path("/github/runner_temp")
    assert (context.run_id, context.run_attempt) == ("123", 2)
    assert (context.repository, context.server_url) == ("team/app", "https://github.com")
    assert (context.commit, context.branch) == ("a" * 40, "main")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(context.formed)) < timedelta(minutes=1)


def test_a_pull_request_has_its_own_branch() -> None:
    pull = {**RUNNER, "GITHUB_REF_NAME": "12/merge", "GITHUB_HEAD_REF": "feature/x"}
    assert run_context(pull).branch == "feature/x"


@pytest.mark.parametrize(
    ("event", "default"),
    [
        ('{"repository": {"default_branch": "trunk"}}', "trunk"),
        ('{"repository": {}}', None),
        ('{"repository": null}', None),
        ("[]", None),
        ("not JSON", None),
        (None, None),
    ],
)
def test_the_default_branch_is_in_the_event(
    tmp_path: Path, event: str | None, default: str | None
) -> None:
    path = tmp_path / "event.json"
    if event is not None:
        path.write_text(event)
    context = run_context({**RUNNER, "GITHUB_EVENT_PATH": str(path)})
    assert context.default_branch == default


@pytest.mark.parametrize(
    ("home", "branch"), [("team/app", "main"), ("someone/app", "pr-7")], ids=["own", "fork"]
)
def test_a_forks_branch_is_not_ours(tmp_path: Path, home: str, branch: str) -> None:
    event = tmp_path / "event.json"
    pull = {"number": 7, "head": {"repo": {"full_name": home}}}
    event.write_text(json.dumps({"pull_request": pull}))
    environ = {**RUNNER, "GITHUB_HEAD_REF": "main", "GITHUB_EVENT_PATH": str(event)}
    assert run_context(environ).branch == branch


def test_two_runs_never_share_their_folder() -> None:
    assert run_context(RUNNER).temp != run_context(RUNNER).temp


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in {
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@example.org",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@example.org",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    _git(tmp_path, "init", "--quiet", "--initial-branch", "feature/x")
    return tmp_path


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", "-C", folder, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_on_a_persons_machine_git_is_asked(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _git(checkout, "commit", "--quiet", "--allow-empty", "--message", "First")
    monkeypatch.chdir(checkout)
    context = run_context({})
    assert context.workspace == checkout
    assert context.commit == _git(checkout, "rev-parse", "HEAD")
    assert context.branch == "feature/x"
    assert context.run_id.isdigit()
    assert context.run_attempt == 1
    assert context.repository is None


def test_a_checkout_without_commits_has_a_branch_alone(checkout: Path) -> None:
    assert git_head(checkout) == (None, "feature/x")


@pytest.mark.parametrize("name", ["tracked", "untracked"])
def test_a_changed_tree_is_no_commit(checkout: Path, name: str) -> None:
    (checkout / "tracked").write_text("1")
    _git(checkout, "add", "tracked")
    _git(checkout, "commit", "--quiet", "--message", "First")
    assert git_head(checkout)[0]
    (checkout / name).write_text("2")
    assert git_head(checkout) == (None, "feature/x")


def test_a_detached_head_has_no_branch(checkout: Path) -> None:
    _git(checkout, "commit", "--quiet", "--allow-empty", "--message", "First")
    _git(checkout, "checkout", "--quiet", "--detach")
    commit, branch = git_head(checkout)
    assert commit
    assert branch is None


def test_a_clone_knows_its_default_branch(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _git(checkout, "commit", "--quiet", "--allow-empty", "--message", "First")
    clone = tmp_path_factory.mktemp("clone")
    _git(clone, "clone", "--quiet", str(checkout), str(clone))
    assert git_default_branch(clone) == "feature/x"
    assert git_default_branch(checkout) is None


def test_outside_a_checkout_there_is_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_head(tmp_path) == (None, None)


def test_without_git_there_is_neither(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_head(tmp_path) == (None, None)
