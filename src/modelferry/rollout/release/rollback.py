"""What was there before a rollout, and how to get back to it. Pure: apply.py carries it out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any

from modelferry.cluster.client import FIELD_MANAGER
from modelferry.cluster.resources import Resource
from modelferry.rollout.changes.decide import Change
from modelferry.rollout.changes.marks import other_release
from modelferry.rollout.changes.placed import Placed, is_preparation, ordered, with_body
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.objects import owned_fields, podspec
from modelferry.rollout.objects.field_managers import is_made_by_us, ours
from modelferry.rollout.objects.fields import with_value
from modelferry.rollout.release.at_work import AtWork
from modelferry.values import ImageRef

Object = Mapping[str, Any]

# What others may have put into them meanwhile would go with them.
_HOLD_MORE = ("Namespace", "CustomResourceDefinition", "PersistentVolume", "PersistentVolumeClaim")
# New ones of these may be what keeps the old state from coming back.
_IN_THE_WAY = ("ResourceQuota", "LimitRange", "NetworkPolicy", "HorizontalPodAutoscaler")


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
    at_work: AtWork = field(default_factory=AtWork)

    @property
    def key(self) -> str:
        return self.placed.key

    def to_json(self) -> Object:
        return {
            "placed": placed_to_json(self.placed),
            "uid": self.uid,
            "fields": self.fields,
            "whole": None if self.whole == self.fields else self.whole,
            "at_work": asdict(self.at_work),
        }

    @classmethod
    def from_json(cls, body: Object) -> Before:
        return cls(
            placed=placed_from_json(body["placed"]),
            uid=body["uid"],
            fields=body["fields"],
            whole=body["whole"] or body["fields"],
            at_work=AtWork(**body.get("at_work", {})),
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


def snapshot(
    planned: Iterable[Change],
    inherited: Sequence[Before] = (),
    at_work: Mapping[str, AtWork] = MappingProxyType({}),
) -> tuple[Before, ...]:
    """`inherited`: what a run that came to no end had found; that is still what to return to. But
    for an object that it did not find, and that somebody else has made since."""
    known = {before.key: before for before in inherited}
    found: dict[str, Before] = {}
    for change in planned:
        key, live = change.placed.key, change.live
        before = known.get(key)
        if before is None or (before.uid is None and live and not is_made_by_us(live)):
            before = _before(change, at_work.get(key, AtWork()))
        found[key] = before
    return tuple((known | found).values())


def _before(change: Change, at_work: AtWork) -> Before:
    live = change.live
    # its name and place are enough: what the body was is in `fields` and `whole`
    placed = with_body(change.placed, owned_fields.extract(change.placed.body, {}))
    if live is None:
        return Before(placed=placed, uid=None, fields=None, whole=None)
    fields = ours(live)
    if change.result is not None:
        fields = owned_fields.union(fields, ours(change.result))
    resource = replace(placed.resource, api_version=live["apiVersion"])  # a set may bring another
    return Before(
        placed=replace(placed, resource=resource),
        uid=live["metadata"]["uid"],
        fields=owned_fields.extract(live, fields),
        whole=owned_fields.extract(live, owned_fields.of_everybody(live)),
        at_work=at_work,
    )


def made_before(befores: Iterable[Before], planned: Iterable[Change]) -> frozenset[str]:
    """uids of what is there now, and what a run of this release made that came to no end."""
    new = {b.key: b.uid for b in befores if b.uid is None or b.at_work.ended}
    return frozenset(
        uid
        for change in planned
        if change.live is not None and change.placed.key in new and is_made_by_us(change.live)
        if (uid := change.live["metadata"]["uid"]) != new[change.placed.key]
    )


def is_first(befores: Iterable[Before]) -> bool:
    """Nothing that works was there: there are only settings, or nothing at all."""
    return not any(before.uid for before in befores if not is_preparation(before.placed.resource))


def restored(before: Before, live: Object | None) -> Placed:
    """What to apply so that it is as it was; `live` is what is there now."""
    same = live is not None and live["metadata"]["uid"] == before.uid
    body = before.fields if same else before.whole
    if body is None:
        raise ValueError(f"{before.placed.label} was not there before")
    return with_body(before.placed, body)


@dataclass(frozen=True, slots=True, kw_only=True)
class WayBack:
    gone: tuple[tuple[Placed, Object], ...]  # what goes, as it is now
    back: tuple[Placed, ...]
    not_awaited: frozenset[str]  # keys of those that were not ready before either
    notes: tuple[str, ...]  # what is not as one would think


def way_back(
    seen: Sequence[tuple[Before, Object | None]],
    *,
    release: str,
    made: Collection[str],
    tags: Mapping[str, str],
) -> WayBack:
    """`seen`: each with what is there now. `release`: our mark. `made`: uids of what applies of
    this release have made. `tags`: images by tag, and the digest that each means now."""
    gone: list[tuple[Placed, Object]] = []
    back: list[Placed] = []
    notes: list[str] = []
    not_awaited: set[str] = set()
    for before, live in seen:
        label, same = before.placed.label, live and live["metadata"]["uid"] == before.uid
        if theirs := other_release(live, release):
            notes.append(f"{label} belongs to release {theirs} by now, and is left alone")
        elif before.uid is None or (before.at_work.ended and not same):
            if before.uid:
                notes.append(f"{label} had come to its end before, and is not run again")
            if live and (live["metadata"]["uid"] in made or is_made_by_us(live)):
                gone.append((before.placed, live))
            elif live and owned_fields.of_manager(live, FIELD_MANAGER):
                notes.append(f"{label} was made by somebody else meanwhile, and stays")
        elif not (before.at_work.ended and not before.at_work.ready):  # has failed, and still has
            placed = restored(before, live)
            body, moved = where_moved(placed.body, before.at_work.digests, tags)
            notes += [f"{label} is back by digest: {text}" for text in moved]
            back.append(with_body(placed, body))
            if not before.at_work.ready:
                notes.append(f"{label} was not ready before, and is not waited for")
                not_awaited.add(before.key)
    return WayBack(
        gone=tuple(gone),
        back=kinds_last(ordered(back), {before.key for before, live in seen if live}),
        not_awaited=frozenset(not_awaited),
        notes=tuple(notes),
    )


def kinds_last(objects: Sequence[Placed], there: Collection[str]) -> tuple[Placed, ...]:
    """A kind that loses a version goes back after its objects (`there`: keys of those that can be
    written now): one that bears fields of a version that is gone can be written no more."""

    def is_late(placed: Placed) -> bool:
        group = placed.manifest.name.partition(".")[2]
        mine = (entry for entry in objects if entry.resource.group == group)
        is_kind = placed.resource.kind == "CustomResourceDefinition"
        return is_kind and all(entry.key in there for entry in mine)

    return tuple(sorted(objects, key=is_late))


def where_moved(
    body: Object, digests: Mapping[str, str], tags: Mapping[str, str]
) -> tuple[Object, list[str]]:
    """A tag that means another image by now, as the digest that its pods ran."""
    told: list[str] = []
    for container in podspec.containers(body):
        image, ran = container.image or "", digests.get(container.name)
        if ran and tags.get(image, ran) != ran:
            pin = f"{ImageRef.parse(image).name}@{ran}"
            body = with_value(body, (*container.path, "image"), pin)
            told.append(f"{image} means another image by now, it ran {ran}")
    return body, told


def tagged(befores: Iterable[Before]) -> frozenset[str]:
    """Images by tag of which it is known what they meant."""
    return frozenset(
        container.image
        for before in befores
        for container in podspec.containers(before.whole or {"apiVersion": "", "kind": ""})
        if container.image and container.name in before.at_work.digests
    )


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
