from __future__ import annotations

import base64
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.cluster.access import ClusterAccess
from modelferry.errors import Fault
from modelferry.plan import Plan
from modelferry.plan.cluster import BUILT_IN_VARIABLES, release_name
from modelferry.plan.parsing import dns_label
from modelferry.rollout.spec import ImageRule
from modelferry.values import ImageRef, is_repository


def test_defaults(plan_of: Callable[..., Plan]) -> None:
    deploy = plan_of().deploy
    assert deploy
    spec = deploy.spec
    assert (spec.manifests, spec.namespace, spec.release) == (("k8s/",), None, "score")
    assert (spec.deploy_by, spec.timeout_s, spec.force) == ("digest", 600.0, False)
    assert deploy.cluster == ClusterAccess()


@pytest.mark.parametrize("wrap", [0, 76])
def test_a_kubeconfig_may_come_as_base64(plan_of: Callable[..., Plan], wrap: int) -> None:
    text = "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n"
    encoded = base64.b64encode(text.encode()).decode()
    lines = [encoded[at : at + wrap] for at in range(0, len(encoded), wrap)] if wrap else [encoded]
    deploy = plan_of({"kubeconfig": "\n".join(lines)}).deploy
    assert deploy
    assert deploy.cluster.content
    assert deploy.cluster.content.reveal() == text


def test_a_long_line_that_is_no_kubeconfig_is_refused_and_never_shown(
    faults_of: Callable[..., tuple[Fault, ...]],
) -> None:
    [fault] = faults_of({"kubeconfig": "Zm9v" * 100})
    assert (fault.name, fault.given) == ("kubeconfig", None)
    assert "Zm9v" not in str(fault)


def test_everything(plan_of: Callable[..., Plan]) -> None:
    deploy = plan_of(
        {
            "manifests": "k8s/*.yaml\nextra/service.yml",
            "namespace": "models",
            "kube-context": "prod",
            "kubeconfig": "apiVersion: v1\nkind: Config\n",
            "release": "lynx",
            "images": (
                "app=reg.azurecr.io/team/score\nproxy=nginx:1.27\n"
                "side = reg.azurecr.io/team/score:v1\nother=reg.azurecr.io/team/other"
            ),
            "variables": "REPLICAS=3\nURL=https://x/?a=b\nBuild.Reason=push\nEMPTY=",
            "deploy-by": "tag",
            "timeout": "20m",
            "imagepullsecrets": "regcred\nother.secret",
            "force": "true",
            "rollback": "false",
            "rollback-timeout": "90s",
            "allow-older": "true",
            "smoke-tests": "tests/smoke",
            "checks": "GET /",
            "check-url": "true",
        }
    ).deploy
    assert deploy
    spec = deploy.spec
    assert spec.manifests == ("k8s/*.yaml", "extra/service.yml")
    assert spec.images == (
        ImageRule(container="app", image=None),
        ImageRule(container="proxy", image=ImageRef.parse("nginx:1.27")),
        ImageRule(container="side", image=ImageRef.parse("reg.azurecr.io/team/score:v1")),
        ImageRule(container="other", image=ImageRef.parse("reg.azurecr.io/team/other")),
    )
    assert dict(spec.variables) == {
        "REPLICAS": "3",
        "URL": "https://x/?a=b",
        "Build.Reason": "push",
        "EMPTY": "",
    }
    assert (spec.release, spec.deploy_by, spec.timeout_s) == ("lynx", "tag", 1200.0)
    assert (spec.image_pull_secrets, spec.force) == (("regcred", "other.secret"), True)
    assert (spec.rollback, spec.rollback_timeout_s, spec.allow_older) == (False, 90.0, True)
    assert (spec.smoke_tests, spec.check_url) == ("tests/smoke", True)
    assert deploy.cluster.content
    assert deploy.cluster.content.reveal() == "apiVersion: v1\nkind: Config"


@pytest.mark.parametrize(
    ("repository", "release"),
    [("score", "score"), ("team/score_api.v2", "score-api-v2"), ("a" * 80, "a" * 63)],
)
def test_the_release_is_named_after_the_repository(repository: str, release: str) -> None:
    assert release_name(repository) == release


@given(st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)*", fullmatch=True).filter(is_repository))
def test_a_repository_always_gives_a_valid_release(repository: str) -> None:
    assert dns_label(release_name(repository))


@pytest.mark.parametrize("name", BUILT_IN_VARIABLES)
def test_built_in_variables_cannot_be_set(
    faults_of: Callable[..., tuple[Fault, ...]], name: str
) -> None:
    [fault] = faults_of({"variables": f"A=1\n{name}=hunter2"})
    assert fault.name == "variables"
    assert name in fault.allowed
    assert "hunter2" not in str(fault)


@pytest.mark.parametrize(
    ("given", "name", "says"),
    [
        ({"namespace": "Models"}, "namespace", "lower-case"),
        ({"namespace": "a.b"}, "namespace", "lower-case"),
        ({"release": "score_api"}, "release", "lower-case"),
        ({"kube-context": "a\nb"}, "kube-context", "one line"),
        ({"images": "nginx"}, "images line 1", "CONTAINER=IMAGE"),
        ({"images": "app="}, "images line 1", "CONTAINER=IMAGE"),
        ({"images": "App=nginx"}, "images line 1", "lower-case"),
        ({"images": "a=nginx\n\na=nginx"}, "images line 3", "names container a again"),
        ({"images": "a=Nginx"}, "images line 1", "no image name"),
        ({"images": "a=nginx:"}, "images line 1", "tag is empty"),
        ({"variables": "REPLICAS"}, "variables line 1", "NAME=VALUE"),
        ({"variables": "1A=x"}, "variables line 1", "NAME=VALUE"),
        ({"variables": "A=x\nA=y"}, "variables line 2", "already"),
        ({"deploy-by": "tags"}, "deploy-by", "did you mean tag?"),
        ({"timeout": "10"}, "timeout", "10s for seconds, 10m for minutes"),
        ({"imagepullsecrets": "a b"}, "imagepullsecrets line 1", "Kubernetes name"),
        ({"force": "on"}, "force", "true or false"),
    ],
)
def test_refuses(
    faults_of: Callable[..., tuple[Fault, ...]], given: dict[str, str], name: str, says: str
) -> None:
    [fault] = faults_of(given)
    assert fault.name == name
    assert says in fault.allowed
