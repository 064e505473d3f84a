"""Runs the stages in order, one log group each, and keeps what they gave as a RunReport.

It knows no cloud: each stage gets its slice of the Plan, the value before it and what preflight
opened. Errors pass through; the Recorder has noted by then which stage failed.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from modelferry.apptest.spec import AppTests
from modelferry.artifacts import FetchedFile, Image, Model, PushedImage, TestedImage, Verdict
from modelferry.errors import Cancelled, FerryError, RunCancelled
from modelferry.image.run_images import RunImages, run_images
from modelferry.image.spec import BuildSpec
from modelferry.plan import DeployPlan, Plan, PushPlan, RunContext, describe
from modelferry.preflight import Ready, preflight, resolve
from modelferry.registry.client import Registry
from modelferry.report import Mark, RunReport, StageResult, verdict_line
from modelferry.runner import Output
from modelferry.stages.build import build_image, build_target
from modelferry.stages.fetch import fetch_model
from modelferry.stages.push import push_image
from modelferry.stages.test import run_tests
from modelferry.values import format_bytes

if TYPE_CHECKING:
    from modelferry.stages.deploy import Target

log = logging.getLogger("modelferry.pipeline")


@dataclass(slots=True)
class StageNote:
    """What a stage wants said of it."""

    figure: str = ""
    moved_bytes: int | None = None
    mark: Mark = "passed"


class Recorder:
    """Groups the log by stage, times each, and gathers the report."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._started = time.monotonic()
        self.report = RunReport()

    def note(self, **values: object) -> None:
        self.report = replace(self.report, **values)  # pyright: ignore[reportArgumentType]

    @contextmanager
    def stage(self, name: str) -> Generator[StageNote]:
        began = time.monotonic() - self._started
        note = StageNote()
        try:
            with self._output.group(name):
                yield note
        except FerryError as error:
            self._failed(name, note, error)
            raise
        except Cancelled as error:
            self._failed(name, note, RunCancelled(str(error)))
            raise
        except Exception as error:
            note.mark, note.figure = "failed", f"{type(error).__name__}: {error}"
            raise
        finally:
            result = StageResult(
                name=name,
                mark=note.mark,
                started_s=began,
                seconds=time.monotonic() - self._started - began,
                figure=note.figure,
                moved_bytes=note.moved_bytes,
            )
            self.note(stages=(*self.report.stages, result))
            self._output.say(verdict_line(result))  # after the group: seen while it is folded

    def _failed(self, name: str, note: StageNote, error: FerryError) -> None:
        note.mark, note.figure = "failed", " ".join(error.what.split())
        self.fail(name, error)

    def fail(self, stage: str, error: FerryError) -> None:
        """The first failure stays the one that is told."""
        if self.report.error is None:
            self.note(error=error, failed_stage=stage)


def run(plan: Plan, recorder: Recorder) -> None:
    """Every stage of the plan. Raises what a stage raises; what was made for the run is removed."""
    if plan.rollback:
        raise NotImplementedError("rollback")
    ready = check(plan, recorder)
    if plan.dry_run:
        would = [f"  would {change}" for change in ready.target.planned] if ready.target else []
        recorder.note(dry_run="\n".join([describe(plan), *would]))
        return
    plan.context.temp.mkdir(mode=0o700, parents=True)
    try:
        model = _fetch(plan, ready, recorder)
        pushed = None
        with ExitStack() as stack:
            if plan.build and ready.engine:
                images = stack.enter_context(
                    run_images(ready.engine, plan.build.kept_as, plan.context.run_label)
                )
                image = _build(plan, plan.build, model, images, recorder)
                tested = _test(plan, plan.build, model, image, images, recorder)
                if plan.push and ready.registry:
                    pushed = _push(plan.push, tested, ready.registry, recorder)
            if plan.deploy and ready.target:
                _deploy(plan, plan.deploy, pushed, ready.target, recorder)
    finally:
        shutil.rmtree(plan.context.temp, ignore_errors=True)


def check(plan: Plan, recorder: Recorder) -> Ready:
    """All that reads and nothing that writes: preflight, plan, server-side dry run."""
    with recorder.stage("preflight") as note:
        log.info("%s", describe(plan))
        ready = preflight(plan)
        note.figure = "all that this run needs answers"
    recorder.note(resolved=ready.model)
    return ready


def _fetch(plan: Plan, ready: Ready, recorder: Recorder) -> Model | None:
    if plan.model is None or ready.model is None:
        return None
    lines, workspace = plan.model, plan.context.workspace
    with recorder.stage("fetch") as note:
        model = fetch_model(
            lines,
            ready.model,
            plan.context.temp / "model",
            resolve=lambda: resolve(lines, workspace),
            workspace=workspace,
        )
        note.figure = f"{model.resolved.version}, {format_bytes(model.resolved.size_bytes)}"
        note.moved_bytes = model.resolved.size_bytes
    recorder.note(resolved=model.resolved, model=model)
    return model


def _build(
    plan: Plan, spec: BuildSpec, model: Model | None, images: RunImages, recorder: Recorder
) -> Image:
    context = plan.context
    with recorder.stage("build") as note:
        image = build_image(
            spec,
            model,
            images=images,
            labels=(),
            annotations=_annotations(context),
            push_name=plan.push.name if plan.push else None,
            temp=context.temp,
            workspace=context.workspace,
            in_context=_in_context(plan, model),
        )
        note.figure = f"{len(image.layers)} layers, {format_bytes(image.size_bytes)}"
    recorder.note(image=image)
    return image


def _test(
    plan: Plan,
    spec: BuildSpec,
    model: Model | None,
    image: Image,
    images: RunImages,
    recorder: Recorder,
) -> TestedImage:
    context = plan.context
    with recorder.stage("test") as note:
        if plan.tests is None:
            note.mark, note.figure = "not tested", "`stages` leaves it out"
            return TestedImage(image=image, verdict=Verdict.SKIPPED)
        tested = run_tests(
            plan.tests,
            image,
            engine=images.engine,
            workspace=context.workspace,
            temp=context.temp,
            run_label=context.run_label,
            build_context=spec.context,
            build_target=lambda target: build_target(
                replace(spec, target=target),
                images=images,
                temp=context.temp,
                workspace=context.workspace,
                in_context=_in_context(plan, model),
            ),
        )
        note.figure = _asked(plan.tests)
    return tested


def _in_context(plan: Plan, model: Model | None) -> tuple[FetchedFile, ...]:
    return model.files if model and plan.model and plan.model.in_context else ()


def _push(
    push: PushPlan, tested: TestedImage, registry: Registry, recorder: Recorder
) -> PushedImage:
    resolved = recorder.report.resolved
    with recorder.stage("push") as note:
        pushed = push_image(
            tested, push, registry=registry, model_version=resolved.version if resolved else ""
        )
        note.figure = f"{pushed.ref.name}, tags {', '.join(pushed.tags)}"
        note.moved_bytes = pushed.uploaded_bytes
    recorder.note(pushed=pushed)
    return pushed


def _deploy(
    plan: Plan, spec: DeployPlan, pushed: PushedImage | None, target: Target, recorder: Recorder
) -> None:
    from modelferry.stages.deploy import deploy

    image = pushed or _given_image(plan, spec)
    recorder.note(pushed=image)  # so that a job that only deploys says what it deployed
    with recorder.stage("deploy") as note:
        rollout = deploy(spec, image, target, context=plan.context)
        note.figure = f"{rollout.state}: {', '.join(rollout.objects)}"
    recorder.note(rollout=rollout)


def _given_image(plan: Plan, spec: DeployPlan) -> PushedImage:
    """The `image` of a job that only deploys; its model's version is what the user says it is."""
    if spec.image is None or spec.image.digest is None:
        raise AssertionError("the plan refuses a deploy with neither image nor push")
    version = plan.model.version if plan.model and plan.model.version else ""
    return PushedImage(
        ref=spec.image, digest=spec.image.digest, tags=spec.tags, model_version=version
    )


def _annotations(context: RunContext) -> tuple[tuple[str, str], ...]:
    """The commit belongs to the manifest, not the config: the image ID is content's alone.

    The run does not: a nightly run that finds nothing new must give the digest that is deployed.
    Names from the image-spec, annotations.md.
    """
    if not (context.server_url and context.repository):
        return ()
    return (("org.opencontainers.image.source", f"{context.server_url}/{context.repository}"),)


def _asked(tests: AppTests) -> str:
    parts = [
        "unit tests" if tests.unit_tests else "",
        f"{len(tests.checks)} checks" if tests.checks else "",
        "integration tests" if tests.integration_tests or tests.test_target else "",
    ]
    return ", ".join(part for part in parts if part) or "the app answers"
