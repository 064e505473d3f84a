"""What an apply changes, for people: a few lines an object, in the manifests' own words. Pure.

Both sides of a comparison come from the API server, so its defaults fall out. No value of a
Secret is shown, wherever it stands.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelferry.cluster.client import FIELD_MANAGER
from modelferry.rollout.changes.decide import Action, Change, essence
from modelferry.rollout.objects import owned_fields
from modelferry.rollout.objects.field_managers import LAST_APPLIED
from modelferry.values import format_names

Object = Mapping[str, Any]

HIDDEN = "***"
_ABSENT = object()
_NAMES = ("name", "containerPort", "port", "mountPath", "ip", "key", "topologyKey", "type")
_IN_THE_HEADING = ("name", "namespace", "annotations")
# It repeats the whole object, secrets and all.
_NOISE = (LAST_APPLIED, "deprecated.daemonset.template.generation")
_MARKS: Mapping[Action, str] = {
    Action.CREATE: "+",
    Action.UNCHECKED: "+",
    Action.UPDATE: "~",
    Action.REPLACE: "±",
    Action.UNCHANGED: "=",
}
_LONG = 160
_LINES = 40
_SHORTEST_SECRET = 4
# Variables that by their names hold a secret although they stand in the open.
_SECRETLY = re.compile(
    r"passw|token|secret|credential|(api|access|account|private)[-_.]?key|connection[-_.]?string"
    r"|(^|[-_])sas($|[-_])",
    re.IGNORECASE,
)
_ENV = re.compile(r"env\[([^]]*)\]\.value$")


def render(planned: Sequence[Change]) -> str:
    """One paragraph for each object that changes, one line for those that stay."""
    secrets = secrets_of(planned)
    moved = [change for change in planned if change.action is not Action.UNCHANGED]
    kept = [change for change in planned if change.action is Action.UNCHANGED]
    told = [line for change in moved for line in lines(change, secrets)]
    if kept[1:]:
        return "\n".join((*told, f"= {len(kept)} objects: leave {_labels(kept)}"))
    return "\n".join((*told, *(line for change in kept for line in lines(change, secrets))))


def _labels(changes: Sequence[Change]) -> str:
    return format_names([change.placed.label for change in changes])


def lines(change: Change, secrets: Iterable[str] = ()) -> Iterator[str]:
    where = f" in {change.placed.namespace}" if change.placed.namespace else ""
    why = f" ({change.why})" if change.why else ""
    yield f"{_MARKS[change.action]} {change.placed.label}{where}: {change.action}{why}"
    for entry in _entries(change):
        sides = (_without(value, secrets) for value in (entry.before, entry.after))
        before, after = (HIDDEN if _is_secret_env(entry.path, side) else side for side in sides)
        yield from _Entry(entry.path, before, after).lines


def secrets_of(planned: Iterable[Change]) -> tuple[str, ...]:
    """Longest first, so that none is left over in a part of another."""
    found: set[str] = set()
    for change in planned:
        for body in (change.placed.body, change.live):
            if body is not None and _is_secret(body):
                found |= set(_secret_values(body))
    return tuple(sorted(found, key=len, reverse=True))


def _secret_values(body: Object) -> Iterator[str]:
    for value in (body.get("stringData") or {}).values():
        yield from _worth_hiding(str(value))
    for value in (body.get("data") or {}).values():
        yield from _worth_hiding(str(value))
        try:
            yield from _worth_hiding(base64.b64decode(str(value), validate=True).decode())
        except (binascii.Error, UnicodeDecodeError):
            continue


def _worth_hiding(text: str) -> Iterator[str]:
    for part in (text, *text.splitlines()):
        if len(part.strip()) >= _SHORTEST_SECRET:
            yield part.strip()


def _without(value: Any, secrets: Iterable[str]) -> Any:
    """Before anything is cut: half a secret is one, too."""
    if isinstance(value, Mapping):
        hidden = {"value": HIDDEN} if _SECRETLY.search(str(value.get("name"))) else {}
        shown = {key: _without(inner, secrets) for key, inner in value.items()}
        return {key: hidden.get(key, inner) for key, inner in shown.items()}
    if isinstance(value, list):
        return [_without(inner, secrets) for inner in value]
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
    return value


def _is_secret_env(path: str, value: Any) -> bool:
    found = _ENV.search(path)
    return isinstance(value, str) and found is not None and bool(_SECRETLY.search(found[1]))


def _is_secret(body: Object) -> bool:
    return body["kind"] == "Secret" and body["apiVersion"] == "v1"


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    before: Any
    after: Any

    @property
    def lines(self) -> list[str]:
        if self.before is _ABSENT and _is_text(self.after):
            return [f"    + {self.path}:", *_text_lines("", self.after)]
        if self.before is _ABSENT:
            return [f"    + {self.path}: {_shown(self.after)}"]
        if self.after is _ABSENT:
            return [f"    - {self.path}: {_shown(self.before)}"]
        if _is_text(self.before) and _is_text(self.after):
            return [f"    ~ {self.path}:", *_text_lines(self.before, self.after)]
        return [f"    ~ {self.path}: {_shown(self.before)} → {_shown(self.after)}"]


def _entries(change: Change) -> list[_Entry]:
    before, after = _sides(change)
    shapes = _Shapes(_written_before(change), _essence(change.placed.body))
    found = list(_compare("", before, after, shapes))
    if _is_secret(change.placed.body):
        found = [_hidden(entry) for entry in found]
    return found


def _sides(change: Change) -> tuple[Object, Object]:
    written = _essence(change.placed.body)
    if change.live is None:
        return _hollow(written), written
    if change.result is not None:
        return _essence(change.live), _essence(change.result)
    # in place it was refused: what was written before is held against what is written now
    before = _written_before(change)
    return _shaped(_essence(change.live), written) if before is _ABSENT else before, written


def _written_before(change: Change) -> Any:
    """By us, else by kubectl; absent where nobody can tell it from the server's own defaults."""
    live: Any = change.live or {"metadata": {}}
    if fields := owned_fields.of_manager(live, FIELD_MANAGER):
        return _essence(owned_fields.extract(live, fields, with_keys=False))
    try:
        return _essence(json.loads((live["metadata"].get("annotations") or {})[LAST_APPLIED]))
    except (KeyError, TypeError, ValueError):
        return _ABSENT


def _hollow(value: Any) -> Any:
    """The mappings alone, so that each field of a new object gets a line of its own."""
    if isinstance(value, Mapping):
        return {
            key: inner if key in ("apiVersion", "kind") else _hollow(inner)
            for key, inner in value.items()
            if key in ("apiVersion", "kind") or (isinstance(inner, Mapping) and inner)
        }
    return value


def _essence(body: Object) -> Object:
    reduced = essence(body)
    annotations = reduced["metadata"].get("annotations") or {}
    kept = {name: value for name, value in annotations.items() if name not in _NOISE}
    metadata = {k: v for k, v in reduced["metadata"].items() if k not in _IN_THE_HEADING}
    if kept:
        metadata["annotations"] = kept
    rest = {name: value for name, value in reduced.items() if name != "metadata"}
    return rest | ({"metadata": metadata} if metadata else {})


def _hidden(entry: _Entry) -> _Entry:
    if not entry.path.startswith(("data", "stringData")):
        return entry
    before, after = (
        value if value is _ABSENT else _hidden_value(value) for value in (entry.before, entry.after)
    )
    return _Entry(entry.path, before, "*** (another value)" if before == after else after)


def _hidden_value(value: Any) -> Any:
    return dict.fromkeys(value, HIDDEN) if isinstance(value, Mapping) else HIDDEN


@dataclass(frozen=True, slots=True)
class _Shapes:
    """What was written and what is, at the place that is compared: of what comes or goes as a
    whole only that is shown, and none of the server's defaults within it."""

    before: Any = _ABSENT
    after: Any = _ABSENT

    def at(self, key: Any) -> _Shapes:
        return _Shapes(_inner(self.before, key), _inner(self.after, key))

    def is_filled_in(self, key: Any, before: Any, after: Any) -> bool:
        """A field that comes or goes, and that nobody wrote: the server's own."""
        comes = before is _ABSENT and _lacks(self.after, key)
        goes = after is _ABSENT and _lacks(self.before, key) and _lacks(self.after, key)
        return comes or goes


def _inner(shape: Any, key: Any) -> Any:
    found = shape if isinstance(shape, Mapping) else _named(shape) or {}
    return found.get(key, _ABSENT)


def _lacks(shape: Any, key: Any) -> bool:
    """For certain: of a list's items it may be the server that gave them their names."""
    return isinstance(shape, Mapping) and key not in shape


def _shaped(value: Any, shape: Any) -> Any:
    """`value` with those of its fields that `shape` has."""
    if isinstance(value, Mapping) and isinstance(shape, Mapping):
        return {key: _shaped(inner, shape[key]) for key, inner in value.items() if key in shape}
    if isinstance(value, list) and isinstance(shape, list) and len(value) == len(shape):
        return [_shaped(inner, known) for inner, known in zip(value, shape, strict=True)]
    return value


def _compare(path: str, before: Any, after: Any, shapes: _Shapes) -> Iterator[_Entry]:
    if before == after:
        return
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys((*after, *before)):
            inner = f"{path}.{key}" if path else str(key)
            if "." in str(key) or "/" in str(key):
                inner = f"{path}[{key}]"
            sides = (before.get(key, _ABSENT), after.get(key, _ABSENT))
            if not shapes.is_filled_in(key, *sides):
                yield from _compare(inner, *sides, shapes.at(key))
    elif (old := _named(before)) is not None and (new := _named(after)) is not None:
        for key in dict.fromkeys((*new, *old)):
            inner = f"{path}[{key}]"
            sides = (old.get(key, _ABSENT), new.get(key, _ABSENT))
            yield from _compare(inner, *sides, shapes.at(key))
    elif before is _ABSENT:
        yield _Entry(path, before, _shaped(after, shapes.after))
    elif after is _ABSENT:
        yield _Entry(path, _shaped(before, shapes.before), after)
    else:
        yield _Entry(path, before, after)


def _named(value: Any) -> Mapping[Any, Any] | None:
    """A list whose items have names, as a mapping; None for anything else."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        return None
    for name in _NAMES:
        keys = [item.get(name) for item in value]
        if None not in keys and len(set(map(str, keys))) == len(keys):
            return dict(zip(keys, value, strict=True))
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and "\n" in value


def _text_lines(before: str, after: str) -> list[str]:
    found = [
        f"        {line}"
        for line in difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1)
        if not line.startswith(("---", "+++"))
    ]
    more = len(found) - _LINES
    return [*found[:_LINES], *([f"        … {more} lines more"] if more > 0 else [])]


def _shown(value: Any) -> str:
    """Short, on one line, as it would stand in YAML's flow style."""
    if isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key}: {_shown(inner)}" for key, inner in value.items()) + "}"
    elif isinstance(value, list):
        text = "[" + ", ".join(map(_shown, value)) + "]"
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        text = value.replace("\n", "⏎") if value else '""'
    else:
        text = str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"
