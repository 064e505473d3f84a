"""Where objects of a kind live in the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind as the API server serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def name(self) -> str:
        """`deployments.apps`, as RBAC messages write it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str | None, name: str = "", subresource: str = "") -> str:
        parts = [group_path(self.api_version)]
        if self.namespaced:
            if not namespace:
                raise ValueError(f"{self.kind} needs a namespace")
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        parts += [quote(part, safe="") for part in (name, subresource) if part]
        return "/".join(parts)


def group_path(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"


def defined_by(definition: Mapping[str, Any]) -> tuple[Resource, ...]:
    """The kinds that a CustomResourceDefinition will bring."""
    spec = definition["spec"]
    return tuple(
        Resource(
            api_version=f"{spec['group']}/{version['name']}",
            kind=spec["names"]["kind"],
            plural=spec["names"]["plural"],
            namespaced=spec["scope"] == "Namespaced",
        )
        for version in spec["versions"]
    )


def _builtin(api_version: str, kind: str, plural: str) -> Resource:
    return Resource(api_version=api_version, kind=kind, plural=plural, namespaced=True)


PODS = _builtin("v1", "Pod", "pods")
EVENTS = _builtin("v1", "Event", "events")
SERVICES = _builtin("v1", "Service", "services")
REPLICA_SETS = _builtin("apps/v1", "ReplicaSet", "replicasets")
SECRETS = _builtin("v1", "Secret", "secrets")
AUTOSCALERS = _builtin("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
QUOTAS = _builtin("v1", "ResourceQuota", "resourcequotas")
LEASES = _builtin("coordination.k8s.io/v1", "Lease", "leases")
NAMESPACES = Resource(api_version="v1", kind="Namespace", plural="namespaces", namespaced=False)
