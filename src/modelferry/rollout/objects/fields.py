"""Fields of an object as the API gives it, read and changed by path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

Object = Mapping[str, Any]
Path = tuple[str | int, ...]


def at(body: Any, path: Path) -> Any:
    """None where the way there ends early."""
    for key in path:
        body = body.get(key) if isinstance(body, Mapping) else None
    return body


def mapping_at(body: Any, path: Path) -> Object:
    found = at(body, path)
    return found if isinstance(found, Mapping) else {}


def mappings(entries: Any) -> Iterator[tuple[int, Object]]:
    """The entries that are what they should be; what is wrong with the others the cluster says."""
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, Mapping):
            yield index, entry


def with_value(body: Object, path: Path, value: object) -> Object:
    """A copy; mappings on the way are made where they are missing."""
    copy: Any = deepcopy(body)
    *parents, last = path
    place = copy
    for key in parents:
        if isinstance(key, str) and place.get(key) is None:
            place[key] = {}
        place = place[key]
    place[last] = value
    return copy


def without(body: Object, path: Path) -> Object:
    copy: Any = deepcopy(body)
    *parents, last = path
    place = copy
    for key in parents:
        place = place[key]
    place.pop(last, None)
    return copy
