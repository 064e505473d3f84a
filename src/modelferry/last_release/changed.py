"""What became another since the last release, as far as its record tells. Pure.

Beside its build key a release remembers a short digest of each part that the key is made of: who
reads that a base image moved need not compare two releases by hand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelferry.image.compose import Pairs, canonical_json
from modelferry.image.released import BUILD_KEY, Released

BUILD_PARTS = "modelferry.build-parts"

MODEL = "model"
_LABELS = "labels"  # told of, but no part of the key
_DIGITS = 8
_LONGEST = 16 << 10
_TOLD = 8  # of the parts that changed, in a line


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildKey:
    digest: str  # hex; of everything that decides the image and its verdict
    parts: Mapping[str, str]  # by what people call them: a short digest, of the model its version
    sums: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of `file:` models, by URI

    @property
    def annotations(self) -> Pairs:
        parts = canonical_json(self.parts).decode()
        told = ((BUILD_PARTS, parts),) if len(parts) <= _LONGEST else ()
        return ((BUILD_KEY, self.digest), *told)


def parts_of(facts: Mapping[str, Any], version: str | None, labels: Pairs = ()) -> dict[str, str]:
    """`facts`: of key.py. In the order in which they are told."""
    build = facts["build"]
    parts = {
        MODEL: facts["model"],
        "build context": facts["context"],
        "Dockerfile": facts["dockerfile"],
        **{f"image {name}": digest for name, digest in facts["images"].items()},
        **{f"build-arg {name}": value for name, value in build["args"]},
        **{f"build context {name}": digest for name, digest in build["contexts"]},
        "build-secrets": build["secrets"],
        "target": build["target"],
        "platform": build["platform"],
        "builder": build["builder"],
        "tests": facts["tests"],
        "Modelferry": facts["modelferry"],
        _LABELS: sorted(labels),
    }
    short = {name: _short(value) for name, value in parts.items() if value}
    if MODEL in short and version:
        short[MODEL] += f" {version}"
    return short


def _short(value: object) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()[:_DIGITS]


def compared(released: Released, key: BuildKey | None, unknown: str) -> str:
    """For people. `unknown`: why there is no key."""
    image = released.image
    if key and (same := released.made_by(key.digest)):
        stay = _labels_stay(read_parts(released.said_of(same)), key.parts)
        return f"nothing changed since {same.digest}{stay}"
    if image is None:
        return released.unreadable or "nothing was released before"
    if key is None:
        return f"nobody can tell whether something changed: {unknown}"
    before = read_parts(released.said_of(image))
    if before is None:
        return f"something changed since {image.digest}, which does not say what it was made of"
    changed = what_changed(before, key.parts)
    if not changed:
        return f"nothing changed since {image.digest}, but the registry has not all of it"
    more = [f"{len(changed) - _TOLD} more"] if len(changed) > _TOLD else []
    return f"changed since {image.digest}: {', '.join([*changed[:_TOLD], *more])}"


def what_changed(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    changed = [
        _told(name, before.get(name), value)
        for name, value in now.items()
        if name != _LABELS and _digest(before.get(name)) != _digest(value)
    ]
    gone = [f"{name} (gone)" for name in before if name not in {*now, _LABELS}]
    return (*changed, *gone)


def _labels_stay(before: Mapping[str, str] | None, now: Mapping[str, str]) -> str:
    if before is None or before.get(_LABELS) == now.get(_LABELS):
        return ""
    return " but `labels`: a reused image keeps those it has"


def _told(name: str, before: str | None, now: str) -> str:
    if before is None:
        return f"{name} (new)"
    if name != MODEL:
        return name
    old, new = before[_DIGITS + 1 :], now[_DIGITS + 1 :]
    return f"{name} {old} → {new}" if old != new else f"{name} (of the same version, {new})"


def _digest(part: str | None) -> str:
    return (part or "")[:_DIGITS]


def read_parts(annotations: Mapping[str, str]) -> dict[str, str] | None:
    """None where the release does not say, or not in a form that is known."""
    try:
        found = json.loads(annotations[BUILD_PARTS])
        return {str(name): str(value) for name, value in found.items()}
    except (ValueError, KeyError, AttributeError):
        return None
