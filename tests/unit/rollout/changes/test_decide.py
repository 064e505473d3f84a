from __future__ import annotations

from typing import Any

import pytest

from modelferry.cluster.resources import PODS, Resource
from modelferry.rollout.changes.decide import Action, decided, marked, plain
from modelferry.rollout.changes.placed import Placed, ordered
from modelferry.rollout.manifests.load import ManifestObject


def manifest(kind: str, api_version: str = "v1", **body: Any) -> ManifestObject:
    content = {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **body}
    return ManifestObject(body=content, file="a.yaml", line=1, lines={})


def placed(kind: str, api_version: str = "v1") -> Placed:
    resource = Resource(api_version=api_version, kind=kind, plural="x", namespaced=True)
    return Placed(manifest=manifest(kind, api_version), resource=resource, namespace="n")


def test_order() -> None:
    given = [
        placed("Wish", "x/v1"),
        placed("Deployment", "apps/v1"),
        placed("Service"),
        placed("ConfigMap"),
        placed("Pod"),
        placed("Role", "rbac.authorization.k8s.io/v1"),
        placed("CustomResourceDefinition", "apiextensions.k8s.io/v1"),
        placed("Namespace"),
    ]
    assert [entry.resource.kind for entry in ordered(given)] == [
        "Namespace",
        "CustomResourceDefinition",
        "Role",
        "ConfigMap",
        "Service",
        "Deployment",
        "Pod",
        "Wish",
    ]


def pod(image: str = "a", phase: str = "Running", **metadata: Any) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", **metadata},
        "spec": {"containers": [{"name": "main", "image": image}]},
        "status": {"phase": phase},
    }


@pytest.mark.parametrize(
    ("live", "result", "action"),
    [
        (None, pod(), Action.CREATE),
        (pod(), pod(), Action.UNCHANGED),
        (pod(resourceVersion="1"), pod(resourceVersion="2"), Action.UNCHANGED),
        (pod(), pod(annotations={"modelferry/run": "2"}), Action.UNCHANGED),
        (pod(), pod(labels={"a": "b"}), Action.UPDATE),
        (pod(), pod(image="b"), Action.REPLACE),
        (pod(phase="Failed"), pod(), Action.REPLACE),
        (pod(phase="Succeeded"), pod(), Action.UNCHANGED),
    ],
)
def test_decision_for_a_bare_pod(live: dict | None, result: dict, action: Action) -> None:
    where = Placed(manifest=manifest("Pod"), resource=PODS, namespace="n")
    assert decided(where, live, result, force=False).action is action


def test_a_failed_job_is_run_again_and_a_done_one_is_left() -> None:
    def job(condition: str) -> dict:
        conditions = [{"type": condition, "status": "True"}]
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "x"},
            "spec": {},
            "status": {"conditions": conditions},
        }

    where = placed("Job", "batch/v1")
    assert decided(where, job("Failed"), job("Failed"), force=False).action is Action.REPLACE
    assert decided(where, job("Complete"), job("Complete"), force=False).action is Action.UNCHANGED


def test_marks_go_on_the_workload_and_not_on_its_pods() -> None:
    template = {"spec": {"containers": [{"name": "main", "image": "built"}]}}
    found = marked(
        manifest("Deployment", "apps/v1", spec={"template": template}), {"run": "7"}, "built"
    )
    assert found.body["metadata"]["annotations"] == {"modelferry/run": "7"}
    assert found.body["spec"]["template"] == template
    other = manifest("Deployment", "apps/v1", spec={"template": template})
    assert marked(other, {"run": "7"}, "another") is other


def test_text_of_a_secret_is_written_as_the_server_keeps_it() -> None:
    given = manifest("Secret", data={"a": "MQ==", "b": "MQ=="}, stringData={"b": "2"})
    assert plain(given).body["data"] == {"a": "MQ==", "b": "Mg=="}
    assert "stringData" not in plain(given).body
    for untouched in (
        manifest("ConfigMap", stringData={"b": "2"}),
        manifest("Secret", stringData={"b": 2}),
        manifest("Secret", "example.org/v1", stringData={"b": "2"}),
    ):
        assert plain(untouched) is untouched
