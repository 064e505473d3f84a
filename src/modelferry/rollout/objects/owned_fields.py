"""Which fields of an object a manager set (`fieldsV1` of server-side apply). Pure.

A set of fields is a trie whose steps are `f:NAME` in mappings, and in lists `k:KEYS` of an item,
`v:VALUE` of a member or `i:INDEX`; `.` is the thing itself, without what it holds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]
Fields = Mapping[str, Any]

# Their fields are the cluster's own account of an object, not somebody's wish.
_CONTROLLERS = (
    *("kube-controller-manager", "kube-scheduler", "kubelet", "kube-apiserver"),
    "cloud-controller-manager",
)


def union(one: Fields, other: Fields) -> dict[str, Any]:
    return {
        key: union(one.get(key, {}), other.get(key, {})) for key in dict.fromkeys((*one, *other))
    }


def minus(one: Fields, other: Fields) -> dict[str, Any]:
    """What of `one` is not in `other`. A thing goes with all that is in it; that it is there at
    all (`.`) is no field of its own."""
    left: dict[str, Any] = {}
    for key, inner in one.items():
        if key == "." or (key in other and not (inner and other[key])):
            continue
        rest = minus(inner, other[key]) if key in other else inner
        if rest or key not in other:
            left[key] = rest
    return left


def of_body(body: Any) -> dict[str, Any]:
    """All that stands in a manifest, its lists as wholes."""
    if not isinstance(body, Mapping):
        return {}
    return {f"f:{key}": of_body(inner) for key, inner in body.items()}


def paths(fields: Fields) -> list[str]:
    """For people: `data.token`."""
    found: list[str] = []
    for step, inner in fields.items():
        name = step.partition(":")[2]
        found += [f"{name}.{rest}" for rest in paths(inner)] or [name]
    return found


def of_manager(body: Object, manager: str) -> Fields:
    """What this manager applied."""
    return _union_of(
        entry
        for entry in _entries(body)
        if entry.get("manager") == manager and entry.get("operation") == "Apply"
    )


def of_everybody(body: Object) -> Fields:
    """What anybody wished for: without status, and without what the cluster wrote itself."""
    return _union_of(
        entry for entry in _entries(body) if str(entry.get("manager")) not in _CONTROLLERS
    )


def strangers(body: Object, mine: str) -> tuple[str, ...]:
    """The managers, but for `mine` and the cluster itself, that ever wrote what they wished."""
    return tuple(
        manager
        for entry in body["metadata"].get("managedFields") or ()
        if (manager := str(entry.get("manager"))) not in (mine, *_CONTROLLERS)
        and not entry.get("subresource")
    )


def _entries(body: Object) -> list[Object]:
    """Those of the object's own version: a path may mean something else in another."""
    return [
        entry
        for entry in body["metadata"].get("managedFields") or ()
        if not entry.get("subresource") and entry.get("apiVersion") == body["apiVersion"]
    ]


def _union_of(entries: Any) -> Fields:
    fields: dict[str, Any] = {}
    for entry in entries:
        fields = union(fields, entry.get("fieldsV1") or {})
    return fields


def extract(body: Object, fields: Fields, *, with_keys: bool = True) -> dict[str, Any]:
    """The object with these fields alone; one that it lacks is left out. `with_keys`: items of
    lists have what tells them apart, also where that is the server's default."""
    found = _extract(body, fields, with_keys) if fields else {}
    metadata = {
        key: value
        for key in ("name", "namespace")
        if (value := body["metadata"].get(key)) is not None
    }
    found.pop("status", None)
    return {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        **found,
        "metadata": {**(found.get("metadata") or {}), **metadata},
    }


def _extract(value: Any, fields: Fields, with_keys: bool) -> Any:
    if not fields:
        return value
    if isinstance(value, Mapping):
        return {
            key: _extract(inner, fields[f"f:{key}"], with_keys)
            for key, inner in value.items()
            if f"f:{key}" in fields and inner is not None
        }
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(_items(value, fields, with_keys))
    return value


def _items(items: Sequence[Any], fields: Fields, with_keys: bool) -> Any:
    for index, item in enumerate(items):
        for step, inner in fields.items():
            kind, _, content = step.partition(":")
            if kind == "k" and _has(item, keys := json.loads(content)):
                own = _extract(item, inner, with_keys)
                yield {**keys, **own} if with_keys else own
                break
            if (kind == "v" and item == json.loads(content)) or step == f"i:{index}":
                yield item
                break


def _has(item: Any, keys: Mapping[str, Any]) -> bool:
    return isinstance(item, Mapping) and all(item.get(key) == keys[key] for key in keys)
