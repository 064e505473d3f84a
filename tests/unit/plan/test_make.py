from __future__ import annotations

from collections.abc import Callable

import pytest

from modelferry.errors import Fault, InputError
from modelferry.inputs import from_values
from modelferry.plan import Plan, RunContext, Stage, make_plan
from modelferry.rollout.spec import RollbackSpec
from modelferry.values import ImageRef

DIGEST = "sha256:" + "a" * 64
ALL = (Stage.FETCH, Stage.BUILD, Stage.TEST, Stage.PUSH, Stage.DEPLOY)


@pytest.mark.parametrize(
    ("given", "stages"),
    [
        ("", ALL),
        ("deploy push test build fetch", ALL),
        ("build, test", (Stage.FETCH, Stage.BUILD, Stage.TEST)),
        ("build\npush\n", (Stage.FETCH, Stage.BUILD, Stage.PUSH)),
        ("build build", (Stage.FETCH, Stage.BUILD)),
    ],
)
def test_stages_have_one_order(
    plan_of: Callable[..., Plan], given: str, stages: tuple[Stage, ...]
) -> None:
    assert plan_of({"stages": given}).stages == stages


def test_slices_are_of_the_stages_that_run(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of({"stages": "build", "model": "s3://bucket/m"})
    assert plan.model
    assert plan.build
    assert (plan.tests, plan.push, plan.deploy) == (None, None, None)


def test_a_delivery_without_a_model(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of()
    assert plan.model is None
    assert plan.stages == ALL


def test_a_rollback_stands_alone(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of({"stages": "rollback", "namespace": "models", "to": DIGEST, "timeout": "2m"})
    assert plan.rollback
    assert plan.rollback.spec == RollbackSpec(
        release="score", namespace="models", to=DIGEST, timeout_s=120.0
    )
    assert (plan.model, plan.build, plan.push, plan.deploy) == (None, None, None, None)


def test_a_job_that_only_deploys(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of({"stages": "deploy", "image": f"reg.azurecr.io/team/score@{DIGEST}"})
    assert plan.deploy
    assert plan.deploy.image == ImageRef.parse(f"reg.azurecr.io/team/score@{DIGEST}")
    assert (plan.build, plan.push, plan.deploy.tags) == (None, None, ())


def test_a_job_that_only_deploys_needs_no_registry(plan_of: Callable[..., Plan]) -> None:
    plan = plan_of(
        {
            "stages": "deploy",
            "image": f"reg.azurecr.io/team/score:v1@{DIGEST}",
            "registry": "",
            "repository": "",
            "deploy-by": "tag",
        }
    )
    assert plan.deploy
    assert plan.deploy.spec.release == "score"
    assert plan.deploy.tags == ("v1",)


@pytest.mark.parametrize(
    ("given", "name", "says"),
    [
        ({"stages": "biuld"}, "stages", "did you mean build?"),
        ({"stages": "rollback build"}, "stages", "rollback stands alone"),
        ({"stages": "rollback", "repository": ""}, "release", "is needed to roll back"),
        ({"stages": "rollback", "to": "v7"}, "to", "a release's number"),
        ({"stages": "rollback", "to": "sha256:abc"}, "to", "12 digits"),
        ({"to": "7"}, "to", "is for `stages: rollback` alone"),
        ({"check-url": "true"}, "check-url", "needs checks"),
        ({"stages": "test"}, "stages", "test needs build"),
        ({"stages": "fetch push"}, "stages", "push needs build"),
        ({"stages": "fetch"}, "model", "is needed"),
        ({"dry-run": "yes"}, "dry-run", "true or false"),
        ({"registry": ""}, "registry", "push is among the stages"),
        ({"repository": ""}, "repository", "push is among the stages"),
        ({"manifests": ""}, "manifests", "deploy is among the stages"),
        ({"manifests": " \n "}, "manifests", "deploy is among the stages"),
        ({"stages": "deploy"}, "image", "push is not among the stages"),
        ({"stages": "build test deploy"}, "image", "push is not among the stages"),
        ({"image": f"reg.azurecr.io/team/score@{DIGEST}"}, "image", "only deploys"),
        (
            {"stages": "build deploy", "image": f"reg.azurecr.io/team/score@{DIGEST}"},
            "image",
            "only deploys",
        ),
        (
            {"stages": "deploy", "image": f"reg.azurecr.io/team/other@{DIGEST}"},
            "image",
            "is not in reg.azurecr.io/team/score",
        ),
        (
            {
                "stages": "deploy",
                "image": f"reg.azurecr.io/team/score@{DIGEST}",
                "deploy-by": "tag",
            },
            "tags",
            "image names a digest alone",
        ),
    ],
)
def test_refuses(
    faults_of: Callable[..., tuple[Fault, ...]], given: dict[str, str], name: str, says: str
) -> None:
    [fault] = faults_of(given)
    assert fault.name == name
    assert says in fault.allowed


def test_reports_every_fault_at_once(faults_of: Callable[..., tuple[Fault, ...]]) -> None:
    faults = faults_of(
        {
            "stages": "deploy biuld",
            "model": "m\nazblob://acct/models/m?sig=hunter2",
            "timeout": "10",
            "port": "0",
            "checks": "GET /\nFETCH /\n\nGET nowhere",
            "registry": "https://reg.azurecr.io",
            "azure-storage-key": "hunter2!",
        }
    )
    assert [fault.name for fault in faults] == [
        "stages",
        "azure-storage-key",
        "model line 1",
        "model line 2",
        "registry",
        "port",
        "checks line 2",
        "checks line 4",
        "timeout",
        "image",
    ]
    assert "hunter2" not in str(InputError(*faults))


def test_inputs_of_stages_that_do_not_run_are_checked_too(
    faults_of: Callable[..., tuple[Fault, ...]],
) -> None:
    [fault] = faults_of({"stages": "build", "timeout": "soon"})
    assert fault.name == "timeout"


def test_tags_are_asked_for_where_nothing_names_the_image(context: RunContext) -> None:
    nowhere = RunContext(
        workspace=context.workspace,
        temp=context.temp,
        run_id="1",
        run_attempt=1,
        repository=None,
        commit=None,
        branch=None,
        server_url=None,
    )
    inputs = from_values(
        {"stages": "build push", "registry": "reg.azurecr.io", "repository": "score"}
    )
    with pytest.raises(InputError, match="tags: is needed"):
        make_plan(inputs, nowhere)
