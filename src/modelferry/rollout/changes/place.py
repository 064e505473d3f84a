"""Objects → where they go in this cluster, or why they cannot go anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import Resource, defined_by
from modelferry.errors import Annotation, RolloutError
from modelferry.rollout.changes.placed import Placed, ordered
from modelferry.rollout.manifests.load import ManifestError, ManifestObject, duplicates
from modelferry.rollout.objects.fields import with_value, without

_DEFINITIONS = Resource(
    api_version="apiextensions.k8s.io/v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
)
# Kinds that moved here from versions that are served no more.
_USUAL_VERSIONS = (
    *("v1", "apps/v1", "batch/v1", "networking.k8s.io/v1", "autoscaling/v2", "policy/v1"),
    *("rbac.authorization.k8s.io/v1", "storage.k8s.io/v1", "apiextensions.k8s.io/v1"),
)
_USUAL_KINDS = (
    *("Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob"),
    *("Service", "Ingress", "ConfigMap", "Secret", "ServiceAccount", "PersistentVolumeClaim"),
    *("HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy", "Namespace"),
    *("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    objects: tuple[Placed, ...]  # in the order in which they are applied
    not_there_yet: tuple[Placed, ...]  # their namespace or kind comes with this very set


def place(cluster: Cluster, objects: Sequence[ManifestObject], namespace: str) -> Placement:
    """`namespace` is for objects that name none. Raises RolloutError for kinds that the cluster
    does not serve and namespaces that it does not have."""
    coming = _defined(objects)
    unknown: list[ManifestObject] = []
    placed: list[Placed] = []
    for manifest in objects:
        resource = cluster.resource(manifest.api_version, manifest.kind) or coming.get(
            (manifest.api_version, manifest.kind)
        )
        if resource is None:
            unknown.append(manifest)
        else:
            placed.append(_placed(manifest, resource, namespace))
    if unknown:
        raise _unknown_kinds(cluster, unknown)
    if twice := list(duplicates([entry.manifest for entry in placed], None)):
        raise ManifestError(twice)  # told apart by the namespace that the cluster gave one of them
    fresh = _fresh_namespaces(cluster, placed)
    return Placement(
        objects=ordered(placed),
        not_there_yet=tuple(
            entry
            for entry in placed
            if entry.namespace in fresh
            or cluster.resource(entry.manifest.api_version, entry.manifest.kind) is None
        ),
    )


def live_elsewhere(cluster: Cluster, placed: Placed) -> Mapping[str, Any] | None:
    """The object of a kind whose version comes with this very set, in a version that is served
    now: it may have been there for long."""
    if cluster.resource(placed.resource.api_version, placed.resource.kind):
        return None
    definition = cluster.get(_DEFINITIONS, placed.resource.name, None)
    for resource in defined_by(definition) if definition else ():
        if cluster.resource(resource.api_version, resource.kind):
            return cluster.get(resource, placed.manifest.name, placed.namespace)
    return None


def _placed(manifest: ManifestObject, resource: Resource, namespace: str) -> Placed:
    if not resource.namespaced:
        body = without(manifest.body, ("metadata", "namespace"))
        return Placed(manifest=manifest.changed(body), resource=resource, namespace=None)
    where = manifest.namespace or namespace
    body = with_value(manifest.body, ("metadata", "namespace"), where)
    return Placed(manifest=manifest.changed(body), resource=resource, namespace=where)


def _defined(objects: Sequence[ManifestObject]) -> Mapping[tuple[str, str], Resource]:
    return {
        (resource.api_version, resource.kind): resource
        for manifest in objects
        if manifest.kind == "CustomResourceDefinition"
        for resource in defined_by(manifest.body)
    }


def _unknown_kinds(cluster: Cluster, unknown: Sequence[ManifestObject]) -> RolloutError:
    texts = [
        f"it serves no {found.kind} of {found.api_version}{_instead(cluster, found)}"
        for found in unknown
    ]
    more = f" (and {len(unknown) - 1} more)" if unknown[1:] else ""
    return RolloutError(
        f"the cluster at {cluster.server} does not know {unknown[0].label}: {texts[0]}{more}",
        seen="\n".join(
            f"- {found.place}: {text}" for found, text in zip(unknown, texts, strict=True)
        ),
        do="Correct apiVersion or kind, or install what brings this kind (its"
        " CustomResourceDefinition may be in `manifests`).",
        annotations=tuple(
            Annotation(
                file=found.file,
                line=found.line_of("kind"),
                title="Unknown kind",
                message=f"{found.label}: {text}",
            )
            for found, text in zip(unknown, texts, strict=True)
        ),
    )


def _instead(cluster: Cluster, found: ManifestObject) -> str:
    """Where the kind has gone, or what it was meant to be called."""
    for version in _USUAL_VERSIONS:
        if version != found.api_version and cluster.resource(version, found.kind):
            return f", but {version} has one"
    close = get_close_matches(found.kind, _USUAL_KINDS, n=1)
    return f"; is {close[0]} meant?" if close and close[0] != found.kind else ""


def _fresh_namespaces(cluster: Cluster, placed: Sequence[Placed]) -> frozenset[str]:
    """Those that the set creates. Raises RolloutError for one that nobody does."""
    created = {
        entry.manifest.name
        for entry in placed
        if entry.resource.kind == "Namespace" and not entry.resource.group
    }
    used = {entry.namespace: entry for entry in reversed(placed) if entry.namespace}
    missing = [name for name in sorted(used) if not cluster.namespace_exists(name)]
    for name in missing:
        if name not in created:
            manifest = used[name].manifest
            what = f"the cluster at {cluster.server} has no namespace {name}"
            raise RolloutError(
                what,
                seen=f"{manifest.place}: {manifest.label} goes there",
                do=f"Create it (`kubectl create namespace {name}`), add a Namespace to"
                " `manifests`, or correct `namespace`.",
                annotations=(
                    Annotation(
                        file=manifest.file,
                        line=manifest.line_of("metadata", "namespace"),
                        title="Namespace missing",
                        message=what,
                    ),
                ),
            )
    return frozenset(missing)
