from __future__ import annotations

from typing import Any

import pytest

from modelferry.cluster.resources import PODS, Resource
from modelferry.cluster.transport import Refused
from modelferry.rollout.changes.decide import (
    Action,
    Change,
    decided,
    left_to_its_release,
    lost_by_replacing,
    plain,
    settled,
)
from modelferry.rollout.changes.placed import Placed, ordered, with_body
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.objects.fields import with_value


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


@pytest.mark.parametrize(
    ("image", "then", "now", "action"),
    [
        ("a:1", "sha256:1", "sha256:2", Action.REPLACE),
        ("a:1", "sha256:1", "sha256:1", Action.UNCHANGED),
        ("a@sha256:2", None, "sha256:2", Action.UNCHANGED),  # adopted: its image says it all
    ],
)
def test_a_pod_is_made_anew_for_another_image_of_the_same_tag(
    image: str, then: str | None, now: str, action: Action
) -> None:
    def by(digest: str | None) -> dict:
        return pod(image, annotations={"modelferry/image-digest": digest} if digest else {})

    where = Placed(manifest=manifest("Pod"), resource=PODS, namespace="n")
    assert decided(where, by(then), by(now), force=False).action is action


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


def secret(*entries: tuple[str, str, Any], **metadata: Any) -> dict:
    managed = [
        {"manager": manager, "operation": how, "apiVersion": "v1", "fieldsV1": fields}
        for manager, how, fields in entries
    ]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "x", "managedFields": managed, **metadata},
    }


OURS = ("modelferry", "Apply", {"f:data": {".": {}, "f:a": {}, "f:old": {}}, "f:type": {}})
KUBECTL = ("kubectl-create", "Update", {"f:data": {".": {}, "f:a": {}}, "f:type": {}})
CERTS = ("cert-manager", "Update", {"f:data": {".": {}, "f:a": {}, "f:crt": {}}})


@pytest.mark.parametrize(
    ("live", "lost"),
    [
        (secret(OURS), ()),
        (secret(OURS, KUBECTL), ()),  # all of it comes again
        (secret(OURS, CERTS), ("cert-manager owns data.crt",)),
        (
            secret(OURS, ownerReferences=[{"kind": "Certificate", "name": "c"}], finalizers=["f"]),
            ("it belongs to Certificate c", "its finalizer f waits for somebody"),
        ),
    ],
)
def test_what_others_put_into_an_object_is_not_lost_by_replacing_it(
    live: dict, lost: tuple[str, ...]
) -> None:
    given = placed("Secret")
    coming = given.manifest.changed({**given.body, "type": "t", "data": {"a": "MQ=="}})
    where = Placed(manifest=coming, resource=given.resource, namespace="n")
    assert lost_by_replacing(where, live) == lost


def test_what_two_releases_want_alike_stays_the_first_ones() -> None:
    mark = "modelferry/release"
    given = placed("ConfigMap")
    body = with_value(given.body, ("metadata", "annotations", mark), "n/two")
    live = {"metadata": {"annotations": {mark: "n/one"}}}
    where = Placed(manifest=given.manifest.changed(body), resource=given.resource, namespace="n")
    for action, left in ((Action.UNCHANGED, "n/one"), (Action.UPDATE, "n/two")):
        found = left_to_its_release(Change(placed=where, action=action, live=live))
        assert found.placed.body["metadata"]["annotations"][mark] == left


HPA = "kube-controller-manager"


@pytest.mark.parametrize(
    ("managers", "is_autoscaled", "stays", "force"),
    [
        ((HPA,), True, False, False),
        ((HPA,), False, True, True),  # its autoscaler is gone
        (("keda",), True, False, False),
        (("keda",), False, False, False),
        ((HPA, "keda"), False, False, True),
        (("kubectl",), True, True, True),  # a person's `kubectl scale`
        (("kubectl", HPA), True, False, True),
        (("kubectl", HPA), False, True, True),
    ],
)
def test_whose_replicas_are_taken(
    managers: tuple[str, ...], *, is_autoscaled: bool, stays: bool, force: bool
) -> None:
    given = placed("Deployment", "apps/v1")
    given = with_body(given, with_value(given.body, ("spec", "replicas"), 3))
    found, is_forced = settled(
        given, scaled_by(*managers), of_replicas(*managers), is_autoscaled=is_autoscaled
    )
    assert ("replicas" in found.body["spec"]) is stays
    assert is_forced is force


def test_replicas_that_a_controller_did_not_scale_are_not_taken() -> None:
    refused = of_replicas(HPA)
    with pytest.raises(Refused) as raised:
        settled(placed("Deployment", "apps/v1"), scaled_by(), refused, is_autoscaled=False)
    assert raised.value is refused


def scaled_by(*managers: str) -> dict:
    entries = [{"manager": manager, "subresource": "scale"} for manager in managers]
    return {"metadata": {"managedFields": entries}}


def of_replicas(*managers: str) -> Refused:
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": f'conflict with "{manager}" with subresource "scale" using apps/v1',
            "field": ".spec.replicas",
        }
        for manager in managers
    ]
    return Refused("no", code=409, status={"details": {"causes": causes}})
