"""Which pods are those of an object's current template. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Object = Mapping[str, Any]

_REVISION = "deployment.kubernetes.io/revision"
# Of a Job's pods, and of one that is its own owner, the ends are what counts.
_REPLACE_PODS = ("Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet")
_ENDED = ("Failed", "Succeeded")
_HASH = "pod-template-hash"
_TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"


def current_pods(
    live: Object, pods: Iterable[Object], replica_sets: Iterable[Object]
) -> tuple[Object, ...]:
    """Without those that are going away, and those that were replaced."""
    uid = live["metadata"]["uid"]
    match live["kind"]:
        case "Deployment":
            owners = {body["metadata"]["uid"] for body in current_replica_sets(live, replica_sets)}
            chosen = (pod for pod in pods if owner_uid(pod) in owners)
        case "StatefulSet":
            revision = live.get("status", {}).get("updateRevision")
            chosen = (
                pod
                for pod in pods
                if owner_uid(pod) == uid
                and _labels(pod).get("controller-revision-hash") == revision
            )
        case "DaemonSet":
            generation = _annotations(live).get(_TEMPLATE_GENERATION)
            chosen = (
                pod
                for pod in pods
                if owner_uid(pod) == uid
                and generation in (None, _labels(pod).get("pod-template-generation"))
            )
        case "Pod":
            chosen = (pod for pod in pods if pod["metadata"]["uid"] == uid)
        case _:
            chosen = (pod for pod in pods if owner_uid(pod) == uid)
    there = tuple(pod for pod in chosen if "deletionTimestamp" not in pod["metadata"])
    return _replaced(there) if live["kind"] in _REPLACE_PODS else there


def _replaced(pods: tuple[Object, ...]) -> tuple[Object, ...]:
    """Without what is left of pods that have a successor, which their controllers do not count
    either (evicted, or their node was shut down). One that has none shows what is wrong."""
    active = tuple(pod for pod in pods if pod.get("status", {}).get("phase") not in _ENDED)
    return active or pods


def current_replica_sets(live: Object, replica_sets: Iterable[Object]) -> tuple[Object, ...]:
    """The controller copies a Deployment's revision from the ReplicaSet of its template; while it
    is paused, from the one before, so that its template has none where it was changed."""
    is_paused = (live.get("spec") or {}).get("paused", False)
    revision = _annotations(live).get(_REVISION)
    return tuple(
        replica_set
        for replica_set in replica_sets
        if owner_uid(replica_set) == live["metadata"]["uid"]
        and _annotations(replica_set).get(_REVISION) == revision
        and not (is_paused and _template(replica_set) != _template(live))
    )


def _template(body: Object) -> Object:
    """Without the label that tells the ReplicaSets of one Deployment apart."""
    template: Object = (body.get("spec") or {}).get("template") or {}
    metadata: Object = template.get("metadata") or {}
    labels = {name: text for name, text in _labels(template).items() if name != _HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}


def owner_uid(body: Object) -> str | None:
    """Of the controller that made it."""
    for reference in body["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return reference["uid"]
    return None


def _labels(body: Object) -> Mapping[str, str]:
    return (body.get("metadata") or {}).get("labels") or {}


def _annotations(body: Object) -> Mapping[str, str]:
    return body["metadata"].get("annotations") or {}
