"""Asks the API server what each apply would do, before anything is written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.cluster.transport import Refused
from modelferry.rollout.changes import autoscaling, place
from modelferry.rollout.changes.autoscaling import Autoscaled
from modelferry.rollout.changes.decide import (
    Action,
    Change,
    decided,
    is_replaceable,
    left_to_its_release,
    lost_by_replacing,
    settled,
)
from modelferry.rollout.changes.placed import Placed, by_need, with_body
from modelferry.rollout.changes.refusals import (
    Refusal,
    error_of,
    not_ours_alone,
    of_another_release,
    of_old_pods,
)
from modelferry.rollout.objects.field_managers import conflicts
from modelferry.rollout.objects.fields import Path, at, with_value, without
from modelferry.rollout.objects.leftovers import leftover
from modelferry.side_by_side import side_by_side

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]
_LOOKS_AGAIN = 3  # at an object that others replace meanwhile
Tolerate = Callable[[Refused], str]  # why it may not come when it counts; else empty


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What came of each object, in their order: what an apply would do, or why it would not."""

    planned: tuple[Change, ...]
    refusals: tuple[Refusal, ...]


def look(
    cluster: Cluster,
    objects: Sequence[Placed],
    *,
    not_there_yet: Sequence[Placed],
    force: bool,
    tolerate: Tolerate,
    going: Collection[str] = (),
) -> tuple[Change, ...]:
    """In the order in which they are to be applied. Raises one RolloutError with everything that
    the cluster would refuse.

    `not_there_yet`: objects whose namespace or kind comes with this very set. `tolerate` says of
    a refusal why it may not come when it counts. `going`: uids of what is removed before it does.
    """
    answers = ask(cluster, objects, not_there_yet=not_there_yet, force=force, going=going)
    refusals: list[Refusal] = []
    tolerated: list[Change] = []
    needed: dict[str, Placed] = {}
    for refusal in answers.refusals:
        if why := tolerate(refusal.refused):
            log.warning("%s: %s", refusal.placed.label, refusal.refused.message)
            tolerated.append(_unchecked(cluster, refusal, why))
        elif cause := comes_with(refusal, answers.planned):
            tolerated.append(_unchecked(cluster, refusal, f"{cause.label} comes with it"))
            needed[refusal.placed.key] = cause
        else:
            refusals.append(refusal)
    known = {change.placed.key: change for change in (*answers.planned, *tolerated)}
    if not force:
        known = {key: left_to_its_release(change) for key, change in known.items()}
        refusals += [taken for change in known.values() if (taken := of_another_release(change))]
    for refusal in filter(None, map(of_old_pods, known.values())):
        if not tolerate(refusal.refused):
            refusals.append(refusal)
    if refusals:
        raise error_of(refusals)
    return tuple(known[placed.key] for placed in by_need(objects, needed))


def ask(
    cluster: Cluster,
    objects: Sequence[Placed],
    *,
    not_there_yet: Sequence[Placed] = (),
    force: bool = False,
    going: Collection[str] = (),
) -> Answers:
    there = [entry for entry in objects if entry not in not_there_yet]
    scaled = autoscaling.look(cluster, there, going)

    def one(placed: Placed) -> Change | Refusal:
        if placed in not_there_yet:
            why = "its namespace or its kind comes with it"
            live = place.live_elsewhere(cluster, placed)
            return Change(placed=placed, action=Action.UNCHECKED, live=live, why=why)
        try:
            return _look(cluster, placed, force, scaled)
        except Refused as refused:
            return Refusal(placed=placed, refused=refused)

    found = side_by_side(one, objects)
    return Answers(
        planned=tuple(entry for entry in found if isinstance(entry, Change)),
        refusals=tuple(entry for entry in found if isinstance(entry, Refusal)),
    )


def _unchecked(cluster: Cluster, refusal: Refusal, why: str) -> Change:
    if refusal.change is not None:
        return refusal.change
    placed = refusal.placed
    live = _live(cluster, placed)
    return Change(placed=placed, action=Action.UNCHECKED, live=live, why=why)


def comes_with(refusal: Refusal, planned: Sequence[Change]) -> Placed | None:
    """What is missed is made by this very set."""
    message = refusal.refused.message
    if "not found" not in message and "was found" not in message:
        return None
    for change in planned:
        name = change.placed.manifest.name
        if change.live is None and f" {name} " in f" {_words(message)} ":
            kind = change.placed.resource.kind.lower()
            if kind in message.lower().replace(" ", ""):
                return change.placed
    return None


def _words(message: str) -> str:
    return "".join(c if c.isalnum() or c in "-." else " " for c in message.replace("/", " "))


def _look(cluster: Cluster, placed: Placed, force: bool, scaled: Autoscaled) -> Change | Refusal:
    """Another run may have replaced it between two questions: a refusal counts for what was looked
    at alone."""
    live = _live(cluster, placed)
    for _ in range(_LOOKS_AGAIN):
        try:
            return _judge(cluster, placed, live, force, scaled)
        except Refused:
            seen, live = live, _live(cluster, placed)
            if _uid(live) == _uid(seen):
                raise
    return _judge(cluster, placed, live, force, scaled)


def _live(cluster: Cluster, placed: Placed) -> Object | None:
    return cluster.get(placed.resource, placed.manifest.name, placed.namespace)


def _uid(live: Object | None) -> str | None:
    return live["metadata"]["uid"] if live is not None else None


def _judge(
    cluster: Cluster,
    placed: Placed,
    live: Object | None,
    force: bool,
    scaled: Autoscaled,
) -> Change | Refusal:
    if live is not None and "deletionTimestamp" in live["metadata"]:
        why = "the one that is there is being deleted"
        change = Change(placed=placed, action=Action.REPLACE, live=live, why=why)
    else:
        wanted = autoscaling.left_alone(placed, live, scaled.targeted)
        if wanted is not placed:
            log.info("%s: its replicas are left to its autoscaler", placed.label)
        change = _in_place(cluster, wanted, live, force, scaled)
    if change.action is Action.REPLACE and live is not None:
        return _try_to_replace(cluster, change, live)
    return change


def _in_place(
    cluster: Cluster, placed: Placed, live: Object | None, force: bool, scaled: Autoscaled
) -> Change:
    """Where that is refused for good, but a new one would do: REPLACE."""
    try:
        return _try(cluster, placed, live, force=force)
    except Refused as refused:
        if live is None:
            raise
        if conflicts(refused):
            is_autoscaled = scaled.may_be(placed.key)
            wanted, force = settled(placed, live, refused, is_autoscaled=is_autoscaled)
            # when it counts it is settled anew: a stranger may have come by then
            return replace(_in_place(cluster, wanted, live, force, scaled), force=False)
        if refused.code == 422 and (unfit := leftover(placed.body, live)):
            fit = with_body(placed, without(placed.body, unfit))  # it may stand there as null
            result = _try_without(cluster, fit, live, unfit, force=force)
            return decided(fit, live, result, force=force)
        if refused.code != 422 or not is_replaceable(placed):
            raise
        if lost := lost_by_replacing(placed, live):
            raise not_ours_alone(refused, lost) from refused
        why = "it cannot be changed in place"
        return Change(placed=placed, action=Action.REPLACE, live=live, why=why)


def _try(cluster: Cluster, placed: Placed, live: Object | None, *, force: bool) -> Change:
    result = cluster.apply(
        placed.resource, placed.body, placed.namespace, dry_run=True, force=force
    )
    return decided(placed, live, result, force=force)


def _try_without(
    cluster: Cluster, placed: Placed, live: Object, unfit: Path, *, force: bool
) -> Object:
    """The apply will take `unfit` away; a dry run cannot. So all else is tried beside it, and what
    comes of that with what is wanted in its place."""
    place = unfit[:-1]
    beside = with_value(placed.body, place, at(live, place))
    tried = cluster.apply(placed.resource, beside, placed.namespace, dry_run=True, force=force)
    spec = with_value(tried, place, at(placed.body, place))["spec"]
    name, operations = placed.manifest.name, [{"op": "replace", "path": "/spec", "value": spec}]
    result = cluster.patch(placed.resource, name, placed.namespace, operations, dry_run=True)
    return {**result, "metadata": tried["metadata"]}


def _try_to_replace(cluster: Cluster, change: Change, live: Object) -> Change | Refusal:
    """A replacement that would be refused must not cost the object that runs. It is tried under
    another name, for the old one is still there."""
    placed = change.placed
    try:
        if is_replaceable(placed):
            cluster.try_to_create(placed.resource, placed.body, placed.namespace)
    except Refused as refused:
        if "exceeded quota" not in refused.message:  # the old one's share is free by then
            return Refusal(placed=placed, refused=refused, change=change)
    name, uid = placed.manifest.name, live["metadata"]["uid"]
    cluster.delete(placed.resource, name, placed.namespace, uid=uid, dry_run=True)
    return change
