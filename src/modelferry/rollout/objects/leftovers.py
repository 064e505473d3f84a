"""What the server filled in for a strategy that is wanted no more. It is nobody's field, so that
server-side apply leaves it there, and the server refuses the whole. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelferry.rollout.objects.field_managers import kept_by_others
from modelferry.rollout.objects.fields import Path, at

Object = Mapping[str, Any]

_STRATEGIES: Mapping[tuple[str, str], str] = {
    ("apps/v1", "Deployment"): "strategy",
    ("apps/v1", "StatefulSet"): "updateStrategy",
}


def leftover(wanted: Object, live: Object) -> Path | None:
    """The way to it; None: there is none, or it is somebody else's."""
    strategy = _STRATEGIES.get((live["apiVersion"], live["kind"]))
    if strategy is None or at(wanted, ("spec", strategy, "type")) in (None, "RollingUpdate"):
        return None
    path = ("spec", strategy, "rollingUpdate")
    if at(live, path) is None or at(wanted, path) is not None or kept_by_others(live, path):
        return None
    return path
