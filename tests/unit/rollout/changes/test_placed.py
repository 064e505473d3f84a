from __future__ import annotations

import pytest

from modelferry.cluster.resources import Resource
from modelferry.rollout.changes.placed import Placed, by_need, is_preparation, ordered
from modelferry.rollout.manifests.load import ManifestObject


def placed(api_version: str, kind: str, name: str = "x") -> Placed:
    body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}
    return Placed(
        manifest=ManifestObject(body=body, file="a.yaml", line=1, lines={}),
        resource=Resource(api_version=api_version, kind=kind, plural=kind, namespaced=True),
        namespace="n",
    )


POD = placed("v1", "Pod")


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("node.k8s.io/v1", "RuntimeClass"),
        ("scheduling.k8s.io/v1", "PriorityClass"),
        ("storage.k8s.io/v1", "StorageClass"),
        ("storage.k8s.io/v1", "CSIDriver"),
        ("storage.k8s.io/v1beta1", "VolumeAttributesClass"),
        ("networking.k8s.io/v1", "IngressClass"),
        ("gateway.networking.k8s.io/v1", "GatewayClass"),
        ("flowcontrol.apiserver.k8s.io/v1", "PriorityLevelConfiguration"),
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"),
        ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding"),
        ("admissionregistration.k8s.io/v1alpha1", "MutatingAdmissionPolicy"),
        ("resource.k8s.io/v1", "ResourceClaimTemplate"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ("v1", "PersistentVolumeClaim"),
    ],
)
def test_what_pods_need_comes_before_them(api_version: str, kind: str) -> None:
    needed = placed(api_version, kind)
    assert ordered([POD, needed]) == (needed, POD)
    assert is_preparation(needed.resource)


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("serving.knative.dev/v1", "Service"),  # of the same name as one that does no work
        ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),  # asks pods
        ("networking.k8s.io/v1", "Ingress"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ],
)
def test_what_needs_pods_comes_after_them(api_version: str, kind: str) -> None:
    other = placed(api_version, kind)
    assert ordered([other, POD]) == (POD, other)
    assert not is_preparation(other.resource)


def test_a_class_comes_before_what_names_it() -> None:
    driver, of_disks = placed("storage.k8s.io/v1", "CSIDriver"), placed("v1", "PersistentVolume")
    disks = placed("storage.k8s.io/v1", "StorageClass")
    assert ordered([of_disks, disks, driver]) == (driver, disks, of_disks)


def test_what_the_cluster_misses_for_an_object_comes_before_it() -> None:
    wish, queue = placed("x/v1", "Wish"), placed("x/v1", "Queue")
    assert by_need([POD, wish, queue], {POD.key: queue}) == (queue, POD, wish)
    assert by_need([wish, POD, queue], {}) == (wish, POD, queue)
