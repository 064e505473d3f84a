"""How to reach the cluster."""

from __future__ import annotations

from dataclasses import dataclass

from modelferry.values import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAccess:
    """Without a path and a content: what KUBECONFIG names, else the pod's own account."""

    path: str | None = None  # of a kubeconfig; several with `:` in between, as in KUBECONFIG
    content: Secret | None = None  # of a kubeconfig
    context: str | None = None
