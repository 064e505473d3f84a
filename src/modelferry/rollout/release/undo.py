"""Brings back what was there before a rollout, as far as it can be brought, and watches it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from modelferry.cluster.client import FIELD_MANAGER, Cluster
from modelferry.cluster.transport import Refused
from modelferry.errors import FerryError, RollbackError, RolloutError, RolloutFailed
from modelferry.rollout import apply
from modelferry.rollout.changes import dry_run
from modelferry.rollout.changes.marks import other_release, release_mark
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.changes.refusals import when_it_counted
from modelferry.rollout.objects import owned_fields
from modelferry.rollout.release import history, rollback
from modelferry.rollout.release.lease import Superseded
from modelferry.rollout.release.rollback import Before
from modelferry.rollout.release.turn import Turn
from modelferry.rollout.spec import DeploySpec
from modelferry.rollout.watching import evidence
from modelferry.rollout.watching.board import Board
from modelferry.rollout.watching.findings import Applied
from modelferry.rollout.watching.grounds import NamespaceGoes
from modelferry.side_by_side import side_by_side

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]
Meaning = Callable[[str], str | None]  # of an image by tag: the digest it means now, if known
WHY_CLAIMS_LAST = "what a claim asks for cannot be taken back"
_FIRST = (
    "There is nothing to return to: no release has succeeded yet. The objects are left for you to"
    " look at; the next run goes on from them."
)


def _unknown(_: str) -> str | None:
    return None


@contextmanager
def undone(
    spec: DeploySpec,
    now: Turn,
    before: tuple[Before, ...],
    previous: str | None,
    meaning: Meaning = _unknown,
) -> Generator[None]:
    """What fails within is on record, and undone: a bug of ours, too, which is raised as it is."""
    try:
        yield
    except Superseded:
        now.end(history.SUPERSEDED)
        raise
    except FerryError as error:
        raise after(error, spec, now, before, previous, meaning) from error
    except Exception as bug:
        told = after(RolloutError(bug_text(bug)), spec, now, before, previous, meaning)
        if isinstance(told, RollbackError):
            log.warning("%s", told)
        raise


def bug_text(bug: Exception) -> str:
    return f"a bug in Modelferry: {type(bug).__name__}: {bug}"


def after(
    error: FerryError,
    spec: DeploySpec,
    now: Turn,
    before: tuple[Before, ...],
    previous: str | None,
    meaning: Meaning = _unknown,
) -> FerryError:
    """What a run ends with that failed after its first write. The evidence is in `error`: nothing
    is undone before it was seen."""
    failed = RolloutFailed(error.what, seen=error.seen, do=error.do, annotations=error.annotations)
    failed.previous_image = previous
    if not spec.rollback:
        now.end(history.FAILED, error.what)
        return _ends(failed, "It is left as it is, for `rollback` is false.")
    if isinstance(error, NamespaceGoes) and all(
        entry.placed.namespace == error.namespace for entry in before
    ):
        now.end(history.FAILED, error.what)
        return _ends(failed, "It is not rolled back: all of it goes with the namespace.")
    if rollback.is_first(before) and not now.has_good:
        now.end(history.FAILED, error.what)
        return _ends(failed, _FIRST)
    _tell(failed, error)  # a cancel in mid-rollback must not lose it
    log.info("returning to what was there before")
    try:
        notes = undo(now, before, timeout_s=spec.rollback_timeout_s, meaning=meaning)
    except Superseded as superseded:
        now.end(history.SUPERSEDED, error.what)
        return _ends(failed, f"It was not rolled back: {superseded.what}.")
    except FerryError as second:
        now.end(history.ROLLBACK_FAILED, error.what)
        return _both(failed, second)
    now.end(history.ROLLED_BACK, error.what)
    failed.rolled_back = True
    return _ends(
        failed, "\n- ".join(("What was there before is back, and as ready as it was.", *notes))
    )


def _tell(failed: FerryError, error: FerryError) -> None:
    log.error("%s", "\n".join(filter(None, (error.what, error.seen))))
    failed.is_told = True


def _ends(failed: RolloutFailed, sentence: str) -> RolloutFailed:
    if failed.is_told:
        log.info("%s", sentence)
    failed.seen = "\n\n".join(filter(None, (failed.seen, sentence)))
    return failed


def _both(first: RolloutFailed, second: FerryError) -> RollbackError:
    release = f"The release itself: {first.do}" if first.do else ""
    rollback_said = f"The rollback: {second.what}"
    failed = RollbackError(
        f"{first.what}; and the rollback failed: {second.what}",
        seen="\n".join(filter(None, (f"{first.seen}\n", rollback_said, second.seen))),
        do="\n".join(filter(None, (second.do, release))),
        annotations=first.annotations,
    )
    failed.previous_image = first.previous_image
    _tell(failed, second)
    return failed


def undo(
    now: Turn, befores: Sequence[Before], *, timeout_s: float, meaning: Meaning = _unknown
) -> tuple[str, ...]:
    """What is not quite as one would think. Raises RollbackError with everything that could not be
    brought back, after all the rest has been; Superseded when a newer run takes over."""
    deadline = time.monotonic() + timeout_s
    cluster = now.cluster.on(until=deadline)
    problems: list[str] = []
    tags = {image: digest for image in rollback.tagged(befores) if (digest := meaning(image))}
    way = rollback.way_back(
        tuple(_seen(cluster, befores, problems)),
        release=release_mark(now.release, now.namespace),
        made=now.made,
        tags=tags,
    )
    for note in way.notes:
        log.warning("%s", note)
    away = rollback.removals([placed for placed, _ in way.gone])
    alive = {placed.key: live for placed, live in way.gone}
    for placed in away.first:
        _tell_removal(placed)
    problems += remove_all(cluster, away.first, alive, deadline)
    applied, refused, staying = _restore(cluster, way.back, deadline, now.made)
    problems += [*refused, *begin_to_remove_all(cluster, away.last, alive)]
    for placed in away.kept:
        log.warning("%s is new and stays: others may have put something into it", placed.label)
    awaited = [entry for entry in applied if entry.key not in way.not_awaited]
    problems += _follow(now, awaited, deadline, timeout_s)
    problems += remove_all(cluster, away.last, alive, deadline)
    if problems:
        now.heed()  # they may be a newer run's doing
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        raise RollbackError(
            f"not all is as it was before: {problems[0].splitlines()[0]}{more}",
            seen="\n".join(f"- {problem}" for problem in dict.fromkeys(problems)),
            do="Mend these by hand, or deploy a release that is good; the next run goes on from"
            " what was there before.",
        )
    return (*way.notes, *staying)


def begin_to_remove_all(
    cluster: Cluster, objects: Sequence[Placed], alive: Mapping[str, Object]
) -> list[str]:
    """Without waiting: what comes back has the first claim to the time that there is."""

    def one(placed: Placed) -> None:
        _tell_removal(placed)
        apply.begin_to_remove(cluster, placed, alive[placed.key])

    return _problems_of(one, objects)


def _tell_removal(placed: Placed) -> None:
    log.info("removing %s: it was not there before", placed.label)


def remove_all(
    cluster: Cluster, objects: Sequence[Placed], alive: Mapping[str, Object], deadline: float
) -> list[str]:
    """All at once, for each may take its grace period; what went wrong with some."""
    return _problems_of(
        lambda placed: apply.remove(cluster, placed, alive[placed.key], deadline), objects
    )


def _problems_of(act: Callable[[Placed], None], objects: Sequence[Placed]) -> list[str]:
    def one(placed: Placed) -> str:
        try:
            act(placed)
        except Superseded:
            raise
        except FerryError as error:
            return _told(placed, error)
        return ""

    return [problem for problem in side_by_side(one, objects) if problem]


def ours(objects: Sequence[Placed], cluster: Cluster, release: str) -> list[tuple[Placed, Object]]:
    """Those that are there now and that this release (its mark) applied; somebody else's of the
    same name are not."""
    found = ((placed, _live(cluster, placed)) for placed in objects)
    return [
        (placed, live)
        for placed, live in found
        if live is not None
        and owned_fields.of_manager(live, FIELD_MANAGER)
        and not other_release(live, release)
    ]


def _live(cluster: Cluster, placed: Placed) -> Object | None:
    return cluster.get(placed.resource, placed.manifest.name, placed.namespace)


def _seen(
    cluster: Cluster, befores: Sequence[Before], problems: list[str]
) -> Iterator[tuple[Before, Object | None]]:
    """What cannot be looked at does not keep the others from coming back."""
    for before in befores:
        try:
            yield before, _live(cluster, before.placed)
        except FerryError as error:
            problems.append(_told(before.placed, error))


def _restore(
    cluster: Cluster, wanted: Sequence[Placed], deadline: float, made: set[str]
) -> tuple[list[Applied], list[str], list[str]]:
    """What cannot be brought back does not keep the others from coming back. Also the problems, and
    notes of what stays as it is."""
    claims = lasting_claims(cluster, wanted)
    notes = [f"{claim.label} stays as it is now: {WHY_CLAIMS_LAST}" for claim in claims]
    for note in notes:
        log.warning("%s", note)
    answers = dry_run.ask(cluster, [placed for placed in wanted if placed not in claims])
    problems = [_told(refusal.placed, refusal.refused) for refusal in answers.refusals]
    applied: list[Applied] = []
    for change in answers.planned:
        try:
            applied += apply.carry_out(cluster, [change], deadline=deadline, made=made)
        except Superseded:
            raise
        except FerryError as error:
            problems.append(_told(change.placed, error))
    try:
        apply.unstick(cluster, applied)
    except Superseded:
        raise
    except FerryError as error:
        problems.append(_said(error))
    return applied, problems, notes


def lasting_claims(cluster: Cluster, wanted: Sequence[Placed]) -> list[Placed]:
    """Kubernetes lets a claim name its class once, and grow: neither way leads back."""
    claims = [placed for placed in wanted if placed.resource.kind == "PersistentVolumeClaim"]
    refusals = dry_run.ask(cluster, claims).refusals
    return [refusal.placed for refusal in refusals if refusal.refused.code == 422]


def _told(placed: Placed, error: FerryError) -> str:
    """On its first line what is wrong and where, then what to do."""
    if isinstance(error, Refused):
        error = when_it_counted(placed, error)
    named = error.what if placed.label in error.what else f"{placed.label}: {error.what}"
    return "\n  ".join(filter(None, (f"{placed.manifest.place}: {named}", error.do)))


def _said(error: FerryError) -> str:
    return error.message if isinstance(error, Refused) else error.what


def _follow(now: Turn, applied: Sequence[Applied], deadline: float, timeout_s: float) -> list[str]:
    if not applied:
        return []
    log.info("watching what came back")
    board = Board(targets=applied, epoch_s=time.time() - time.monotonic())
    try:
        evidence.until_ready(
            now.cluster, board, deadline=deadline, timeout_s=timeout_s, heed=now.heed
        )
    except RolloutFailed as failure:
        return [f"{failure.what}\n{failure.seen}"]
    return []
