"""A plan in words: what `modelferry plan` and a dry run show."""

from __future__ import annotations

from collections.abc import Iterable

from modelferry.apptest.spec import AppTests
from modelferry.image.spec import BuildSpec
from modelferry.plan.spec import DeployPlan, ModelPlan, Plan, PushPlan, RollbackPlan, Stage
from modelferry.values import format_duration


def describe(plan: Plan) -> str:
    lines = [f"stages: {' → '.join(plan.stages)}" + (", dry run" if plan.dry_run else "")]
    if Stage.FETCH in plan.stages:
        lines += _section("fetch", _model(plan.model))
    if plan.build:
        lines += _section("build", _build(plan.build))
    if plan.tests:
        lines += _section("test", _tests(plan.tests))
    elif plan.build:
        lines += _section("test", ["not tested"])
    if plan.push:
        lines += _section("push", _push(plan.push))
    elif plan.build:
        lines += _section("push", ["nothing is uploaded"])
    if plan.deploy:
        lines += _section("deploy", _deploy(plan.deploy))
    if plan.rollback:
        lines += _section("rollback", _rollback(plan.rollback))
    return "\n".join(lines)


def _section(title: str, lines: Iterable[str]) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in lines)]


def _model(model: ModelPlan | None) -> Iterable[str]:
    if model is None:
        yield "no model is given"
        return
    for line in model.lines:
        pin = line.version_id or line.snapshot
        folder = "/" if line.target_is_folder and str(line.target) != "/" else ""
        yield f"{line.uri}{f' at version {pin}' if pin else ''} => {line.target}{folder}"
    if model.sha256:
        yield f"SHA-256 checked against {len(model.sha256)} given"
    if model.in_context:
        yield "also put in the build context"


def _build(build: BuildSpec) -> Iterable[str]:
    target = f", target {build.target}" if build.target else ""
    platform = f" for {build.platform}" if build.platform else ""
    yield f"{build.file} in {build.context}{target}{platform}, by {build.builder}"
    if build.build_args:
        yield f"build arguments: {', '.join(name for name, _ in build.build_args)}"
    if build.build_secrets:
        yield f"build secrets: {', '.join(name for name, _ in build.build_secrets)}"


def _tests(tests: AppTests) -> Iterable[str]:
    if tests.unit_tests:
        yield f"unit tests: {tests.unit_tests}"
    port = f"port {tests.port}" if tests.port else "the image's first exposed port"
    timeout = format_duration(tests.start_timeout_s)
    yield f"the app answers {tests.health_path} on {port} within {timeout}"
    yield from (f"check: {check.text}" for check in tests.checks)
    if tests.integration_tests or tests.test_target:
        where = f" in stage {tests.test_target}" if tests.test_target else ""
        yield f"integration tests: {tests.integration_tests or 'the default command'}{where}"


def _push(push: PushPlan) -> Iterable[str]:
    yield from (str(push.name.tagged(tag)) for tag in push.tags)


def _deploy(deploy: DeployPlan) -> Iterable[str]:
    spec = deploy.spec
    yield f"image {deploy.image or 'that was pushed'}, by {spec.deploy_by}"
    namespace = f"namespace {spec.namespace}" if spec.namespace else "the context's namespace"
    yield f"release {spec.release} in {namespace}"
    yield from (f"manifests {pattern}" for pattern in spec.manifests)
    yield f"at most {format_duration(spec.timeout_s)}, {len(spec.checks)} checks on the new pods"
    if spec.smoke_tests:
        yield f"smoke tests: {spec.smoke_tests}"
    if spec.check_url:
        yield "then the checks once more through the service's address"
    if spec.rollback:
        limit = format_duration(spec.rollback_timeout_s)
        yield f"on failure back to what was there, at most {limit}"
    if spec.allow_older:
        yield "also over a newer run's release"


def _rollback(rollback: RollbackPlan) -> Iterable[str]:
    spec = rollback.spec
    namespace = f"namespace {spec.namespace}" if spec.namespace else "the context's namespace"
    yield f"release {spec.release} in {namespace}, to {spec.to or 'the release before'}"
    yield f"at most {format_duration(spec.timeout_s)}"
