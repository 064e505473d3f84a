"""The conditions in a status: a list of types, each with a status, a reason and a message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

Object = Mapping[str, Any]


def condition(body: Object, name: str) -> Object:
    """Empty when the object has none of this type."""
    for found in conditions(body):
        if found.get("type") == name:
            return found
    return {}


def conditions(body: Object) -> tuple[Object, ...]:
    """A custom resource may call anything its conditions."""
    found: Any = body.get("status", {}).get("conditions")
    return tuple(cast("list[Object]", found)) if isinstance(found, list) else ()


def is_true(body: Object, name: str) -> bool:
    return condition(body, name).get("status") == "True"


def observed_generation(said: Object) -> int | None:
    """Of a status or a condition. None where it does not say, or not by a number; some
    controllers (Argo Rollouts) write the number as text."""
    found: Any = said.get("observedGeneration")
    try:
        return int(found)
    except (TypeError, ValueError):
        return None


def text(said: Object) -> str:
    return " ".join(filter(None, (said.get("reason"), said.get("message"))))
