from __future__ import annotations

from typing import Any

import pytest

from modelferry.cluster.resources import Resource
from modelferry.rollout.changes.autoscaling import left_alone
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
    ],
)
def test_replicas_stay_as_they_are(spec: dict, now: Any, wanted: dict) -> None:
    given = placed(**spec)
    assert left_alone(given, now, {given.key}).body["spec"] == wanted


def test_others_are_as_written() -> None:
    assert left_alone(placed(replicas=2), live(5, "modelferry"), ()) == placed(replicas=2)
