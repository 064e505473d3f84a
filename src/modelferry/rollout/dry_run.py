"""Asks the API server what each apply would do, before anything is written."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.cluster.transport import Refused
from modelferry.errors import Annotation, RolloutError
from modelferry.rollout import changes, podspec
from modelferry.rollout.changes import Action, Change, Placed
from modelferry.rollout.field_managers import conflicts, is_scaled

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]
Tolerate = Callable[[Refused], bool]


def look(
    cluster: Cluster,
    objects: Sequence[Placed],
    *,
    not_there_yet: Sequence[Placed],
    force: bool,
    tolerate: Tolerate,
) -> tuple[Change, ...]:
    """Raises one RolloutError with everything that the cluster would refuse.

    `not_there_yet`: objects whose namespace or kind comes with this very set. `tolerate` says of
    a refusal that it may not come when it counts.
    """

    def one(placed: Placed) -> Change | _Refusal:
        if placed in not_there_yet:
            return Change(placed=placed, action=Action.UNCHECKED, live=None)
        try:
            return _look(cluster, placed, force)
        except Refused as refused:
            if not tolerate(refused):
                return _Refusal(placed, refused)
            log.warning("%s: %s", placed.label, refused.message)
            return Change(placed=placed, action=Action.UNCHECKED, live=None)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(one, objects))
    refusals = [entry for entry in found if isinstance(entry, _Refusal)]
    if refusals:
        raise _error(refusals)
    return tuple(entry for entry in found if isinstance(entry, Change))


def _look(cluster: Cluster, placed: Placed, force: bool) -> Change:
    live = cluster.get(placed.resource, placed.manifest.name, placed.namespace)
    if live is not None and "deletionTimestamp" in live["metadata"]:
        why = "the one that is there is being deleted"
        return Change(placed=placed, action=Action.REPLACE, live=live, why=why)
    try:
        return _try(cluster, placed, live, force=force)
    except Refused as refused:
        if live is None:
            raise
        if conflicts(refused):
            return _settle(cluster, placed, live, refused)
        if refused.code == 422 and changes.is_replaceable(placed):
            _try_to_create(cluster, placed)
            why = "it cannot be changed in place"
            return Change(placed=placed, action=Action.REPLACE, live=live, why=why)
        raise


def _try(cluster: Cluster, placed: Placed, live: Object | None, *, force: bool) -> Change:
    result = cluster.apply(
        placed.resource, placed.body, placed.namespace, dry_run=True, force=force
    )
    return changes.decided(placed, live, result, force=force)


def _settle(cluster: Cluster, placed: Placed, live: Object, refused: Refused) -> Change:
    """Leaves an autoscaler its replicas, and takes what the tools before us had."""
    found = conflicts(refused)
    scaled = [conflict for conflict in found if is_scaled(conflict, live) and not conflict.yields]
    if scaled:
        log.info("%s: replicas are left to %s", placed.label, scaled[0].manager)
        body = podspec.without(placed.body, ("spec", "replicas"))
        placed = changes.with_body(placed, body)
    strangers = [c for c in found if c not in scaled and not c.yields]
    if strangers:
        raise refused
    return _try(cluster, placed, live, force=len(scaled) < len(found))


def _try_to_create(cluster: Cluster, placed: Placed) -> None:
    """Under another name, for the old one is still there: a replacement that would be refused
    must not cost the object that runs."""
    try:
        cluster.try_to_create(placed.resource, placed.body, placed.namespace)
    except Refused as refused:
        if "exceeded quota" not in refused.message:  # the old one's share is free by then
            raise


class _Refusal:
    def __init__(self, placed: Placed, refused: Refused) -> None:
        self.placed, self.refused = placed, refused

    @property
    def text(self) -> str:
        found = conflicts(self.refused)
        if found:
            return "; ".join(map(str, found))
        return self.refused.message or self.refused.what

    @property
    def hint(self) -> str:
        if conflicts(self.refused):
            return "Leave the field out of the manifest, or set `force: true` to take it."
        if self.refused.code == 422 and "immutable" in self.refused.message:
            return (
                "This field cannot change on a live object: keep its value, give the object"
                " another name, or delete it yourself first."
            )
        return self.refused.do

    def annotation(self) -> Annotation:
        manifest = self.placed.manifest
        return Annotation(
            file=manifest.file,
            line=manifest.line,
            title="Refused by the cluster",
            message=f"{manifest.label}: {self.text}",
        )


def _error(refusals: Sequence[_Refusal]) -> RolloutError:
    first, *more = refusals
    others = f" (and {len(more)} more)" if more else ""
    return RolloutError(
        f"the cluster would refuse {first.placed.label}: {first.text}{others}",
        seen="\n".join(
            f"- {refusal.placed.manifest.place}: {refusal.placed.label}: {refusal.text}"
            for refusal in refusals
        )
        + "\nNothing was written.",
        do="\n".join(dict.fromkeys(filter(None, (refusal.hint for refusal in refusals)))),
        annotations=tuple(refusal.annotation() for refusal in refusals),
    )
