"""An object with its place in the cluster, and the order in which objects are applied. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelferry.cluster.resources import Resource
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.objects import podspec

Object = Mapping[str, Any]

_FIRST = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "NetworkPolicy",
    "ConfigMap",
    "Secret",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An object with the place in the cluster where it goes."""

    manifest: ManifestObject
    resource: Resource
    namespace: str | None  # None: the kind has none

    @property
    def label(self) -> str:
        return self.manifest.label

    @property
    def body(self) -> Object:
        return self.manifest.body

    @property
    def key(self) -> str:
        """Tells apart what two namespaces or groups call the same."""
        return f"{self.resource.name} {self.namespace or ''}/{self.manifest.name}"


def is_preparation(kind: str) -> bool:
    """Others need it; it does no work itself."""
    return kind in _FIRST


def ordered(objects: Sequence[Placed]) -> tuple[Placed, ...]:
    """What others need comes first; among equals the order of the manifests stays."""

    def rank(placed: Placed) -> int:
        if placed.manifest.kind in _FIRST:
            return _FIRST.index(placed.manifest.kind)
        return len(_FIRST) + (podspec.spec_path(placed.body) is None)

    return tuple(sorted(objects, key=rank))


def with_body(placed: Placed, body: Object) -> Placed:
    return replace(placed, manifest=placed.manifest.changed(body))
