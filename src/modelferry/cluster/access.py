"""How to reach the cluster."""

from __future__ import annotations

from dataclasses import dataclass

from modelferry.values import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAccess:
    """`kubeconfig` is a path or the content itself; None: KUBECONFIG, else in-cluster."""

    kubeconfig: Secret | None
    context: str | None
