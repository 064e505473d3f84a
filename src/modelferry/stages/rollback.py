"""Roll back: a release that the history knows → the objects as they were then, ready again."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from modelferry.artifacts import Rollout, RolloutState
from modelferry.cluster import connect
from modelferry.cluster.client import Cluster
from modelferry.errors import FerryError, RollbackError, RolloutError
from modelferry.plan.spec import RollbackPlan, RunContext
from modelferry.rollout import apply
from modelferry.rollout.changes import diff, dry_run
from modelferry.rollout.changes.decide import Change, marked
from modelferry.rollout.changes.place import Placement, place
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.reach import url
from modelferry.rollout.release import history, rollback, turn, undo
from modelferry.rollout.release.history import Record
from modelferry.rollout.release.lease import Superseded
from modelferry.rollout.release.rollback import Before, Removals
from modelferry.rollout.release.stale import Intent
from modelferry.rollout.release.turn import Turn
from modelferry.rollout.spec import RollbackSpec
from modelferry.rollout.watching import evidence, watch
from modelferry.rollout.watching.board import Applied, Board
from modelferry.values import ImageRef

log = logging.getLogger("modelferry.rollback")

Object = Mapping[str, Any]


def roll_back(plan: RollbackPlan, context: RunContext) -> Rollout:
    """Raises InputError when there is no such release, RolloutError before the first write,
    RollbackError after it. Whoever asks for it wants it now: no newer run is in its way."""
    spec = plan.spec
    cluster = connect(plan.cluster)
    namespace = spec.namespace or cluster.namespace
    intent = Intent(context.run_id, context.run_attempt)
    _target(turn.read(cluster, spec.release, namespace) or (), spec, namespace)
    with turn.taken(
        cluster, spec.release, namespace, intent, wait_s=spec.timeout_s, allow_older=True
    ) as now:
        target = _target(now.records, spec, namespace)
        log.info("returning to release %d: %s", target.number, target.said)
        pin = _pin(target)
        placement = place(cluster, _objects(target, now, pin), namespace)
        planned = _look(cluster, placement)
        gone = undo.ours(_added_since(now.records, target), cluster)
        told = shown(planned, rollback.removals([placed for placed, _ in gone]))
        log.info("what changes:\n%s", told)
        before = rollback.snapshot((*planned, *undo.as_changes(gone)), now.inherited)
        now.begin(_record(target, pin, now, before, planned, context))
        try:
            applied = _act(now, planned, gone, spec.timeout_s)
        except Superseded:
            now.end(history.SUPERSEDED)
            raise
        except FerryError as error:
            now.end(history.ROLLBACK_FAILED, error.what)
            raise _failed(error, target) from error
        except Exception as bug:
            now.end(history.ROLLBACK_FAILED, undo.bug_text(bug))
            raise
        now.end(history.RETURNED)
    return Rollout(
        state=RolloutState.ROLLED_BACK,
        objects=tuple(entry.label for entry in applied),
        previous_image=rollback.previous_image(before, planned, pin),
        url=url.find(cluster, applied),
        diff=told,
        release=now.number,
    )


def would_return(plan: RollbackPlan) -> str:
    """What `roll_back` would change, field by field. Writes nothing."""
    spec = plan.spec
    cluster = connect(plan.cluster)
    namespace = spec.namespace or cluster.namespace
    records = turn.read(cluster, spec.release, namespace) or ()
    target = _target(records, spec, namespace)
    pin = _pin(target)
    objects = [
        placed.manifest.changed(rollback.pinned(placed.body, target.image, pin))
        for placed in target.manifests
    ]
    placement = place(cluster, objects, namespace)
    planned = _look(cluster, placement)
    gone = undo.ours(_added_since(records, target), cluster)
    told = shown(planned, rollback.removals([placed for placed, _ in gone]))
    told = f"release {target.number}: {target.said}\n{told}"
    log.info("what would change:\n%s", told)
    return told


def shown(planned: Sequence[Change], away: Removals) -> str:
    """`away`: of what later releases brought. Pure."""
    going = (f"- {placed.label}: remove" for placed in (*away.first, *away.last))
    stay = "stays, others may have put something into it"
    kept = (f"= {placed.label}: {stay}" for placed in away.kept)
    return "\n".join(filter(None, (diff.render(planned), *going, *kept)))


def _look(cluster: Cluster, placement: Placement) -> tuple[Change, ...]:
    return dry_run.look(
        cluster,
        placement.objects,
        not_there_yet=placement.not_there_yet,
        force=False,
        tolerate=lambda _: False,
    )


def _target(records: Sequence[Record], spec: RollbackSpec, namespace: str) -> Record:
    if not records:
        raise RolloutError(
            f"there is no history of {spec.release} in namespace {namespace}",
            seen="Deploys keep it in the Secret " + history.secret_name(spec.release) + ".",
            do="Correct `release` or `namespace`, or allow `get` on that Secret"
            " (docs/kubernetes-role.md).",
        )
    return history.chosen(records, spec.to, spec.release)


def _pin(target: Record) -> str:
    """Deployed by tag, it may mean another image by now."""
    return f"{ImageRef.parse(target.image).name}@{target.digest}"


def _objects(target: Record, now: Turn, pin: str) -> tuple[ManifestObject, ...]:
    """As they were applied then, by digest, and marked as this run's."""
    marks = turn.marks(now.intent, now.release, target.digest, target.model_version)
    pinned = (
        placed.manifest.changed(rollback.pinned(placed.body, target.image, pin))
        for placed in target.manifests
    )
    return tuple(marked(manifest, marks, pin) for manifest in pinned)


def _added_since(records: Sequence[Record], target: Record) -> tuple[Placed, ...]:
    """What later releases brought, and this one has not."""
    kept = {placed.key for placed in target.manifests}
    return tuple(
        {
            placed.key: placed
            for record in records
            if record.number > target.number
            for placed in record.manifests
            if placed.key in record.created and placed.key not in kept
        }.values()
    )


def _record(
    target: Record,
    pin: str,
    now: Turn,
    before: tuple[Before, ...],
    planned: Sequence[Change],
    context: RunContext,
) -> Record:
    return Record(
        number=0,
        verdict=history.PENDING,
        image=pin,
        digest=target.digest,
        run=str(now.intent),
        started=turn.now_utc(),
        model_version=target.model_version,
        commit=context.commit or "",
        of=target.of or target.number,
        manifests=tuple(change.placed for change in planned),
        created=rollback.created(before),
        before=before,
    )


def _act(
    now: Turn,
    planned: Sequence[Change],
    gone: Sequence[tuple[Placed, Object]],
    timeout_s: float,
) -> tuple[Applied, ...]:
    deadline = time.monotonic() + timeout_s
    cluster = now.cluster.on(until=deadline)
    away = rollback.removals([placed for placed, _ in gone])
    alive = {placed.key: live for placed, live in gone}
    problems = undo.remove_all(cluster, away.first, alive, deadline)
    applied = apply.carry_out(cluster, planned, deadline=deadline)
    problems += undo.remove_all(cluster, away.last, alive, deadline)
    if problems:
        raise RolloutError(problems[0], seen="\n".join(problems))
    apply.unstick(cluster, applied)
    board = Board(targets=applied, epoch_s=time.time() - time.monotonic())
    left_s = max(0.0, deadline - time.monotonic())
    outcome = watch.follow(now.cluster, board, timeout_s=left_s, heed=now.heed)
    if not outcome.ready:
        raise evidence.failure(now.cluster, board, outcome, timeout_s)
    return applied


def _failed(error: FerryError, target: Record) -> RollbackError:
    return RollbackError(
        f"returning to release {target.number} failed: {error.what}",
        seen=error.seen,
        do=error.do,
        annotations=error.annotations,
    )
