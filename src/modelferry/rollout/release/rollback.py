"""What was there before a rollout, and how to get back to it. Pure: apply.py carries it out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modelferry.cluster.client import FIELD_MANAGER
from modelferry.cluster.resources import Resource
from modelferry.rollout.changes.decide import Change
from modelferry.rollout.changes.placed import Placed, is_preparation, ordered, with_body
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.objects import owned_fields, podspec
from modelferry.rollout.objects.field_managers import taken_over
from modelferry.rollout.objects.fields import with_value

Object = Mapping[str, Any]

# What others may have put into them meanwhile would go with them.
_HOLD_MORE = ("Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim")
# New ones of these may be what keeps the old state from coming back.
_IN_THE_WAY = ("ResourceQuota", "LimitRange", "NetworkPolicy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """One object as it was before the first write. `uid` None: it was not there.

    `fields`: what we manage of it or are about to, enough while it lives; `whole`: all that
    anybody wished of it, to make it anew.
    """

    placed: Placed
    uid: str | None
    fields: Object | None
    whole: Object | None

    @property
    def key(self) -> str:
        return self.placed.key

    def to_json(self) -> Object:
        return {
            "placed": placed_to_json(self.placed),
            "uid": self.uid,
            "fields": self.fields,
            "whole": None if self.whole == self.fields else self.whole,
        }

    @classmethod
    def from_json(cls, body: Object) -> Before:
        return cls(
            placed=placed_from_json(body["placed"]),
            uid=body["uid"],
            fields=body["fields"],
            whole=body["whole"] or body["fields"],
        )


def placed_to_json(placed: Placed) -> Object:
    return {
        "resource": asdict(placed.resource),
        "namespace": placed.namespace,
        "file": placed.manifest.file,
        "line": placed.manifest.line,
        "body": placed.body,
    }


def placed_from_json(body: Object) -> Placed:
    return Placed(
        manifest=ManifestObject(body=body["body"], file=body["file"], line=body["line"], lines={}),
        resource=Resource(**body["resource"]),
        namespace=body["namespace"],
    )


def snapshot(planned: Iterable[Change], inherited: Sequence[Before] = ()) -> tuple[Before, ...]:
    """`inherited`: what a run that came to no end had found; that is still what to return to."""
    known = {before.key: before for before in inherited}
    found = {change.placed.key: _before(change) for change in planned}
    return tuple((found | known).values())


def _before(change: Change) -> Before:
    live = change.live
    # its name and place are enough: what the body was is in `fields` and `whole`
    placed = with_body(change.placed, owned_fields.extract(change.placed.body, {}))
    if live is None:
        return Before(placed=placed, uid=None, fields=None, whole=None)
    managed = live["metadata"].get("managedFields") or ()
    adopted = taken_over(managed, live["apiVersion"])
    holder = {**live, "metadata": {**live["metadata"], "managedFields": adopted or managed}}
    fields = owned_fields.of_manager(holder, FIELD_MANAGER)
    if change.result is not None:
        coming = owned_fields.of_manager(change.result, FIELD_MANAGER)
        fields = owned_fields.union(fields, coming)
    return Before(
        placed=placed,
        uid=live["metadata"]["uid"],
        fields=owned_fields.extract(live, fields),
        whole=owned_fields.extract(live, owned_fields.of_everybody(live)),
    )


def is_first(befores: Iterable[Before]) -> bool:
    """Nothing that works was there: there are only settings, or nothing at all."""
    return not any(
        before.uid for before in befores if not is_preparation(before.placed.resource.kind)
    )


def restored(before: Before, live: Object | None) -> Placed:
    """What to apply so that it is as it was; `live` is what is there now."""
    same = live is not None and live["metadata"]["uid"] == before.uid
    body = before.fields if same else before.whole
    if body is None:
        raise ValueError(f"{before.placed.label} was not there before")
    return with_body(before.placed, body)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removals:
    """Objects that were not there before: the first are in the way of what comes back."""

    first: tuple[Placed, ...]
    last: tuple[Placed, ...]
    kept: tuple[Placed, ...]


def removals(new: Sequence[Placed]) -> Removals:
    def of(*kinds: str) -> tuple[Placed, ...]:
        return tuple(placed for placed in reversed(new) if placed.resource.kind in kinds)

    first, kept = of(*_IN_THE_WAY), of(*_HOLD_MORE)
    last = tuple(p for p in reversed(ordered(new)) if p not in first and p not in kept)
    return Removals(first=first, last=last, kept=kept)


def pinned(body: Object, written: str, pin: str) -> Object:
    """A tag may mean another image by now: the digest that it meant then is written instead."""
    for container in podspec.containers(body):
        if container.image == written:
            body = with_value(body, (*container.path, "image"), pin)
    return body


def previous_image(befores: Iterable[Before], planned: Iterable[Change], image: str) -> str | None:
    """What the first container that gets `image` ran before."""
    known = {before.key: podspec.images(before.whole) for before in befores if before.whole}
    for change in planned:
        images = known.get(change.placed.key, {})
        for container in podspec.containers(change.placed.body):
            if container.image == image and images.get(container.name):
                return images[container.name]
    return None


def created(befores: Iterable[Before]) -> tuple[str, ...]:
    return tuple(before.key for before in befores if before.uid is None)
