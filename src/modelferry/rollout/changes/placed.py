"""An object with its place in the cluster, and the order in which objects are applied. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelferry.cluster.resources import Resource
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.objects import podspec

Object = Mapping[str, Any]

# As kubectl writes kinds: others may have kinds of these names, too (a Service of Knative).
_FIRST = (
    "Namespace",
    "CustomResourceDefinition.apiextensions.k8s.io",
    "PriorityLevelConfiguration.flowcontrol.apiserver.k8s.io",
    "FlowSchema.flowcontrol.apiserver.k8s.io",
    "PriorityClass.scheduling.k8s.io",
    "RuntimeClass.node.k8s.io",
    "CSIDriver.storage.k8s.io",
    "StorageClass.storage.k8s.io",
    "VolumeAttributesClass.storage.k8s.io",
    "DeviceClass.resource.k8s.io",
    "IngressClass.networking.k8s.io",
    "GatewayClass.gateway.networking.k8s.io",
    "ResourceQuota",
    "LimitRange",
    "ServiceAccount",
    "ClusterRole.rbac.authorization.k8s.io",
    "ClusterRoleBinding.rbac.authorization.k8s.io",
    "Role.rbac.authorization.k8s.io",
    "RoleBinding.rbac.authorization.k8s.io",
    "NetworkPolicy.networking.k8s.io",
    "ConfigMap",
    "Secret",
    # their parameters may be a ConfigMap; they judge what follows
    *(
        f"{kind}{what}.admissionregistration.k8s.io"
        for kind in ("MutatingAdmissionPolicy", "ValidatingAdmissionPolicy")
        for what in ("", "Binding")
    ),
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ResourceClaimTemplate.resource.k8s.io",
    "ResourceClaim.resource.k8s.io",
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


def is_preparation(resource: Resource) -> bool:
    """Others need it; it does no work itself."""
    return _kind(resource) in _FIRST


def ordered(objects: Sequence[Placed]) -> tuple[Placed, ...]:
    """What others need comes first; among equals the order of the manifests stays."""

    def rank(placed: Placed) -> int:
        if is_preparation(placed.resource):
            return _FIRST.index(_kind(placed.resource))
        return len(_FIRST) + (podspec.spec_path(placed.body) is None)

    return tuple(sorted(objects, key=rank))


def by_need(objects: Sequence[Placed], needed: Mapping[str, Placed]) -> tuple[Placed, ...]:
    """`needed`: by the key of an object, the one that the cluster misses for it: that comes
    before it, whatever the kinds are."""
    found: dict[str, Placed] = {}
    for placed in objects:
        if cause := needed.get(placed.key):
            found.setdefault(cause.key, cause)
        found.setdefault(placed.key, placed)
    return tuple(found.values())


def _kind(resource: Resource) -> str:
    return f"{resource.kind}.{resource.group}" if resource.group else resource.kind


def with_body(placed: Placed, body: Object) -> Placed:
    return replace(placed, manifest=placed.manifest.changed(body))
