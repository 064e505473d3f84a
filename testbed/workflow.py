"""Runs a repository's workflow through act with the action as it stands in this checkout, and
tells what came of it. The demo and the end-to-end tests use it alike."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from testbed import act, engine, layout
from testbed.commands import run

ACTION = "OWNER/modelferry@v1"  # as the examples' workflows write it
_ROOT = Path(__file__).parent.parent

Event = Mapping[str, Any]  # one line of act --json


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    succeeded: bool
    log: Path
    outputs: dict[str, dict[str, str]]  # by step id
    errors: tuple[str, ...]  # the text of each ::error command


@dataclass(slots=True, kw_only=True)
class _Reading:
    """What the events have told so far."""

    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def take(self, event: Event) -> None:
        match event.get("command"):
            case "set-output":
                step = ".".join(event.get("stepID") or [])
                self.outputs.setdefault(step, {})[event["name"]] = event["arg"]
            case "error":
                self.errors.append(event["arg"])


def settings(env: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The variables and secrets that the examples' workflows name, from `scripts/testbed env`."""
    variables = {
        "STORAGE_ACCOUNT": env["TESTBED_BLOB_ACCOUNT"],
        "STORAGE_ENDPOINT": env["TESTBED_BLOB_ENDPOINT"],
        "REGISTRY": env["TESTBED_REGISTRY"],
        "REGISTRY_USERNAME": env["TESTBED_REGISTRY_USERNAME"],
        "REGISTRY_INSECURE": "true",
    }
    secrets = {
        "STORAGE_KEY": env["TESTBED_BLOB_KEY"],
        "REGISTRY_PASSWORD": env["TESTBED_REGISTRY_PASSWORD"],
        "KUBECONFIG": Path(env["KUBECONFIG"]).read_text(),
    }
    return variables, secrets


def make_repository(folder: Path, files: Path) -> Path:
    """A git repository of its own with a copy of `files`."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(files, folder, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "remote", "add", "origin", f"https://github.com/example/{files.name}")
    commit(folder, "Start")
    return folder


def commit(repository: Path, message: str) -> None:
    git(repository, "add", "--all")
    who = ("-c", "user.name=Demo", "-c", "user.email=demo@example.com")
    git(repository, *who, "commit", "--quiet", "--message", message)


def git(repository: Path, *words: str) -> str:
    return run("git", "-C", repository, *words)


def run_workflow(
    repository: Path,
    workflow: Path = Path(".github/workflows/deliver.yml"),
    *,
    variables: Mapping[str, str],
    secrets: Mapping[str, str],
    log: Path,
    on_event: Callable[[Event], None] = lambda _: None,
) -> Outcome:
    """Values go by the environment, not by the command line. One run at a time: act names its
    containers after workflow and job."""
    env = {**os.environ, **engine.Engine().env(), **variables, **secrets}
    reading = _Reading()
    with (
        layout.locked("act"),
        log.open("w") as text,
        subprocess.Popen(
            _command(repository, workflow, variables, secrets),
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as child,
    ):
        for line in child.stdout or ():
            event = _event(line)
            text.write(f"{event['msg'].rstrip()}\n")
            text.flush()
            reading.take(event)
            on_event(event)
    return Outcome(
        succeeded=child.returncode == 0,
        log=log,
        outputs=reading.outputs,
        errors=tuple(reading.errors),
    )


def _command(
    repository: Path, workflow: Path, variables: Iterable[str], secrets: Iterable[str]
) -> list[str]:
    state = layout.state_dir("act")
    stand_ins = {
        ACTION: _action_copy(state / "action"),
        _setup_python(): _no_setup_python(state / "setup-python"),
    }
    return [
        *act.argv(repository, repository / workflow),
        *("--json", "--bind", "--env", f"GITHUB_RUN_ID={time.time_ns() // 1_000_000}"),
        *(word for name, path in stand_ins.items() for word in _local(name, path)),
        *(word for name in variables for word in ("--var", name)),
        *(word for name in secrets for word in ("--secret", name)),
    ]


def _local(name: str, path: Path) -> tuple[str, str]:
    return "--local-repository", f"{name}={path}"


def _event(line: str) -> Event:
    """act writes its first and its last words plainly, whatever it was told."""
    try:
        event = json.loads(line)
    except ValueError:
        event = {}
    return {"msg": line, **event} if isinstance(event, dict) else {"msg": line}


def _action_copy(folder: Path) -> Path:
    """The checkout without what git ignores: a venv is no part of the action."""
    shutil.rmtree(folder, ignore_errors=True)
    listing = git(_ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listing.split("\0")):
        source, target = _ROOT / name, folder / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return folder


def _setup_python() -> str:
    """As the composite action pins it."""
    found = re.search(r"actions/setup-python@\S+", (_ROOT / "composite/action.yml").read_text())
    assert found, "composite/action.yml uses no setup-python"
    return found[0]


def _no_setup_python(folder: Path) -> Path:
    """act reads every action of a composite, also one whose step is skipped; here is no network."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "action.yml").write_text(
        "name: none\ndescription: none\nruns:\n  using: composite\n  steps:\n"
        "    - run: exit 1\n      shell: bash\n"
    )
    return folder
