"""The user's own tests against the running app: what is run, with which environment, and what its
end means. Where it runs is a Bench: beside the app, in a child process, in the test target."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Protocol
from urllib.parse import urlsplit

from modelferry.apptest.junit import Suite, read_junit
from modelferry.errors import TestsFailed
from modelferry.process import Completed
from modelferry.values import format_duration

log = logging.getLogger("modelferry.test")

LONGEST_TESTS_S = 30 * 60.0
LONGEST_INSTALL_S = 10 * 60.0
ANNOTATED = 10  # the runner keeps ten a step
SHOWN_LINES = 20
PYTEST_ENDS = {  # docs.pytest.org, "Exit codes"
    2: "was interrupted, or could not collect the tests",
    3: "met an internal error",
    4: "could not use its options or paths; missing plugins belong in `test-requirements`",
    5: "found no tests",
}
# What a test may need to reach the network; all else of our environment may hold a credential.
PASSED_ON = (
    *("PATH", "LANG", "TZ"),
    *("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """The paths and address that hold where the tests run."""

    workspace: PurePath  # the tests' working directory
    scratch: PurePath  # a folder of their own, outside the workspace
    python: str
    model_api_url: str

    @property
    def packages(self) -> PurePath:
        return self.scratch / "packages"


class Bench(Protocol):
    """Where tests run."""

    @property
    def ground(self) -> Ground: ...

    def run(self, argv: tuple[str, ...], env: Mapping[str, str], timeout_s: float) -> Completed:
        """Run to the end in the workspace with exactly this environment, logging the output."""
        ...

    def read(self, path: PurePath) -> bytes | None:
        """A file that a run left behind, if it did."""
        ...


def run_integration_tests(
    command: str,
    bench: Bench,
    *,
    workspace: Path,
    requirements: Path | None,
    environ: Mapping[str, str],
    kind: str = "integration",
) -> Suite | None:
    """Counts, where the tests tell them; raises TestsFailed."""
    env = clean_environment(environ, bench.ground)
    if requirements is not None:
        _install(requirements, bench, env | _index_settings(environ))
    path = pytest_path(command, workspace)
    argv = (bench.ground.python, "-m", "pytest", command) if path else shell(command)
    done = bench.run(argv, env, LONGEST_TESTS_S)
    return judge(kind, command, done, bench.read(junit_in(bench.ground.scratch)), by_pytest=path)


def pytest_path(command: str, workspace: Path) -> bool:
    """`integration-tests` is a path when it is there (a `::test` may follow), else a command."""
    return (workspace / command.partition("::")[0].strip()).exists()


def shell(command: str) -> tuple[str, ...]:
    """Of several lines the first that fails ends it, as in a workflow's `run`."""
    return ("/bin/sh", "-e", "-c", command)


def clean_environment(environ: Mapping[str, str], ground: Ground) -> dict[str, str]:
    """All that the tests get: no input, no token, no kubeconfig, no engine, not even our HOME."""
    app_host = urlsplit(ground.model_api_url).hostname or ""
    ours = {name: environ[name] for name in PASSED_ON if name in environ}
    no_proxy = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    direct = ",".join(filter(None, (no_proxy, app_host)))
    return {
        "LANG": "C.UTF-8",
        **ours,
        "PATH": f"{ground.packages / 'bin'}:{ours.get('PATH', '/usr/local/bin:/usr/bin:/bin')}",
        "HOME": str(ground.scratch),
        "NO_PROXY": direct,
        "no_proxy": direct,
        "PYTHONPATH": str(ground.packages),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "MODEL_API_URL": ground.model_api_url,
        "PYTEST_ADDOPTS": pytest_options(ground.workspace, ground.scratch),
    }


def pytest_options(workspace: PurePath, scratch: PurePath) -> str:
    """For PYTEST_ADDOPTS, which reaches pytest however the user starts it."""
    return shlex.join(
        (
            f"--junitxml={junit_in(scratch)}",
            *("-o", "junit_family=xunit1"),  # the family that tells file and line
            *("-o", f"cache_dir={scratch / 'cache'}"),
            f"--rootdir={workspace}",
        )
    )


def junit_in(scratch: PurePath) -> PurePath:
    return scratch / "junit.xml"


def _index_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The package index is for the installation alone: its address may hold a password."""
    settings = {name: value for name, value in environ.items() if name.startswith("PIP_")}
    return settings | ({"HOME": environ["HOME"]} if "HOME" in environ else {})


def _install(requirements: Path, bench: Bench, env: Mapping[str, str]) -> None:
    done = bench.run(
        (
            *(bench.ground.python, "-m", "pip", "install", "--quiet", "--no-input"),
            *("--disable-pip-version-check", "--root-user-action=ignore", "--progress-bar=off"),
            *("--target", str(bench.ground.packages), "--requirement", str(requirements)),
        ),
        env,
        LONGEST_INSTALL_S,
    )
    if done.status != 0:
        late = f"was not done in {format_duration(LONGEST_INSTALL_S)}"
        raise TestsFailed(
            f"test-requirements: pip could not install {requirements}"
            f" ({late if done.timed_out else f'exit code {done.status}'})",
            seen=last(done),
            do="See that the packages exist and that the runner reaches the package index.",
        )
    log.info("installed what %s asks for", requirements)


def judge(
    kind: str, command: str, done: Completed, junit: bytes | None, *, by_pytest: bool
) -> Suite | None:
    """Good only with status 0 and, where we ran pytest ourselves, results that say so."""
    suite = _suite(kind, junit, strict=by_pytest and done.status in (0, 1))
    if suite and suite.failures and (by_pytest or done.status != 0):
        raise _failed(kind, suite)
    if done.timed_out:
        raise TestsFailed(
            f"the {kind} tests were not done in {format_duration(LONGEST_TESTS_S)}",
            seen=last(done),
        )
    if done.status != 0:
        raise TestsFailed(_end(kind, command, done.status, by_pytest), seen=last(done))
    if suite and suite.total == suite.skipped:
        log.warning("all %d %s tests were skipped", suite.total, kind)
    elif suite:
        log.info("%d %s tests passed", suite.total - suite.skipped, kind)
    return suite


def _suite(kind: str, junit: bytes | None, *, strict: bool) -> Suite | None:
    if junit is None:
        if strict:
            raise TestsFailed(
                f"pytest left no results of the {kind} tests",
                do="See that nothing in the tests or their settings ends pytest early.",
            )
        return None
    try:
        return read_junit(junit)
    except ValueError as error:
        raise TestsFailed(
            f"the results of the {kind} tests cannot be read", seen=str(error)
        ) from error


def _failed(kind: str, suite: Suite) -> TestsFailed:
    first, *more = suite.failures
    places = [failure.annotation() for failure in suite.failures]
    return TestsFailed(
        f"{len(suite.failures)} of {suite.total} {kind} tests failed: {first}",
        seen="\n".join(f"- {failure}" for failure in more),
        annotations=tuple(place for place in places if place is not None)[:ANNOTATED],
    )


def _end(kind: str, command: str, status: int, by_pytest: bool) -> str:
    if by_pytest and status in PYTEST_ENDS:
        told = PYTEST_ENDS[status]
        return f"the {kind} tests failed: pytest {command} {told} (exit code {status})"
    hint = ": no such command, and no such path in the workspace" if status == 127 else ""
    return f"the {kind} tests failed: {command!r} ended with exit code {status}{hint}"


def last(done: Completed) -> str:
    return "\n".join(done.last_lines[-SHOWN_LINES:])
