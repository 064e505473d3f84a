"""Image → TestedImage: its unit tests, the running app, its checks, the integration tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.apptest.app import RunningApp, start_app, wait_until_up
from modelferry.apptest.beside import beside_bench
from modelferry.apptest.child import child_bench
from modelferry.apptest.containers import asking_docker
from modelferry.apptest.in_image import run_test_target, run_unit_tests
from modelferry.apptest.integration import run_integration_tests
from modelferry.apptest.junit import in_workspace
from modelferry.apptest.network import RunNetwork, run_network
from modelferry.apptest.ports import app_port
from modelferry.apptest.spec import AppTests
from modelferry.apptest.where import find_place
from modelferry.artifacts import Image, TestedImage, Verdict
from modelferry.check_run import run_checks
from modelferry.errors import TestsFailed

if TYPE_CHECKING:
    from modelferry.engine import Engine


def run_tests(
    tests: AppTests,
    image: Image,
    *,
    engine: Engine,
    workspace: Path,
    temp: Path,
    run_label: str,
    build_context: Path | None = None,
    build_target: Callable[[str], str] | None = None,
    environ: Mapping[str, str] = os.environ,
) -> TestedImage:
    """Raises TestsFailed. Whatever happens, what this made in the engine is gone afterwards.

    `build_target` turns a Dockerfile stage into an image id; `build_context` helps to find in the
    workspace the files that tests inside an image name; of `environ` tests get an allow-list only.
    """
    port = app_port(tests.port, image.config)
    target = _target_image(tests, build_target)
    with asking_docker("say which of its containers we are in"):
        place = find_place(engine)
    folders = tuple(folder for folder in (workspace, build_context) if folder is not None)
    with (
        _annotations_below(workspace, folders),
        run_network(engine.client, place, run_label) as network,
    ):
        if tests.unit_tests is not None:
            run_unit_tests(network, image.engine_id, tests.unit_tests, env=tests.env)
        app = start_app(network, image.engine_id, port=port, env=tests.env)
        with _log_shown(app):
            wait_until_up(app, tests.health_path, tests.start_timeout_s)
            _check(app, tests, workspace)
            if target is not None:
                run_test_target(
                    network, target, tests.integration_tests, app=app, workspace=workspace
                )
            else:
                _test_from_outside(
                    app, network, tests, workspace=workspace, temp=temp, environ=environ
                )
    return TestedImage(image=image, verdict=Verdict.PASSED)


def said(tests: AppTests) -> str:
    parts = [
        "unit tests" if tests.unit_tests else "",
        f"{len(tests.checks)} checks" if tests.checks else "",
        "integration tests" if tests.integration_tests or tests.test_target else "",
    ]
    return ", ".join(part for part in parts if part) or "the app answers"


def _target_image(tests: AppTests, build_target: Callable[[str], str] | None) -> str | None:
    """Built before anything is started: it may take long, and may fail."""
    if tests.test_target is None:
        return None
    if build_target is None:
        raise TestsFailed(
            f"the test target {tests.test_target!r} cannot be built: this run builds nothing",
            do="Leave `test-target` empty, or add `build` to `stages`.",
        )
    return build_target(tests.test_target)


def _check(app: RunningApp, tests: AppTests, workspace: Path) -> None:
    results = run_checks(
        tests.checks,
        app.base_url,
        workspace=workspace,
        start_timeout_s=tests.start_timeout_s,
        still_up=app.see_it_runs,
    )
    failed = [result for result in results if not result.passed]
    if not failed:
        return
    first, *more = failed
    raise TestsFailed(
        f"{len(failed)} of {len(results)} checks failed: line {first.check.line}: {first}",
        seen="\n".join(f"- line {result.check.line}: {result}" for result in more),
    )


def _test_from_outside(
    app: RunningApp,
    network: RunNetwork,
    tests: AppTests,
    *,
    workspace: Path,
    temp: Path,
    environ: Mapping[str, str],
) -> None:
    """In a container where Modelferry's own image is at hand, else in a child process."""
    if tests.integration_tests is None:
        return
    own_image = network.place.own_image
    with (
        child_bench(workspace, temp, app.base_url)
        if own_image is None
        else beside_bench(network, own_image, app.url_on_network, workspace, environ)
    ) as bench:
        run_integration_tests(
            tests.integration_tests,
            bench,
            workspace=workspace,
            requirements=tests.test_requirements,
            environ=environ,
        )


@contextmanager
def _log_shown(app: RunningApp) -> Iterator[None]:
    """An error that a person reads without the app's own words is half an error."""
    try:
        yield
    except TestsFailed as error:
        error.seen = "\n".join(filter(None, (error.seen, app.last_words())))
        raise


@contextmanager
def _annotations_below(workspace: Path, folders: tuple[Path, ...]) -> Iterator[None]:
    try:
        yield
    except TestsFailed as error:
        places = (in_workspace(place, workspace, folders) for place in error.annotations)
        error.annotations = tuple(place for place in places if place is not None)
        raise
