"""Runs the stages in order, one log group each; the recorder keeps what they gave.

It knows no cloud: each stage gets its slice of the Plan, the value before it and what preflight
opened. Errors pass through; the recorder has noted by then which stage failed. Stages are imported
where they run: a run that builds nothing loads no builder.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from modelferry.artifacts import (
    Image,
    PushedImage,
    ResolvedModel,
    TestedImage,
    Verdict,
    as_pushed,
)
from modelferry.plan import DeployPlan, Plan, RollbackPlan, Stage, describe
from modelferry.preflight import Ready, preflight, resolve
from modelferry.recorder import Recorder
from modelferry.values import format_bytes, format_names

if TYPE_CHECKING:
    from modelferry.image.run_images import RunImages
    from modelferry.image.spec import BuildSpec
    from modelferry.last_release.destination import Destination
    from modelferry.sources.open_model import OpenModel
    from modelferry.stages.deploy import Target

log = logging.getLogger("modelferry.pipeline")


def run(plan: Plan, recorder: Recorder) -> None:
    """Every stage of the plan. Raises what a stage raises; what was made for the run is removed."""
    if plan.rollback:
        _roll_back(plan, plan.rollback, recorder)
        return
    ready = check(plan, recorder)
    if plan.dry_run:
        _tell_dry_run(plan, ready, recorder)
        return
    plan.context.temp.mkdir(mode=0o700, parents=True)
    try:
        to = _compare(plan, ready, recorder)
        pushed = _reuse(plan, ready, to, recorder)
        model = None if pushed else _fetch(plan, ready, recorder)
        if plan.build and not pushed:
            if to and model and model.resolved != ready.model:
                to = replace(to, key=None)  # it is of the model that preflight saw
            with _images(plan, plan.build, ready) as images:
                image = _build(plan, plan.build, model, to, images, recorder)
                tested = _test(plan, plan.build, model, image, images, recorder)
                if to:
                    pushed = _push(to, tested, recorder)
        if plan.deploy and ready.target:  # whatever comes of it, the engine keeps the image
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


def _compare(plan: Plan, ready: Ready, recorder: Recorder) -> Destination | None:
    """None where nothing is pushed."""
    from modelferry.last_release.compare import compare

    if plan.build is None:
        return None
    if plan.push is None or ready.registry is None:
        log.info("not compared with the last release: `stages` has no push")
        return None
    with recorder.stage("compare") as note:
        to, note.figure = compare(
            plan,
            plan.build,
            plan.push,
            model=ready.model,
            registry=ready.registry,
            engine=ready.engine,
        )
    return to


def _reuse(
    plan: Plan, ready: Ready, to: Destination | None, recorder: Recorder
) -> PushedImage | None:
    """The last release, where this run would only make it again."""
    if not (plan.build and plan.build.reuse and to and to.same):
        return None
    from modelferry.last_release.take import model_changed, released_model, take_release

    for stage in plan.stages:
        if stage in (Stage.FETCH, Stage.BUILD, Stage.TEST):
            recorder.reused(stage)
    with recorder.stage("push") as note:
        pushed = take_release(
            to.same, to.push, registry=to.registry, model_version=ready.model_version
        )
        note.mark, note.figure = "reused", f"{pushed.ref.name}, tags {', '.join(pushed.tags)}"
        note.moved_bytes = 0
    model = released_model(to.same, ready.model) if ready.model else None
    is_other = to.same is not to.released.image  # the default branch's
    changed = (
        is_other
        and model is not None
        and model_changed(to.released.image, model, to.same.model_layers)
    )
    recorder.note(pushed=pushed, model=model, model_changed=changed)
    return pushed


def _tell_dry_run(plan: Plan, ready: Ready, recorder: Recorder) -> None:
    from modelferry.stages.deploy import prepare

    said, target = [describe(plan)], ready.target
    to = _compare(plan, ready, recorder)
    if plan.build and plan.build.reuse and to and to.same:
        said.append(f"nothing changed: {to.same.digest} would be taken as it is")
        if plan.deploy:  # preflight did not know the image yet
            built = to.push.name.pinned(to.same.digest)
            target = prepare(
                plan.deploy, built=built, context=plan.context, model_version=ready.model_version
            )
    if target:
        said.append(f"the manifests would change:\n{target.diff}")
    recorder.note(dry_run="\n\n".join(said))


def _roll_back(plan: Plan, spec: RollbackPlan, recorder: Recorder) -> None:
    from modelferry.stages.rollback import roll_back, would_return

    with recorder.stage("rollback") as note:
        log.info("%s", describe(plan))
        if plan.dry_run:
            recorder.note(dry_run=would_return(spec))
            return
        rollout = roll_back(spec, plan.context)
        note.figure = f"{rollout.state}: {format_names(rollout.objects)}"
    image = as_pushed(rollout.image, rollout.model_version) if rollout.image else None
    recorder.note(rollout=rollout, pushed=image)


def _fetch(plan: Plan, ready: Ready, recorder: Recorder) -> OpenModel | None:
    """The model is read beside the build, unless the build needs its files, or there is none."""
    from modelferry.stages.fetch import hash_model, open_model, put_on_disk

    if plan.model is None or ready.model is None:
        return None
    lines, workspace = plan.model, plan.context.workspace
    with recorder.stage("fetch") as note:
        model = open_model(
            lines, ready.model, resolve=lambda: resolve(lines, workspace), workspace=workspace
        )
        note.figure = "beside the build"
        if lines.in_context:
            model = put_on_disk(model, plan.context.temp / "model")
            note.figure, note.moved_bytes = _fetched(model.resolved), model.fetched_bytes
        elif plan.build is None:
            checked, note.moved_bytes = hash_model(model)
            note.figure = _fetched(checked.resolved)
            recorder.note(resolved=checked.resolved, model=checked)
    return model


def _fetched(resolved: ResolvedModel) -> str:
    return f"{resolved.version}, {format_bytes(resolved.size_bytes)}"


@contextmanager
def _images(plan: Plan, spec: BuildSpec, ready: Ready) -> Iterator[RunImages | None]:
    """None without an engine: a `builder` elsewhere makes an image that only travels."""
    from modelferry.image.run_images import run_images

    if ready.engine is None:
        yield None
        return
    with run_images(ready.engine, spec.kept_as, plan.context.run_label) as images:
        yield images


def _build(
    plan: Plan,
    spec: BuildSpec,
    model: OpenModel | None,
    to: Destination | None,
    images: RunImages | None,
    recorder: Recorder,
) -> Image:
    from modelferry.last_release.base_images import find_base
    from modelferry.last_release.take import model_changed
    from modelferry.stages.build import build_image

    context = plan.context
    with recorder.stage("build") as note:
        built = build_image(
            spec,
            model,
            images=images,
            annotations=context.annotations,
            load=plan.tests is not None or plan.push is None,
            destination=to,
            base=partial(find_base, spec, to.push.access if to else None, images and images.engine),
            temp=context.temp,
            workspace=context.workspace,
        )
        image = built.image
        note.figure = f"{len(image.layers)} layers, {format_bytes(image.size_bytes)}"
    recorder.note(image=image)
    if model and built.model:
        recorder.note(resolved=built.model.resolved, model=built.model)
        if to:
            changed = model_changed(to.released.image, built.model, image.model_layers)
            recorder.note(model_changed=changed)
        if not model.on_disk:
            figure = _fetched(built.model.resolved)
            recorder.amend(
                "fetch", figure=figure, moved_bytes=built.fetched_bytes, seconds=built.fetch_s
            )
    return image


def _test(
    plan: Plan,
    spec: BuildSpec,
    model: OpenModel | None,
    image: Image,
    images: RunImages | None,
    recorder: Recorder,
) -> TestedImage:
    from modelferry.stages.build import build_target
    from modelferry.stages.test import run_tests, said

    context = plan.context
    with recorder.stage("test") as note:
        if plan.tests is None:
            note.mark, note.figure = "not tested", "`stages` leaves it out"
            return TestedImage(image=image, verdict=Verdict.SKIPPED)
        if images is None:
            raise AssertionError("preflight has an engine where tests run")
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
                in_context=model.on_disk if model else (),
            ),
        )
        note.figure = said(plan.tests)
    return tested


def _push(to: Destination, tested: TestedImage, recorder: Recorder) -> PushedImage:
    from modelferry.stages.push import push_image

    resolved = recorder.report.resolved
    with recorder.stage("push") as note:
        pushed = push_image(
            tested,
            to.push,
            registry=to.registry,
            released=to.released,
            model_version=resolved.version if resolved else "",
        )
        note.figure = f"{pushed.ref.name}, tags {', '.join(pushed.tags)}"
        note.moved_bytes = pushed.uploaded_bytes
    recorder.note(pushed=pushed)
    return pushed


def _deploy(
    plan: Plan, spec: DeployPlan, pushed: PushedImage | None, target: Target, recorder: Recorder
) -> None:
    from modelferry.stages.deploy import deploy

    image = pushed or spec.given
    recorder.note(pushed=image)  # so that a job that only deploys says what it deployed
    with recorder.stage("deploy") as note:
        rollout = deploy(spec, image, target, context=plan.context)
        note.figure = f"{rollout.state}: {format_names(rollout.objects)}"
    recorder.note(rollout=rollout)
