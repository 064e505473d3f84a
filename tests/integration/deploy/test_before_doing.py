"""What is shown and refused before the first write, and whose fields are left alone."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import yaml

from modelferry.artifacts import PushedImage, Rollout
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import PODS, SERVICES, Resource
from modelferry.errors import RolloutError, RolloutFailed
from tests.integration.deploy.score import DEPLOYMENTS, workload

Deploy = Callable[..., Rollout]
Images = tuple[PushedImage, PushedImage]

STATEFUL_SETS = Resource(
    api_version="apps/v1", kind="StatefulSet", plural="statefulsets", namespaced=True
)
CONFIG_MAPS = Resource(api_version="v1", kind="ConfigMap", plural="configmaps", namespaced=True)
RUNTIME_CLASSES = Resource(
    api_version="node.k8s.io/v1", kind="RuntimeClass", plural="runtimeclasses", namespaced=False
)
STORAGE_CLASSES = Resource(
    api_version="storage.k8s.io/v1", kind="StorageClass", plural="storageclasses", namespaced=False
)
RBAC = "rbac.authorization.k8s.io/v1"


def document(kind: str, api_version: str = "v1", name: str = "it", **body: object) -> str:
    whole = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **body}
    return f"---\n{yaml.safe_dump(whole)}"


POD = """\
---
apiVersion: v1
kind: Pod
metadata: {name: lone}
spec:
  serviceAccountName: robot
  terminationGracePeriodSeconds: 0
  containers: [{name: score, image: $IMAGE, command: [sleep, inf]}]
"""


def test_the_diff_speaks_of_what_the_manifests_say(deploy: Deploy, images: Images) -> None:
    settings = {"model.yaml": "threads: 2\nbatch: 8\n", "level": "info"}
    first = deploy(document("ConfigMap", data=settings) + workload("minReadySeconds: 1"), images[0])
    assert "+ configmap/it in " in first.diff
    settings = {"model.yaml": "threads: 4\nbatch: 8\n", "level": "info"}
    second = deploy(
        document("ConfigMap", data=settings) + workload(env=", {name: NEW, value: x}"), images[1]
    )
    lines = [line.strip() for line in second.diff.splitlines()]
    path = "spec.template.spec.containers[score]"
    assert f"~ {path}.image: {images[0].ref} → {images[1].ref}" in lines
    assert f"+ {path}.env[NEW]: {{name: NEW, value: x}}" in lines
    assert "- spec.minReadySeconds: 1" in lines
    assert lines[lines.index("~ data[model.yaml]:") + 2 :][:2] == ["-threads: 2", "+threads: 4"]
    assert len(lines) == 10, second.diff
    third = deploy(document("ConfigMap", data=settings) + workload(), images[1])
    assert "= configmap/it" in third.diff
    assert "env[NEW]" in third.diff


def test_what_changes_is_shown_once_and_what_stays_on_one_line(
    deploy: Deploy, images: Images, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    settings = [document("ConfigMap", name=f"it-{n}", data={"a": "b"}) for n in range(3)]
    deploy("".join((*settings, workload())), images[0])
    assert caplog.text.count("+ deployment/score in") == 1
    caplog.clear()
    deploy("".join((*settings, workload())), images[1])
    assert caplog.text.count("~ deployment/score in") == 1
    for told in ("= 3 objects: leave ", "applied: leave "):
        assert caplog.text.count(f"{told}configmap/it-0, configmap/it-1, configmap/it-2") == 1


def test_what_comes_with_the_set_is_not_missed_before_it(deploy: Deploy, images: Images) -> None:
    rule = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    binding = document(
        "RoleBinding",
        RBAC,
        name="robot",
        roleRef={"apiGroup": RBAC[:-3], "kind": "Role", "name": "robot"},
        subjects=[{"kind": "ServiceAccount", "name": "robot"}],
    )
    rollout = deploy(
        POD
        + binding
        + document("Role", RBAC, "robot", rules=[rule])
        + document("ServiceAccount", name="robot"),
        images[0],
    )
    assert "+ pod/lone" in rollout.diff
    assert "serviceaccount/robot comes with it" in rollout.diff


def test_what_cannot_change_in_place_is_made_anew(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    role = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}
    roles = document("Role", RBAC, "a", rules=[role]) + document("Role", RBAC, "b", rules=[role])

    def manifests(value: str, which: str) -> str:
        binding = document(
            "RoleBinding",
            RBAC,
            "who",
            roleRef={"apiGroup": RBAC[:-3], "kind": "Role", "name": which},
        )
        fixed = document("ConfigMap", name="fixed", immutable=True, data={"a": value})
        return roles + binding + fixed + workload()

    deploy(manifests("1", "a"), images[0])
    rollout = deploy(manifests("2", "b"), images[0])
    assert "± rolebinding/who" in rollout.diff
    assert "± configmap/fixed" in rollout.diff
    assert "~ data.a: 1 → 2" in rollout.diff
    found = cluster.get(CONFIG_MAPS, "fixed", namespace)
    assert found
    assert found["data"] == {"a": "2"}
    with pytest.raises(RolloutFailed) as raised:
        deploy(
            manifests("3", "a")
            + workload(env=", {name: X, value: z}")
            .replace("serve", "crash")
            .replace("name: score}", "name: other}"),
            images[0],
        )
    assert raised.value.rolled_back
    found = cluster.get(CONFIG_MAPS, "fixed", namespace)
    assert found
    assert (found["data"], found["immutable"]) == ({"a": "2"}, True)


def test_what_another_run_makes_meanwhile_is_looked_at_again(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    theirs = yaml.safe_load(document("ConfigMap", name="fixed", immutable=True, data={"a": "1"}))
    get, made = Cluster.get, list[object]()

    def overtaken(self: Cluster, resource: Resource, name: str, where: str | None) -> object:
        live = get(self, resource, name, where)
        if name == "fixed" and not made:
            made.append(cluster.apply(CONFIG_MAPS, theirs, namespace))
        return live

    monkeypatch.setattr(Cluster, "get", overtaken)
    ours = document("ConfigMap", name="fixed", immutable=True, data={"a": "2"})
    rollout = deploy(ours + workload(), images[0])
    assert "± configmap/fixed" in rollout.diff


RECREATE = ("strategy: {type: Recreate}", "strategy: {type: Recreate, rollingUpdate: null}")


@pytest.mark.parametrize("strategy", RECREATE)
def test_a_strategy_goes_with_all_that_the_cluster_filled_in_for_it(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str, strategy: str
) -> None:
    def found() -> object:
        live = cluster.get(DEPLOYMENTS, "score", namespace)
        assert live
        return live["spec"]["strategy"]

    deploy(workload(), images[0])
    rollout = deploy(workload(strategy), images[0])
    assert "~ spec.strategy.type: RollingUpdate → Recreate" in rollout.diff
    assert found() == {"type": "Recreate"}
    with pytest.raises(RolloutFailed) as raised:
        deploy(workload().replace("serve", "crash"), images[0])
    assert raised.value.rolled_back
    assert found() == {"type": "Recreate"}


def test_so_it_does_where_kubectl_had_it_or_pods_are_replaced_by_hand(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    kubectl = [("fieldManager", "kubectl-client-side-apply")]
    body = yaml.safe_load(workload().replace("$IMAGE", str(images[0].ref)))
    path = DEPLOYMENTS.path(namespace)
    cluster._transport.json("POST", path, query=kubectl, body=body)
    state = workload("serviceName: state", kind="StatefulSet").replace("score}", "state}")
    deploy(workload() + state, images[0])
    by_hand = "serviceName: state\n  updateStrategy: {type: OnDelete}"
    deploy(workload(RECREATE[0]) + state.replace("serviceName: state", by_hand), images[0])
    deployment = cluster.get(DEPLOYMENTS, "score", namespace)
    stateful = cluster.get(STATEFUL_SETS, "state", namespace)
    assert deployment
    assert stateful
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert stateful["spec"]["updateStrategy"] == {"type": "OnDelete"}


SPEC = {"selector": {"app": "score"}, "ports": [{"port": 80}]}
FIXED = {
    "Service": (
        document("Service", name="score", spec={**SPEC, "clusterIP": "None"}),
        document("Service", name="score", spec={**SPEC, "clusterIP": "10.96.200.200"}),
        "leave clusterIP out",
    ),
    "StatefulSet": (
        workload("serviceName: one", kind="StatefulSet"),
        workload("serviceName: two", kind="StatefulSet"),
        "of its spec only replicas",
    ),
    "PersistentVolumeClaim": (
        document(
            "PersistentVolumeClaim",
            spec={
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": "none",
                "resources": {"requests": {"storage": "1Mi"}},
            },
        ),
        document(
            "PersistentVolumeClaim",
            spec={
                "accessModes": ["ReadWriteMany"],
                "storageClassName": "none",
                "resources": {"requests": {"storage": "1Mi"}},
            },
        ),
        "its data would be lost",
    ),
}


@pytest.mark.parametrize("kind", FIXED)
def test_what_must_not_be_made_anew_is_refused(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str, kind: str
) -> None:
    before, after, hint = FIXED[kind]
    extra = "" if kind == "StatefulSet" else workload()
    deploy(before + extra, images[0])
    settings = document("ConfigMap", name="never", data={"a": "b"})
    with pytest.raises(RolloutError, match=f"would refuse {kind.lower()}/") as raised:
        deploy(after + extra + settings, images[0])
    assert not isinstance(raised.value, RolloutFailed)
    assert hint in raised.value.do
    assert cluster.get(CONFIG_MAPS, "never", namespace) is None


def test_nothing_outside_the_manifests_is_touched(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    deploy(workload(), images[0])
    mine = {"metadata": {"labels": {"team": "x"}, "annotations": {"note": "mine"}}}
    cluster._transport.json(
        "PATCH",
        DEPLOYMENTS.path(namespace, "score"),
        query=[("fieldManager", "somebody")],
        body=mine,
        content_type="application/merge-patch+json",
    )
    with pytest.raises(RolloutFailed):
        deploy(workload().replace("serve", "crash"), images[1], run="4712")
    deploy(workload(), images[1], run="4713")
    live = cluster.get(DEPLOYMENTS, "score", namespace)
    assert live
    assert live["metadata"]["labels"] == {"team": "x"}
    assert live["metadata"]["annotations"]["note"] == "mine"
    assert cluster.get(SERVICES, "score", namespace) is None
    pods, _ = cluster.list(PODS, namespace)
    assert {pod["metadata"]["labels"]["app"] for pod in pods} == {"score"}


def test_a_class_that_comes_with_the_set_comes_before_what_names_it(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    pod = POD.replace("serviceAccountName: robot", f"runtimeClassName: {namespace}")
    claim = f"{{storageClassName: {namespace}, accessModes: [ReadWriteOnce],"
    claim += " resources: {requests: {storage: 1Mi}}}"
    claims = f"replicas: 0\n  volumeClaimTemplates: [{{metadata: {{name: a}}, spec: {claim}}}]"
    classes = document("RuntimeClass", "node.k8s.io/v1", namespace, handler="runc")
    classes += document("StorageClass", "storage.k8s.io/v1", namespace, provisioner="a.b/none")
    try:
        rollout = deploy(pod + workload(claims, kind="StatefulSet") + classes, images[0])
    finally:
        for resource in (RUNTIME_CLASSES, STORAGE_CLASSES):
            if found := cluster.get(resource, namespace, None):
                cluster.delete(resource, namespace, None, uid=found["metadata"]["uid"])
    assert rollout.objects[:2] == (f"runtimeclass/{namespace}", f"storageclass/{namespace}")


def test_a_new_image_that_no_pod_would_get_is_refused(deploy: Deploy, images: Images) -> None:
    manifest = workload(kind="ReplicaSet")
    deploy(manifest, images[0])
    deploy(manifest, images[0])  # what is built is not known before the build
    with pytest.raises(RolloutError, match=r"replicaset/score: its pods .* old image") as raised:
        deploy(manifest, images[1])
    assert not isinstance(raised.value, RolloutFailed)
    assert "Nothing was written" in raised.value.seen
