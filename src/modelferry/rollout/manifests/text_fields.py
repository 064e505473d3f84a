"""Fields where Kubernetes takes text only, while `1.0` and `yes` are a number and a boolean.

The API server would name neither file nor line, and some of these fields only by their Go type.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelferry.rollout.objects.fields import Path, at, mappings
from modelferry.rollout.objects.podspec import containers, pod_spec, spec_path

Object = Mapping[str, Any]

_NAMED = ("env", "ports", "volumeMounts")
_DATA = {"ConfigMap": ("data",), "Secret": ("data", "stringData")}


def misread(body: Object) -> Iterator[tuple[Path, str]]:
    """Each such field, and what is wrong with it."""
    for path in _maps(body):
        found = at(body, path)
        if isinstance(found, Mapping):
            shows = path[0] not in _DATA["Secret"] or body["kind"] != "Secret"
            for key, value in found.items():
                yield from _wrong((*path, key), value, shows=shows)
        elif found is not None:
            yield path, "names and texts are wanted here"
    yield from _names(body)
    for container in containers(body):
        for index, entry in mappings(container.body.get("env")):
            path = (*container.path, "env", index, "value")
            yield from _wrong(path, entry.get("value"), shows=False)
        for name in ("command", "args"):
            words = container.body.get(name)
            for index, word in enumerate(words if isinstance(words, list) else ()):
                yield from _wrong((*container.path, name, index), word)


def _names(body: Object) -> Iterator[tuple[Path, str]]:
    """`name: n` is false."""
    for container in containers(body):
        yield from _wrong((*container.path, "name"), container.body.get("name"))
        for kind in _NAMED:
            for index, entry in mappings(container.body.get(kind)):
                yield from _wrong((*container.path, kind, index, "name"), entry.get("name"))
    for index, volume in mappings(pod_spec(body).get("volumes")):
        path = (*(spec_path(body) or ()), "volumes", index, "name")
        yield from _wrong(path, volume.get("name"))


def _maps(body: Object) -> Iterator[Path]:
    """Of text to text."""
    yield from (("metadata", "labels"), ("metadata", "annotations"))
    if body["apiVersion"] == "v1":
        yield from ((name,) for name in _DATA.get(body["kind"], ()))
        if body["kind"] == "Service":
            yield "spec", "selector"
    path = spec_path(body)
    if path is None:
        return
    yield (*path, "nodeSelector")
    if len(path) > 1:  # a template's; of a bare Pod they were told above
        yield from ((*path[:-1], "metadata", name) for name in ("labels", "annotations"))
    if body["apiVersion"] == "apps/v1":
        yield "spec", "selector", "matchLabels"


def _wrong(path: Path, value: Any, *, shows: bool = True) -> Iterator[tuple[Path, str]]:
    """`shows` is False where the value may be a password."""
    match value:
        case None | str():
            return
        case bool():
            read = f"the boolean {str(value).lower()}" if shows else "a boolean"
            yield path, f"reads as {read}: text is wanted, quote it"
        case int() | float():
            read = f"the number {value}" if shows else "a number"
            yield path, f"reads as {read}: text is wanted, quote it"
        case _:
            kind = "a list" if isinstance(value, Sequence) else "a mapping"
            yield path, f"is {kind}: text is wanted"


def shown(path: Path) -> str:
    """`spec.containers[0].env[2].value`, as the API server writes it."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.lstrip(".")
