"""Roll back: a release that the history knows → the objects as they were then, ready again."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelferry.artifacts import Rollout, RolloutState
from modelferry.cluster import connect
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import QUOTAS
from modelferry.cluster.transport import Refused
from modelferry.errors import FerryError, RollbackError, RolloutError
from modelferry.plan.spec import RollbackPlan, RunContext
from modelferry.rollout import apply
from modelferry.rollout.changes import diff, dry_run
from modelferry.rollout.changes.decide import Action, Change
from modelferry.rollout.changes.marks import marked, release_mark
from modelferry.rollout.changes.place import place
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.reach import url
from modelferry.rollout.release import history, rollback, turn, undo
from modelferry.rollout.release.at_work import look
from modelferry.rollout.release.history import Record
from modelferry.rollout.release.lease import Superseded
from modelferry.rollout.release.rollback import Before, Removals
from modelferry.rollout.release.stale import Intent
from modelferry.rollout.release.turn import Turn
from modelferry.rollout.spec import RollbackSpec
from modelferry.rollout.watching import evidence
from modelferry.rollout.watching.board import Board
from modelferry.rollout.watching.findings import Applied
from modelferry.values import ImageRef

log = logging.getLogger("modelferry.rollback")

Object = Mapping[str, Any]


def roll_back(plan: RollbackPlan, context: RunContext) -> Rollout:
    """Raises InputError when there is no such release, RolloutError before the first write,
    RollbackError after it. Whoever asks for it wants it now: no newer run is in its way."""
    spec = plan.spec
    cluster = connect(plan.cluster)
    namespace = spec.namespace or cluster.namespace
    intent = context.intent
    _target(turn.read(cluster, spec.release, namespace) or (), spec, namespace)
    with turn.taken(
        cluster, spec.release, namespace, intent, wait_s=spec.timeout_s, allow_older=True
    ) as now:
        way = _look(cluster, now.records, spec, namespace, intent)
        target, planned = way.target, way.planned
        log.info("what changes:\n%s", way.told)
        every = (*planned, *_as_changes(way.gone))
        at_work = look(cluster, every, ImageRef.parse(way.pin).name)
        before = rollback.snapshot(every, now.inherited, at_work)
        now.begin(_record(way, now, before))
        try:
            applied = _act(now, way, spec.timeout_s)
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
        previous_image=rollback.previous_image(before, planned, way.pin),
        url=url.find(cluster, applied),
        diff=way.told,
        release=now.number,
        image=way.pin,
        model_version=target.model_version,
        of=target.number,
    )


def would_return(plan: RollbackPlan) -> str:
    """What `roll_back` would change, field by field. Writes nothing."""
    spec = plan.spec
    cluster = connect(plan.cluster)
    namespace = spec.namespace or cluster.namespace
    records = turn.read(cluster, spec.release, namespace) or ()
    way = _look(cluster, records, spec, namespace, Intent("", 1))
    log.info("what would change:\n%s", way.told)
    return f"release {way.target.number}: {way.target.said}\n{way.told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """What is shown, and what is done."""

    target: Record
    pin: str
    planned: tuple[Change, ...]
    gone: tuple[tuple[Placed, Object], ...]  # what later releases brought, as it is now
    away: Removals
    claims: tuple[Placed, ...]  # that stay as they are

    @property
    def told(self) -> str:
        return shown(self.planned, self.away, self.claims)


def _look(
    cluster: Cluster,
    records: Sequence[Record],
    spec: RollbackSpec,
    namespace: str,
    intent: Intent,
) -> _Way:
    target = _target(records, spec, namespace)
    log.info("returning to release %d: %s", target.number, target.said)
    pin = _pin(target)
    marks = turn.marks(intent, spec.release, namespace, target.digest, target.model_version)
    placement = place(cluster, _objects(target, marks, pin), namespace)
    there = undo.ours(_added_since(records, target), cluster, release_mark(spec.release, namespace))
    gone = tuple((placed, live) for placed, live in there if _is_brought(placed, live, records))
    away = rollback.removals([placed for placed, _ in gone])

    def tolerate(refused: Refused) -> str:
        quotas = [entry.manifest.name for entry in away.first if entry.resource == QUOTAS]
        stands = [name for name in quotas if f"exceeded quota: {name}," in refused.message]
        return f"quota {stands[0]} goes before" if stands else ""

    claims = undo.lasting_claims(cluster, placement.objects)
    planned = dry_run.look(
        cluster,
        [placed for placed in placement.objects if placed not in claims],
        not_there_yet=placement.not_there_yet,
        force=False,
        tolerate=tolerate,
        going={live["metadata"]["uid"] for placed, live in gone if placed in away.first},
    )
    known = {change.placed.key: change for change in planned}
    there = {key for key, change in known.items() if change.live is not None}
    order = rollback.kinds_last([change.placed for change in planned], there)
    return _Way(
        target=target,
        pin=pin,
        planned=tuple(known[placed.key] for placed in order),
        gone=gone,
        away=away,
        claims=tuple(claims),
    )


def shown(planned: Sequence[Change], away: Removals, claims: Sequence[Placed] = ()) -> str:
    """`away`: of what later releases brought; `claims` stay as they are now. Pure."""
    going = (f"- {placed.label}: remove" for placed in (*away.first, *away.last))
    stay = "stays, others may have put something into it"
    kept = (f"= {placed.label}: {stay}" for placed in away.kept)
    lasting = (f"= {claim.label}: stays as it is now, {undo.WHY_CLAIMS_LAST}" for claim in claims)
    return "\n".join(filter(None, (diff.render(planned), *going, *kept, *lasting)))


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


def _objects(target: Record, marks: Mapping[str, str], pin: str) -> tuple[ManifestObject, ...]:
    """As they were applied then, by digest, and marked as this run's."""
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


def _is_brought(placed: Placed, live: Object, records: Sequence[Record]) -> bool:
    """Not what somebody has made anew since. Some records say only the names."""
    uid = live["metadata"]["uid"]
    named = any(record.made is None and placed.key in record.created for record in records)
    return named or any(uid in (record.made or ()) for record in records)


def _record(way: _Way, now: Turn, before: tuple[Before, ...]) -> Record:
    target = way.target
    return Record(
        number=0,
        verdict=history.PENDING,
        image=way.pin,
        digest=target.digest,
        run=str(now.intent),
        started=turn.now_utc(),
        model_version=target.model_version,
        commit=target.commit,
        of=target.of or target.number,
        manifests=tuple(change.placed for change in way.planned),
        created=rollback.created(before),
        before=before,
    )


def _as_changes(objects: Sequence[tuple[Placed, Object]]) -> list[Change]:
    """Objects that will go, so that a snapshot knows them."""
    return [Change(placed=placed, action=Action.UPDATE, live=live) for placed, live in objects]


def _act(now: Turn, way: _Way, timeout_s: float) -> tuple[Applied, ...]:
    deadline = time.monotonic() + timeout_s
    cluster = now.cluster.on(until=deadline)
    alive = {placed.key: live for placed, live in way.gone}
    problems = undo.remove_all(cluster, way.away.first, alive, deadline)
    applied = apply.carry_out(cluster, way.planned, deadline=deadline, made=now.made)
    problems += undo.begin_to_remove_all(cluster, way.away.last, alive)
    if problems:
        raise RolloutError(problems[0], seen="\n".join(problems))
    apply.unstick(cluster, applied)
    board = Board(targets=applied, epoch_s=time.time() - time.monotonic())
    evidence.until_ready(now.cluster, board, deadline=deadline, timeout_s=timeout_s, heed=now.heed)
    if problems := undo.remove_all(cluster, way.away.last, alive, deadline):
        raise RolloutError(problems[0], seen="\n".join(problems))
    return applied


def _failed(error: FerryError, target: Record) -> RollbackError:
    return RollbackError(
        f"returning to release {target.number} failed: {error.what}",
        seen=error.seen,
        do=error.do,
        annotations=error.annotations,
    )
