from __future__ import annotations

from typing import Any

import pytest

from modelferry.cluster.resources import AUTOSCALERS, Resource
from modelferry.rollout.changes.autoscaling import Autoscaled, autoscaled, left_alone
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject

RESOURCE = Resource(api_version="apps/v1", kind="Deployment", plural="x", namespaced=True)


def placed(**spec: Any) -> Placed:
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": spec}
    manifest = ManifestObject(body=body, file="a.yaml", line=1, lines={})
    return Placed(manifest=manifest, resource=RESOURCE, namespace="n")


def live(replicas: int, *owners: str) -> dict:
    entries = [
        {
            "manager": owner,
            "operation": "Apply" if owner == "modelferry" else "Update",
            "apiVersion": "apps/v1",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }
        for owner in owners
    ]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"managedFields": entries},
        "spec": {"replicas": replicas},
    }


@pytest.mark.parametrize(
    ("spec", "now", "wanted"),
    [
        ({"replicas": 2}, None, {"replicas": 2}),  # to begin with
        ({"replicas": 2}, live(5, "modelferry"), {"replicas": 5}),
        ({}, live(5, "modelferry"), {"replicas": 5}),
        ({}, live(5, "kubectl-client-side-apply"), {"replicas": 5}),
        ({"replicas": 2}, live(5, "kube-controller-manager"), {}),
        ({"replicas": 2}, live(5, "modelferry", "kube-controller-manager"), {}),
        ({}, live(5, "kube-controller-manager"), {}),
        ({"replicas": 2}, live(5, "kube-controller-manager", "kubectl"), {}),
        ({"replicas": 2}, live(5, "kubectl-create"), {"replicas": 5}),
        ({}, live(5, "kubectl-create"), {}),
        ({}, live(1), {"replicas": 1}),  # the default: nobody's
        ({"replicas": 2}, live(1), {"replicas": 1}),
    ],
)
def test_replicas_stay_as_they_are(spec: dict, now: Any, wanted: dict) -> None:
    given = placed(**spec)
    assert left_alone(given, now, {given.key}).body["spec"] == wanted


def test_others_are_as_written() -> None:
    assert left_alone(placed(replicas=2), live(5, "modelferry"), ()) == placed(replicas=2)


def test_what_has_no_replicas_yet_gets_those_of_the_manifest() -> None:
    fresh = {**live(1), "spec": {}}
    given = placed(replicas=2)
    assert left_alone(given, fresh, {given.key}) == given


def autoscaler(target: str = "x", kind: str = "Deployment", uid: str = "1") -> dict:
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "scaler", "uid": uid},
        "spec": {"scaleTargetRef": {"kind": kind, "name": target}},
    }


def in_the_set(target: str) -> Placed:
    manifest = ManifestObject(body=autoscaler(target), file="a.yaml", line=1, lines={})
    return Placed(manifest=manifest, resource=AUTOSCALERS, namespace="n")


@pytest.mark.parametrize(
    ("beside", "listed", "going", "targeted", "unknown"),
    [
        ((), (), (), False, False),
        ((), (autoscaler(),), (), True, False),
        ((), (autoscaler("y"), autoscaler(kind="StatefulSet")), (), False, False),
        ((), (autoscaler(),), {"1"}, False, False),
        ((), (autoscaler(), autoscaler(uid="2")), {"1"}, True, False),
        (("x",), (), (), True, False),
        (("y",), (), (), False, False),
        ((), None, (), False, True),
        (("x",), None, (), True, True),
    ],
)
def test_what_is_autoscaled(
    beside: tuple[str, ...], listed: Any, going: Any, *, targeted: bool, unknown: bool
) -> None:
    given = placed(replicas=2)
    found = autoscaled([given, *map(in_the_set, beside)], {"n": listed}, going)
    assert found == Autoscaled(
        targeted=frozenset({given.key} if targeted else ()),
        unknown=frozenset({given.key} if unknown else ()),
    )
    assert found.may_be(given.key) is (targeted or unknown)
