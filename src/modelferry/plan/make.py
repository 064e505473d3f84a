"""make_plan: every group read, and what contradicts what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from modelferry.inputs import Inputs, suggest
from modelferry.plan.app_tests import plan_tests
from modelferry.plan.cluster import plan_cluster, plan_deploy, plan_rollback
from modelferry.plan.image import plan_build, plan_given_image, plan_push, plan_registry
from modelferry.plan.model import plan_model
from modelferry.plan.parsing import Faults, boolean
from modelferry.plan.secret_values import secrets
from modelferry.plan.spec import DeployPlan, Plan, PushPlan, RollbackPlan, RunContext, Stage
from modelferry.values import ImageRef


def make_plan(
    inputs: Inputs, context: RunContext, *, environ: Mapping[str, str] = MappingProxyType({})
) -> Plan:
    """Raises InputError with every fault. `environ` is what a build argument without a value
    takes its value from. Inputs of stages that do not run are checked all the same."""
    faults = Faults()
    stages = _stages(inputs.what.stages, faults)
    dry_run = faults.read("dry-run", inputs.what.dry_run, boolean, False)
    model = plan_model(inputs.model, inputs.cloud, faults)
    access = plan_registry(inputs.image, faults)
    build = plan_build(inputs.image, access, context, environ, secrets(inputs), faults)
    push = plan_push(inputs.image, access, context, faults)
    image = plan_given_image(inputs.image, push, faults)
    smoke_tests = bool(inputs.cluster.smoke_tests)
    tests = plan_tests(inputs.tests, context.workspace, faults, smoke_tests=smoke_tests)
    spec = plan_deploy(inputs.cluster, tests, push.name if push else image, faults)
    deploy = DeployPlan(
        cluster=plan_cluster(inputs.cluster, faults),
        spec=spec,
        image=image,
        tags=_deployed_tags(inputs, push, image),
        model_version=inputs.model.model_version,
        registry=push.access if push and push.access.username else None,
    )
    rollback = RollbackPlan(
        cluster=deploy.cluster, spec=plan_rollback(inputs.cluster, spec, faults)
    )
    _check_order(stages, inputs, faults)
    if inputs.cluster.to and Stage.ROLLBACK not in stages:
        faults.add("to", inputs.cluster.to, "is for `stages: rollback` alone")
    if Stage.ROLLBACK in stages and not rollback.spec.release:
        faults.add("release", None, "is needed to roll back: give it, or `repository`")
    if Stage.PUSH in stages:
        _check_push(inputs, push, faults)
    if Stage.DEPLOY in stages:
        _check_deploy(stages, inputs, deploy, faults)
    faults.raise_any()
    return Plan(
        stages=stages,
        dry_run=dry_run,
        context=context,
        model=model if Stage.FETCH in stages else None,
        build=build if Stage.BUILD in stages else None,
        tests=tests if Stage.TEST in stages else None,
        push=push if Stage.PUSH in stages else None,
        deploy=deploy if Stage.DEPLOY in stages else None,
        rollback=rollback if Stage.ROLLBACK in stages else None,
    )


def _stages(text: str, faults: Faults) -> tuple[Stage, ...]:
    named: set[Stage] = set()
    for name in re.split(r"[\s,]+", text.strip()):
        if name in tuple(Stage):
            named.add(Stage(name))
        else:
            known = ", ".join(Stage)
            faults.add("stages", name, f"must be of {known}{suggest(name, tuple(Stage))}")
    if Stage.BUILD in named:
        named.add(Stage.FETCH)
    return tuple(stage for stage in Stage if stage in named)


def _check_order(stages: tuple[Stage, ...], inputs: Inputs, faults: Faults) -> None:
    given = inputs.what.stages
    if Stage.ROLLBACK in stages and stages != (Stage.ROLLBACK,):
        faults.add("stages", given, "rollback stands alone, in a step of its own")
    for stage in (Stage.TEST, Stage.PUSH):
        if stage in stages and Stage.BUILD not in stages:
            faults.add("stages", given, f"{stage} needs build before it, in the same step")
    if stages == (Stage.FETCH,) and not inputs.model.model:
        faults.add("model", None, "is needed: fetch is all that this step does")


def _check_push(inputs: Inputs, push: PushPlan | None, faults: Faults) -> None:
    for name, given in (
        ("registry", inputs.image.registry),
        ("repository", inputs.image.repository),
    ):
        if not given:
            faults.add(name, None, "is needed: push is among the stages")
    if push and not push.tags and not inputs.image.tags:
        faults.add("tags", None, "is needed: there is no commit or branch to name the image after")


def _check_deploy(
    stages: tuple[Stage, ...], inputs: Inputs, deploy: DeployPlan, faults: Faults
) -> None:
    if not inputs.cluster.manifests.strip():
        faults.add("manifests", None, "is needed: deploy is among the stages")
    given = inputs.image.image
    if given and Stage.BUILD in stages:
        faults.add("image", given, "is for a job that only deploys: this one builds its own")
    elif not given and Stage.PUSH not in stages:
        faults.add("image", None, "is needed to deploy, as push is not among the stages")
    if deploy.spec.deploy_by == "tag" and given and not deploy.tags:
        faults.add("tags", None, "is needed: deploy-by is tag, and image names a digest alone")


def _deployed_tags(
    inputs: Inputs, push: PushPlan | None, image: ImageRef | None
) -> tuple[str, ...]:
    if image is None:
        return ()
    if image.tag:
        return (image.tag,)
    return push.tags if push and inputs.image.tags else ()
