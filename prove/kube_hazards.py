"""What in a cluster can make a deploy fail, put there around it and taken away again."""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from modelferry.cluster.transport import Refused
from prove import kube_workloads as w
from prove import kube_yard
from prove.kube_workloads import READY, Body
from prove.kube_yard import Yard

FAILING = "score"  # the workload that these are about


@contextmanager
def policy(yard: Yard, namespace: str) -> Iterator[None]:
    """Refuses pods of the failing workload, as a cluster's policy does."""
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["pods"],
    }
    spec = {
        "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
        "validations": [
            {
                "expression": f"object.metadata.?labels.app.orValue('') != '{FAILING}'",
                "message": "pods of this team run in another cluster",
            }
        ],
    }
    group = "admissionregistration.k8s.io/v1"
    binding = {"policyName": namespace, "validationActions": ["Deny"]}
    bodies = (
        w.of(group, "ValidatingAdmissionPolicy", namespace, spec=spec),
        w.of(group, "ValidatingAdmissionPolicyBinding", namespace, spec=binding),
    )
    with _cluster_wide(yard, *bodies):
        _until_pods_are_refused(yard, namespace)
        yield


@contextmanager
def silent_webhook(yard: Yard, namespace: str) -> Iterator[None]:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and never says a word
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"]}
        hook = {
            "name": "policy.example.org",
            "clientConfig": {"url": f"https://127.0.0.1:{listener.getsockname()[1]}/"},
            "rules": [{**rule, "resources": ["pods"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "objectSelector": {"matchLabels": {"app": FAILING}},
            "timeoutSeconds": 1,
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        kind = "ValidatingWebhookConfiguration"
        body = w.of("admissionregistration.k8s.io/v1", kind, namespace, webhooks=[hook])
        with _cluster_wide(yard, body):
            _until_pods_are_refused(yard, namespace)
            yield


@contextmanager
def quota(yard: Yard, namespace: str) -> Iterator[None]:
    spec = {"hard": {"pods": "0"}, "scopes": ["NotBestEffort"]}
    yard.apply(namespace, [w.of("v1", "ResourceQuota", "none-with-requests", spec=spec)])
    yield


@contextmanager
def dead_node(yard: Yard, namespace: str) -> Iterator[None]:
    """Nobody works there, and only pods that tolerate everything are meant for it."""
    taint = {"key": "prove", "value": namespace, "effect": "NoSchedule"}
    with _cluster_wide(yard, w.of("v1", "Node", namespace, spec={"taints": [taint]})):
        yield


@contextmanager
def good_stateful_set(yard: Yard, namespace: str) -> Iterator[None]:
    """Its pods are replaced one by one, and a bad one keeps the rest from coming back."""
    spec = w.pod_spec(yard.image, READY)
    body = w.workload("StatefulSet", spec, name="state", serviceName="state")
    kube_yard.follow(yard.cluster, yard.apply(namespace, [body]), 60)
    yield


@contextmanager
def other_manager(yard: Yard, namespace: str) -> Iterator[None]:
    resource = yard.cluster.resource("apps/v1", "Deployment")
    if resource is None:
        raise AssertionError("a cluster without Deployments")
    body = w.workload("Deployment", w.pod_spec(yard.image, READY), minReadySeconds=2)
    yard.cluster._transport.json(  # noqa: SLF001 - the adapter writes as ourselves only
        "PATCH",
        resource.path(namespace, FAILING),
        query=[("fieldManager", "argo-cd")],
        body=body,
        content_type="application/apply-patch+yaml",
    )
    yield


@contextmanager
def _cluster_wide(yard: Yard, *bodies: Body) -> Iterator[None]:
    made: list[tuple[Any, Mapping[str, Any]]] = []
    try:
        for body in bodies:
            resource = yard.cluster.resource(body["apiVersion"], body["kind"])
            if resource is None:
                raise AssertionError(f"the cluster serves no {body['kind']}")
            made.append((resource, yard.cluster.apply(resource, body, None)))
        yield
    finally:
        for resource, found in reversed(made):
            metadata = found["metadata"]
            yard.cluster.delete(resource, metadata["name"], None, uid=metadata["uid"])


def _until_pods_are_refused(yard: Yard, namespace: str) -> None:
    """A policy is in force some moments after it was made."""
    pods = yard.cluster.resource("v1", "Pod")
    body = w.pod(w.pod_spec(yard.image, READY), name="probe")
    body["metadata"]["labels"] = {"app": FAILING}
    until = time.monotonic() + 30
    while pods and time.monotonic() < until:
        try:
            yard.cluster.apply(pods, body, namespace, dry_run=True)
        except Refused:
            return
        time.sleep(0.3)
    raise TimeoutError("the admission rule does not come into force")
