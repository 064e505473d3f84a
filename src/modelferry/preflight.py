"""What can be refused is refused here: read-only questions, side by side, before a byte moves."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modelferry.artifacts import ResolvedModel
from modelferry.errors import (
    Fault,
    FerryError,
    InputError,
    ModelError,
    RegistryError,
    Several,
)
from modelferry.local_files import missing
from modelferry.plan import DeployPlan, ModelPlan, Plan, PushPlan
from modelferry.sources import adapter, resolve_model
from modelferry.values import format_bytes

if TYPE_CHECKING:
    from modelferry.engine import Engine
    from modelferry.image.spec import BuildSpec
    from modelferry.registry.client import Registry
    from modelferry.stages.deploy import Target

log = logging.getLogger("modelferry.preflight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What preflight found and opened; None where no stage of this run needs it."""

    model: ResolvedModel | None
    engine: Engine | None
    registry: Registry | None
    target: Target | None

    @property
    def model_version(self) -> str:
        return self.model.version if self.model else ""


def preflight(plan: Plan) -> Ready:
    """Raises InputError for files that are not there, else the one failure, else Several."""
    if faults := missing(plan):
        raise InputError(*faults)
    pool = ThreadPoolExecutor(5, thread_name_prefix="preflight")
    try:
        # Modules are loaded here, each before its question is asked: threads that import side by
        # side wait for one another's locks, and take twice as long.
        if plan.push:
            import modelferry.registry.client
        registry = pool.submit(lambda: plan.push and _registry(plan.push))
        for line in plan.model.lines if plan.model else ():
            adapter(line.kind)
        model = pool.submit(lambda: plan.model and resolve(plan.model, plan.context.workspace))
        if build := _built_by_engine(plan):
            import modelferry.engine  # noqa: F401
        engine = pool.submit(lambda: build and _engine(build, is_tested=bool(plan.tests)))
        given = pool.submit(lambda: plan.deploy and _look_up(plan.deploy))
        target = pool.submit(lambda: plan.deploy and _target(plan.deploy, plan, model))
        asked = (model, engine, registry, given, target)
        _raise_any([future.exception() for future in asked])
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # a cancel does not wait for a network
    ready = Ready(
        model=model.result(),
        engine=engine.result(),
        registry=registry.result(),
        target=target.result(),
    )
    _check_disk(plan, ready)
    return ready


def _raise_any(found: Sequence[BaseException | None]) -> None:
    """A bug of ours is raised before what it may have caused."""
    errors = [error for error in found if error is not None]
    for error in errors:
        if not isinstance(error, FerryError):
            raise error
    refusals = [error for error in errors if isinstance(error, FerryError)]
    if len(refusals) == 1:
        raise refusals[0]
    if refusals:
        raise Several(tuple(refusals))


def resolve(model: ModelPlan, workspace: Path) -> ResolvedModel:
    found = resolve_model(
        model.lines,
        model.access,
        marker=model.marker,
        version=model.version,
        workspace=workspace,
    )
    log.info("model %s: %s in all", found.version, format_bytes(found.size_bytes))
    return found


def _built_by_engine(plan: Plan) -> BuildSpec | None:
    """A `builder` elsewhere that pushes needs none, except for the tests."""
    build = plan.build
    by_engine = build and (build.builder == "docker" or plan.tests or not plan.push)
    return build if by_engine else None


def _engine(build: BuildSpec, *, is_tested: bool) -> Engine:
    from modelferry.engine import connect

    engine = connect()
    facts = engine.facts
    log.info("docker: %s %s, %s store", engine.address, facts.version, facts.store)
    if is_tested and build.platform and not _same_platform(build.platform, facts.platform):
        raise InputError(
            Fault(
                name="platform",
                given=build.platform,
                allowed=f"cannot be tested here: this engine runs {facts.platform};"
                " leave `test` out of `stages`, or use a runner of that platform",
            )
        )
    return engine


def _same_platform(one: str, other: str) -> bool:
    """os and architecture; a variant (linux/arm/v7) narrows the same one."""
    return one.split("/")[:2] == other.split("/")[:2]


def _registry(push: PushPlan) -> Registry:
    """Asked as far as the answer to "may I push here?": a token, and an upload begun and undone."""
    from modelferry.registry.client import Registry

    registry = Registry(push.access)
    registry.check_push(push.repository)
    return registry


def _look_up(deploy: DeployPlan) -> None:
    """A Pod is deleted to be replaced: an `image` that nobody has must be told before that."""
    from modelferry.registry.client import Registry

    image = deploy.image
    if image is None or image.digest is None or deploy.registry is None:
        return
    if Registry(deploy.registry).head_manifest(image.repository, image.digest) is None:
        raise RegistryError(
            f"the image {image} is not in the registry",
            do="Give `image` the output `image` of the job that pushed it.",
        )


def _target(deploy: DeployPlan, plan: Plan, resolving: Future[ResolvedModel | None]) -> Target:
    from modelferry.stages.deploy import prepare

    built = deploy.image or (plan.push and plan.push.name)
    if built is None:
        raise AssertionError("the plan refuses a deploy with neither image nor push")
    model = None if resolving.exception() else resolving.result()  # which is told by itself
    version = model.version if model else ""
    return prepare(deploy, built=built, context=plan.context, model_version=version)


def _check_disk(plan: Plan, ready: Ready) -> None:
    """The model lies in our folder for `model-in-context` alone. Whether the engine must take it is
    not known yet (image/load.py)."""
    if ready.model is None or plan.model is None or not plan.model.in_context:
        return
    temp, size = plan.context.temp, ready.model.size_bytes
    free = shutil.disk_usage(_existing(temp)).free
    if free < size:
        raise ModelError(
            f"not enough disk for the model below {temp.parent}",
            seen=f"the model has {format_bytes(size)}, {format_bytes(free)} are free",
            do="Free some space, or set RUNNER_TEMP to a larger disk.",
        )


def _existing(folder: Path) -> Path:
    return next(each for each in (folder, *folder.parents) if each.exists())
