"""The Role of docs/kubernetes-role.md is enough, and nothing in it is too much."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelferry.artifacts import PushedImage, Rollout, RolloutState
from modelferry.cluster import connect
from modelferry.cluster.access import ClusterAccess
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import PODS, SERVICES, Resource
from modelferry.errors import RolloutError, RolloutFailed
from modelferry.rollout.release import turn
from modelferry.rollout.watching.readiness import watched
from modelferry.values import Secret
from tests.service_account import log_in

PAGE = Path(__file__).parents[3] / "docs/kubernetes-role.md"
ROLE, _ = yaml.safe_load_all(PAGE.read_text().split("```yaml\n")[1].split("```")[0])
RIGHTS = [
    (number, resource, verb)
    for number, rule in enumerate(ROLE["rules"])
    for resource in rule["resources"]
    for verb in rule["verbs"]
]
KINDS = {
    "configmaps": ("v1", "ConfigMap"),
    "cronjobs": ("batch/v1", "CronJob"),
    "daemonsets": ("apps/v1", "DaemonSet"),
    "deployments": ("apps/v1", "Deployment"),
    "horizontalpodautoscalers": ("autoscaling/v2", "HorizontalPodAutoscaler"),
    "ingresses": ("networking.k8s.io/v1", "Ingress"),
    "jobs": ("batch/v1", "Job"),
    "persistentvolumeclaims": ("v1", "PersistentVolumeClaim"),
    "poddisruptionbudgets": ("policy/v1", "PodDisruptionBudget"),
    "pods": ("v1", "Pod"),
    "services": ("v1", "Service"),
    "statefulsets": ("apps/v1", "StatefulSet"),
}
WORKLOADS = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {version: "VERSION"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: score}
spec:
  selector: {matchLabels: {app: score}}
  template:
    metadata: {labels: {app: score}, annotations: {version: "VERSION"}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: score
          image: $IMAGE
          env: [{name: MODE, value: MODUS}]
          ports: [{containerPort: 8000}]
---
apiVersion: v1
kind: Pod
metadata: {name: lone}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: score, image: $IMAGE, ports: [{containerPort: 8000}]}]
---
apiVersion: batch/v1
kind: Job
metadata: {name: rescore}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: rescore, image: $IMAGE, env: [{name: MODE, value: end}]}]
"""
NEW = """\
apiVersion: v1
kind: Service
metadata: {name: brought}
spec: {selector: {app: score}, ports: [{port: 80, targetPort: 8000}]}
---
"""


def manifest(version: str, modus: str = "serve") -> str:
    return WORKLOADS.replace("VERSION", version).replace("MODUS", modus)


Grant = Callable[..., str]


@pytest.fixture
def grant(cluster: Cluster, namespace: str, testbed: Mapping[str, str]) -> Grant:
    """Rules → the kubeconfig of a service account that has these alone."""

    def make(rules: list[dict[str, Any]], name: str = "ferry") -> str:
        return log_in(cluster, namespace, rules, testbed["KUBECONFIG"], name=name)

    return make


def test_a_release_its_failure_and_its_rollback_need_no_more(
    deploy: Callable[..., Rollout],
    images: tuple[PushedImage, PushedImage],
    cluster: Cluster,
    namespace: str,
    grant: Grant,
    caplog: pytest.LogCaptureFixture,
) -> None:
    how: dict[str, Any] = {"kubeconfig": grant(ROLE["rules"]), "checks": "GET / contains version"}
    for version, image in zip("12", images, strict=True):
        rollout = deploy(manifest(version), image, smoke_tests="true", **how)
        assert rollout.state is RolloutState.SUCCEEDED
    assert rollout.release == 2
    with pytest.raises(RolloutFailed) as raised:
        deploy(NEW + manifest("3", "crash-late"), images[0], run="4712", **how)
    assert raised.value.rolled_back
    settings = cluster.resource("v1", "ConfigMap")
    assert settings
    assert (cluster.get(settings, "settings", namespace) or {})["data"] == {"version": "2"}
    assert cluster.get(SERVICES, "brought", namespace) is None
    lone = cluster.get(PODS, "lone", namespace)
    assert lone
    assert lone["spec"]["containers"][0]["image"] == str(images[1].ref)
    losses = ("user may not", "is kept", "nothing keeps", "no record")
    assert [line for line in caplog.messages if any(loss in line for loss in losses)] == []


def test_without_the_useful_rights_it_still_deploys_and_says_what_is_lost(
    deploy: Callable[..., Rollout],
    images: tuple[PushedImage, PushedImage],
    grant: Grant,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = [
        {**rule, "verbs": [verb for verb in rule["verbs"] if verb != "delete"]}
        for rule in ROLE["rules"]
        if not {"secrets", "leases", "events", "pods/log"}.intersection(rule["resources"])
    ]
    alone = manifest("1").partition("---\napiVersion: v1\nkind: Pod")[0]
    for version, image in zip("12", images, strict=True):
        deploy(alone.replace("VERSION", version), image, kubeconfig=grant(kept))
    for loss in (
        "no history is kept",
        "nothing keeps two runs",
        "a failed rollout would show less",
        "a rollback could not remove what is new",
    ):
        assert any("may not" in line and loss in line for line in caplog.messages), loss


def review(cluster: Cluster, namespace: str, resource: Resource) -> str:
    """All that preflight says of rights for a set with this kind and a Deployment."""
    deployments = cluster.resource("apps/v1", "Deployment")
    assert deployments
    try:
        return "\n".join(
            cluster.check_apply(
                [(resource, namespace), (deployments, namespace)],
                watched=lambda found: watched(found.api_version, found.kind),
                asked=True,
                own=turn.own("app", namespace),
            )
        )
    except RolloutError as error:
        return error.seen


Told = Callable[[list[dict[str, Any]], str, str], str]


@pytest.fixture
def told(cluster: Cluster, namespace: str, grant: Grant) -> Told:
    """Rules, a name and a resource → what preflight says to somebody who has these rules."""

    def ask(rules: list[dict[str, Any]], name: str, resource: str) -> str:
        kind = cluster.resource(*KINDS.get(resource, KINDS["deployments"]))
        assert kind
        user = connect(ClusterAccess(content=Secret(grant(rules, name))))
        for _ in range(20):
            said = review(user, namespace, kind)
            if "list pods" not in said or "watch pods" not in said:
                return said
            time.sleep(0.5)  # the API server hears of a new Role a moment late
        raise AssertionError("the Role came to nothing")

    return ask


def test_nobody_misses_a_right_of_the_role(told: Told) -> None:
    assert {told(ROLE["rules"], "whole", resource) for resource in KINDS} == {""}


def test_each_missing_verb_is_named(told: Told) -> None:
    """Every one: nothing stands in the Role that nobody asks for."""

    def without(number: int) -> str:
        rule, resource, verb = RIGHTS[number]
        said = told(_less(rule, resource, verb), f"less-{number}", resource)
        return "" if f"{verb} {resource}" in said else f"{verb} {resource}: {said or 'no word'}"

    with ThreadPoolExecutor(4) as pool:
        assert [silent for silent in pool.map(without, range(len(RIGHTS))) if silent] == []


def _less(number: int, resource: str, verb: str) -> list[dict[str, Any]]:
    rules = deepcopy(ROLE["rules"])
    rule = rules[number]
    others = [other for other in rule["resources"] if other != resource]
    verbs = [other for other in rule["verbs"] if other != verb]
    rules.append({**rule, "resources": [resource], "verbs": verbs})
    rules[number] = {**rule, "resources": others}
    return [rule for rule in rules if rule["resources"] and rule["verbs"]]
