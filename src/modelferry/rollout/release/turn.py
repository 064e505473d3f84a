"""A run's turn at a release: alone by its Lease, not after a newer run, on record from the first
write to the verdict."""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from modelferry.cluster.access_review import Own
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import LEASES, SECRETS
from modelferry.cluster.transport import Refused
from modelferry.errors import Cancelled, FerryError, RolloutError
from modelferry.rollout.changes.decide import Change
from modelferry.rollout.changes.marks import OURS, other_release, release_mark, said
from modelferry.rollout.release import history, stale, waiting
from modelferry.rollout.release.book import Book
from modelferry.rollout.release.history import Record
from modelferry.rollout.release.lease import Hold, Superseded, within
from modelferry.rollout.release.rollback import Before
from modelferry.rollout.release.stale import Intent

log = logging.getLogger("modelferry.rollout")

_CANCEL_S = 1.5


@dataclass(slots=True, kw_only=True)
class Turn:
    """`record` is this run's own, once it has begun to write. `cluster` asks before each try of a
    write whether it still is our turn."""

    cluster: Cluster
    release: str
    namespace: str
    intent: Intent
    hold: Hold | None
    records: tuple[Record, ...]  # of earlier runs, newest first
    book: Book | None  # None where no records are kept
    record: Record | None = None
    is_on_record: bool = False
    made: set[str] = field(default_factory=set)  # uids of what applies of this release have made

    @property
    def inherited(self) -> tuple[Before, ...]:
        """What a run that came to no good end had found, and never brought back."""
        return self.records[0].unsettled if self.records else ()

    @property
    def has_good(self) -> bool:
        return history.current(self.records) is not None

    @property
    def number(self) -> int | None:
        return self.record.number if self.record and self.is_on_record else None

    def check(self) -> None:
        """Before each write. Raises Superseded."""
        if self.hold:
            self.hold.check()

    def heed(self) -> None:
        """While we only look on. Raises Superseded, also to make way for a newer run."""
        if self.hold:
            self.hold.heed()

    def begin(self, record: Record) -> None:
        """From here on, a run that finds this record knows what there was before."""
        number = self.records[0].number + 1 if self.records else 1
        self.record = replace(record, number=number)
        self._write()

    def end(self, verdict: str, why: str = "") -> None:
        if self.record is not None:
            ended = self.record.ended(verdict, " ".join(why.split()))
            self.record = replace(ended, made=tuple(sorted(self.made)))
            self._write()

    def cut_off(self) -> None:
        """A verdict that was about to be written is written once more: it stands."""
        if self.record and self.record.verdict == history.PENDING:
            self.end(history.CANCELLED)
        else:
            self._write()

    def _write(self) -> None:
        """A history that cannot be written is no reason to fail a rollout, or to leave it half."""
        if self.record is None or self.book is None:
            return
        try:
            self.record = self.book.write(self.record)
            self.is_on_record = True
        except FerryError as error:
            code = error.code if isinstance(error, Refused) else None
            if code == 404:  # the namespace comes with this very set
                return
            if code == 403:
                self.book = None
            said = error.message if isinstance(error, Refused) else error.what
            then = believed(self.record.verdict, is_on_record=self.is_on_record)
            log.warning("the record of this release could not be written: %s; %s", said, then)


def believed(verdict: str, *, is_on_record: bool) -> str:
    """What the next run takes this one for, when `verdict` could not be written. Pure."""
    if not is_on_record:
        return "for the next run it never was"
    if verdict in history.GOOD:
        return (
            "the next run takes it for interrupted, and returns to what was there before it when"
            " it fails: deploy this release again"
        )
    return "the next run takes it for interrupted"


def left(verdict: str, *, is_on_record: bool) -> str:
    """What a cancel leaves behind, after the first write. Pure."""
    if verdict != history.PENDING:
        return f"It came after the verdict of this release: {verdict}."
    back = (
        "returns to what was there before this one"
        if is_on_record
        else "goes by what is there then"
    )
    return (
        "The rollout is left half done: what the log calls applied stays as it is, and nothing is"
        f" watched or undone. The next run takes it up from there; if that fails, it {back}."
    )


@contextmanager
def taken(
    cluster: Cluster,
    release: str,
    namespace: str,
    intent: Intent,
    *,
    wait_s: float,
    allow_older: bool = False,
) -> Generator[Turn]:
    """Raises Superseded for a run that is too old; waits for one that writes at the moment."""
    hold = waiting.take(cluster, release, namespace, intent, wait_s=wait_s, allow_older=allow_older)
    try:
        book = Book(cluster, release, namespace)
        found = _read(book)
        if not allow_older:
            guard(intent, found or ())
        if found and found[0].verdict == history.PENDING:
            log.warning("%s came to no end; going on from there", found[0].intent.name)
        now = Turn(
            cluster=cluster.on(permit=hold.check) if hold else cluster,
            release=release,
            namespace=namespace,
            intent=intent,
            hold=hold,
            records=found or (),
            book=book if found is not None else None,
        )
        try:
            yield now
        except Cancelled as cancelled:
            if now.record:
                cancelled.add_note(left(now.record.verdict, is_on_record=now.is_on_record))
                within(_CANCEL_S, now.cut_off)
            raise
    finally:
        if hold:
            hold.release()


def own(release: str, namespace: str) -> tuple[Own, ...]:
    """What a run keeps for itself in the namespace, if it may."""
    record = "no history is kept, and a rollback goes by the live objects"
    return (
        Own(resource=SECRETS, namespace=namespace, name=history.secret_name(release), loss=record),
        Own(
            resource=LEASES,
            namespace=namespace,
            name=waiting.lease_name(release),
            loss="nothing keeps two runs of this release apart",
        ),
    )


def read(cluster: Cluster, release: str, namespace: str) -> tuple[Record, ...] | None:
    """Newest first. None, with a word in the log, where we may not look."""
    return _read(Book(cluster, release, namespace))


def _read(book: Book) -> tuple[Record, ...] | None:
    try:
        return book.read()
    except Refused as refused:
        if refused.code != 403:
            raise
        log.warning(
            "no history of this release is kept, it goes by the live objects: %s", refused.message
        )
        return None


def guard(intent: Intent, records: Sequence[Record]) -> None:
    """Raises Superseded, naming the newer run, when one has deployed."""
    deployed = [record for record in records if record.is_live]
    winner = stale.newer(intent, (record.intent for record in deployed))
    if winner is None:
        return
    record = next(record for record in deployed if record.intent == winner)
    raise too_old(intent, winner, record.said)


def too_old(intent: Intent, winner: Intent, seen: str) -> RolloutError:
    return Superseded(
        f"{winner.name} has deployed this release, and is newer than {intent.name}",
        seen=seen,
        do="Nothing, or set `allow-older: true` to deploy the older one; running this job again"
        " counts as wanting it now.",
    )


def marks(
    intent: Intent, release: str, namespace: str, digest: str, model_version: str
) -> Mapping[str, str]:
    """Annotations: without a history they say who was here last."""
    return {
        "run": str(intent),
        "release": release_mark(release, namespace),
        "image-digest": digest,
        "model-version": model_version,
    }


def guard_live(intent: Intent, release: str, namespace: str, planned: Iterable[Change]) -> None:
    """As `guard`, by what the live objects say."""
    for change in planned:
        run = said(change.live or {}).get(OURS + "run")
        if run and not other_release(change.live, release_mark(release, namespace)):
            winner = stale.newer(intent, [Intent.parse(run)])
            if winner:
                raise too_old(intent, winner, f"{change.placed.label} says so.")


def now_utc() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
