"""Where and for whom this run happens: GITHUB_* on a runner, git and made-up values elsewhere."""

from __future__ import annotations

import json
import re
import secrets
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from modelferry.plan.spec import REPORT, RunContext


def run_context(environ: Mapping[str, str]) -> RunContext:
    """Asks git where there is no runner; makes no folder (`temp` is the pipeline's to make)."""
    workspace = Path(environ.get("GITHUB_WORKSPACE") or Path.cwd()).absolute()
    run_id = environ.get("GITHUB_RUN_ID") or f"{datetime.now(UTC):%Y%m%d%H%M%S}"
    temp = Path(environ.get("RUNNER_TEMP") or tempfile.gettempdir())
    on_runner = bool(environ.get("GITHUB_SHA"))
    event = _event(environ.get("GITHUB_EVENT_PATH") if on_runner else None)
    commit, branch = (
        (environ["GITHUB_SHA"], _branch(environ, event)) if on_runner else git_head(workspace)
    )
    return RunContext(
        workspace=workspace,
        temp=temp / f"modelferry-{run_id}-{secrets.token_hex(4)}",
        run_id=run_id,
        run_attempt=_attempt(environ.get("GITHUB_RUN_ATTEMPT", "")),
        repository=environ.get("GITHUB_REPOSITORY") or None,
        commit=commit,
        branch=branch or None,
        server_url=environ.get("GITHUB_SERVER_URL") or None,
        formed=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        default_branch=_text(event, "repository", "default_branch")
        if on_runner
        else git_default_branch(workspace),
    )


def _event(path: str | None) -> object:
    """What started the workflow; act and other runners tell less of it, or nothing."""
    try:
        return json.loads(Path(path).read_text()) if path else None
    except (OSError, ValueError):
        return None


def _text(event: object, *path: str) -> str | None:
    found = event
    for name in path:
        found = cast("dict[str, object]", found).get(name) if isinstance(found, dict) else None
    return str(found) if found else None


def _branch(environ: Mapping[str, str], event: object) -> str | None:
    """A pull request's own branch; of a fork its number, for a fork's `main` is not ours."""
    head = environ.get("GITHUB_HEAD_REF")
    home = _text(event, "pull_request", "head", "repo", "full_name")
    if head and home and home != environ.get("GITHUB_REPOSITORY"):
        return f"pr-{_text(event, 'pull_request', 'number')}"
    return head or environ.get("GITHUB_REF_NAME")


def git_default_branch(folder: Path) -> str | None:
    """What a clone remembers of its origin."""
    name = _git(folder, "symbolic-ref", "--short", "refs/remotes/origin/HEAD") or ""
    return name.partition("/")[2] or None


def git_head(folder: Path) -> tuple[str | None, str | None]:
    """Commit and branch; None for what there is not: no git, no checkout, a detached head, and
    no commit for a tree that differs from it."""
    changed = _git(folder, "status", "--porcelain", "--", ".", f":!{REPORT}")
    commit = None if changed else _git(folder, "rev-parse", "HEAD")
    return commit, _git(folder, "symbolic-ref", "--short", "HEAD")


def _git(folder: Path, *words: str) -> str | None:
    import subprocess

    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _attempt(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]+", text) else 1
