"""Settings that change under pods which do not."""

from __future__ import annotations

from typing import Any

import pytest

from modelferry.cluster.resources import Resource
from modelferry.rollout.changes.decide import Action, Change
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.changes.unread import unread
from modelferry.rollout.manifests.load import ManifestObject

VERSIONS = {"Deployment": "apps/v1", "CronJob": "batch/v1"}


def change(before: dict[str, Any], after: dict[str, Any], action: Action | None = None) -> Change:
    chosen = action or (Action.UNCHANGED if before == after else Action.UPDATE)
    resource = Resource(
        api_version=after["apiVersion"], kind=after["kind"], plural="x", namespaced=True
    )
    manifest = ManifestObject(body=after, file="a.yaml", line=1, lines={})
    placed = Placed(manifest=manifest, resource=resource, namespace="n")
    result = None if chosen is Action.REPLACE else after
    return Change(placed=placed, action=chosen, live=before, result=result)


def of(kind: str, name: str, **more: Any) -> dict[str, Any]:
    version = VERSIONS.get(kind, "v1")
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **more}


def workload(pod: dict[str, Any], kind: str = "Deployment", **annotations: str) -> dict[str, Any]:
    template = {"metadata": {"annotations": annotations}, "spec": pod}
    if kind == "CronJob":
        return of(kind, "score", spec={"jobTemplate": {"spec": {"template": template}}})
    return of(kind, "score", spec={"template": template})


def reading(**container: Any) -> dict[str, Any]:
    return {"containers": [{"name": "main", **container}]}


BEFORE, AFTER = of("ConfigMap", "app", data={"A": "1"}), of("ConfigMap", "app", data={"A": "2"})
FROM_ENV = reading(envFrom=[{"configMapRef": {"name": "app"}}])


@pytest.mark.parametrize(
    ("kind", "pod"),
    [
        ("ConfigMap", FROM_ENV),
        ("Secret", reading(envFrom=[{"secretRef": {"name": "app"}}])),
        (
            "ConfigMap",
            reading(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "app"}}}]),
        ),
        ("Secret", reading(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "app"}}}])),
        ("ConfigMap", {**reading(), "volumes": [{"name": "v", "configMap": {"name": "app"}}]}),
        ("Secret", {**reading(), "volumes": [{"name": "v", "secret": {"secretName": "app"}}]}),
        (
            "Secret",
            {
                **reading(),
                "volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "app"}}]}}],
            },
        ),
        (
            "ConfigMap",
            {"containers": [], "initContainers": FROM_ENV["containers"]},
        ),
    ],
)
def test_each_way_to_read_is_seen(kind: str, pod: dict[str, Any]) -> None:
    before, after = of(kind, "app", data={"A": "1"}), of(kind, "app", data={"A": "2"})
    same = workload(pod)
    (said,) = unread([change(before, after), change(same, same)])
    assert said.startswith(f"{kind.lower()}/app changes, and deployment/score reads it")
    other = change(of(kind, "other", data={}), of(kind, "other", data={"A": "2"}))
    assert unread([other, change(same, same)]) == ()


def test_a_change_beside_the_template_restarts_nothing_either() -> None:
    same = workload(FROM_ENV)
    scaled = {**same, "spec": {**same["spec"], "replicas": 3}}
    assert unread([change(BEFORE, AFTER), change(same, scaled)])
    assert unread([change(BEFORE, AFTER, Action.REPLACE), change(same, scaled)])


def test_what_is_restarted_or_not_changed_is_no_news() -> None:
    same = workload(FROM_ENV)
    assert unread([change(BEFORE, AFTER), change(same, workload(FROM_ENV, checksum="2"))]) == ()
    assert unread([change(BEFORE, BEFORE), change(same, same)]) == ()
    labelled = {**BEFORE, "metadata": {"name": "app", "labels": {"a": "b"}}}
    assert unread([change(BEFORE, labelled), change(same, same)]) == ()
    nightly = workload(FROM_ENV, "CronJob")
    assert unread([change(BEFORE, AFTER), change(nightly, nightly)]) == ()


def test_a_bare_pod_goes_on_unless_it_is_replaced() -> None:
    pod = of("Pod", "lone", spec=FROM_ENV)
    assert unread([change(BEFORE, AFTER), change(pod, pod)])
    assert unread([change(BEFORE, AFTER), change(pod, pod, Action.REPLACE)]) == ()
