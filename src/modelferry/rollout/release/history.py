"""What a release was before and is now: bounded records, kept in one Secret of the namespace.

A Secret, for manifests hold passwords; one, so that `get`, `create` and `patch` of that name are
all it takes. Its annotations say the same to people: `kubectl describe secret modelferry.NAME`.
"""

from __future__ import annotations

import base64
import json
import logging
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from textwrap import shorten
from typing import Any

from modelferry.errors import Fault, InputError
from modelferry.rollout.changes.decide import essence
from modelferry.rollout.changes.marks import OURS
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.release.rollback import Before, placed_from_json, placed_to_json
from modelferry.rollout.release.stale import Intent

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]

LIMIT = 10
_MOST_NEEDED = 3
_MOST_BYTES = 700_000  # in base64 that is below the 1 MiB that a Secret may have, with room
_KEY = re.compile(r"v([0-9]+)")
_LONGEST_WHY = 300
_LOST = "its manifests were too large to keep: no way back to it"
_OBJECTS = ("manifests", "before", "unread")

# A release ends so, and what runs then is known.
SUCCEEDED, ROLLED_BACK, RETURNED = "succeeded", "rolled-back", "returned-to"
# Or so, and what it found is still what to return to.
PENDING, FAILED, ROLLBACK_FAILED = "pending", "failed", "rollback-failed"
SUPERSEDED, INTERRUPTED, CANCELLED = "superseded", "interrupted", "cancelled"
UNREADABLE = "unreadable"
GOOD = (SUCCEEDED, RETURNED)
_SETTLED = (*GOOD, ROLLED_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    number: int
    verdict: str
    image: str  # as the manifests have it
    digest: str
    run: str  # Intent
    started: str  # ISO 8601, UTC
    model_version: str = ""
    commit: str = ""
    of: int | None = None  # the release that this one returned to
    why: str = ""  # of a failure, its first line
    manifests: tuple[Placed, ...] = ()  # as applied; empty: they were too large to keep
    created: tuple[str, ...] = ()  # keys of the objects that were not there before
    made: tuple[str, ...] | None = None  # uids of those that our applies made; None: not noted
    before: tuple[Before, ...] = ()  # what to return to; empty once it is settled
    unread: str = ""  # as it is kept, where we cannot read it

    @property
    def intent(self) -> Intent:
        return Intent.parse(self.run)

    @property
    def is_good(self) -> bool:
        return self.verdict in GOOD

    @property
    def is_live(self) -> bool:
        """What it applied is what the cluster has, wholly or in part."""
        return self.verdict not in (ROLLED_BACK, UNREADABLE)

    @property
    def is_lost(self) -> bool:
        """It was good, and nobody can return to it."""
        return self.verdict == SUCCEEDED and not self.manifests

    @property
    def unsettled(self) -> tuple[Before, ...]:
        return () if self.verdict in _SETTLED else self.before

    @property
    def said(self) -> str:
        if self.verdict == UNREADABLE:
            return "cannot be read by this version"
        of = f" {self.of}" if self.of else ""
        parts = (  # `kubectl describe` cuts them off after 140 characters
            f"{self.verdict}{of} {self.started}",
            f"run {self.intent.label}",
            f"commit {self.commit[:12]}" if self.commit else "",
            f"model {self.model_version}" if self.model_version else "",
            self.why or (_LOST if self.is_lost else ""),
            f"image {self.image}",
        )
        return " · ".join(part for part in parts if part)

    def ended(self, verdict: str, why: str = "") -> Record:
        before = () if verdict in _SETTLED else self.before
        why = shorten(why, _LONGEST_WHY, placeholder=" …")
        return replace(self, verdict=verdict, why=why, before=before)


def secret_name(release: str) -> str:
    return f"modelferry.{release}"


def to_secret(release: str, records: Sequence[Record]) -> Object:
    """`records` newest first. Where there is no room for all manifests, those go first that
    nobody can return to, the oldest before the others; one that is too large alone costs none of
    them."""
    kept = {record.number: record for record in _kept(records)}
    data = {number: _pack(record) for number, record in kept.items()}
    newest = max(kept)
    alone = len(data[newest]) > _MOST_BYTES

    def turn(record: Record) -> tuple[bool, bool, int]:
        return (record.number == newest) is not alone, record.is_good, record.number

    for record in sorted(kept.values(), key=turn):
        if sum(map(len, data.values())) <= _MOST_BYTES:
            break
        before = record.before if record.number == newest else ()
        bare = replace(record, manifests=(), before=before, unread="")
        if record.manifests and bare.is_lost:
            log.warning("release %d: %s", record.number, _LOST)
        kept[record.number], data[record.number] = bare, _pack(bare)
    if sum(map(len, data.values())) > _MOST_BYTES:
        data[newest] = _pack(replace(kept[newest], before=()))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": OURS + "history",
        "metadata": {
            "name": secret_name(release),
            "labels": {OURS + "release": release},
            "annotations": {f"{OURS}v{number}": one.said for number, one in kept.items()},
        },
        "data": {f"v{number}": text for number, text in data.items()},
    }


def merged(own: Record, found: Sequence[Record]) -> tuple[Record, ...]:
    """`own` among what another run has written meanwhile; under the next number, if it has taken
    ours. Newest first: of two runs that did not know of one another, each stays."""
    others = [record for record in found if not is_same(record, own)]
    if any(record.number == own.number for record in others):
        own = replace(own, number=max(record.number for record in others) + 1)
    return tuple(sorted((own, *others), key=lambda record: record.number, reverse=True))


def is_same(one: Record, other: Record) -> bool:
    """Of one run; a run may come back within the second, under the next number."""
    return (one.number, one.run, one.started) == (other.number, other.run, other.started)


def _kept(records: Sequence[Record]) -> tuple[Record, ...]:
    """The newest, and what runs and can be returned to, however many have failed since."""
    now = current(records)
    firsts = _firsts([record for record in records if record.verdict == SUCCEEDED])
    needed = {record.number for record in (*firsts[:_MOST_NEEDED], *([now] if now else []))}
    others = [record.number for record in records if record.number not in needed]
    numbers = needed.union(others[: LIMIT - len(needed)])
    return tuple(record for record in records if record.number in numbers)


def _firsts(succeeded: Sequence[Record]) -> list[Record]:
    """Of several in a row that are the same, the first: it knows which objects it brought."""
    olders = (*succeeded[1:], None)
    return [
        record
        for record, older in zip(succeeded, olders, strict=False)
        if older is None or not same(record, older)
    ]


def same(one: Record, other: Record) -> bool:
    """A run without news: nothing would change between the two."""
    if one.digest != other.digest or not (one.manifests and other.manifests):
        return False
    return _essence(one) == _essence(other)


def _essence(record: Record) -> Mapping[str, Object]:
    return {placed.key: essence(placed.body) for placed in record.manifests}


def of_secret(secret: Object) -> tuple[Record, ...]:
    """Newest first."""
    data: Mapping[str, str] = secret.get("data") or {}
    found = [_read(int(match[1]), data[key]) for key in data if (match := _KEY.fullmatch(key))]
    return tuple(sorted(found, key=lambda record: record.number, reverse=True))


def _read(number: int, text: str) -> Record:
    """One that is damaged, or of a version with another form, must not end a deploy."""
    try:
        return _unpack(text)
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
        log.warning("record %d of this release cannot be read: %r", number, error)
        return Record(
            number=number,
            verdict=UNREADABLE,
            image="",
            digest="",
            run="",
            started="",
            unread=text,
        )


def _pack(record: Record) -> str:
    if record.unread:
        return record.unread
    plain = {f.name: getattr(record, f.name) for f in fields(Record) if f.name not in _OBJECTS}
    body = {
        **plain,
        "manifests": [placed_to_json(placed) for placed in record.manifests],
        "before": [before.to_json() for before in record.before],
    }
    return base64.b64encode(zlib.compress(json.dumps(body).encode(), 9)).decode()


def _unpack(text: str) -> Record:
    body = json.loads(zlib.decompress(base64.b64decode(text)))
    known = {f.name: body[f.name] for f in fields(Record) if f.name in body}
    return Record(
        **{
            **known,
            "created": tuple(body["created"]),
            "made": None if body.get("made") is None else tuple(body["made"]),
            "manifests": tuple(map(placed_from_json, body["manifests"])),
            "before": tuple(map(Before.from_json, body["before"])),
        }
    )


def current(records: Sequence[Record]) -> Record | None:
    """What the cluster has on purpose."""
    return next((record for record in records if record.is_good), None)


def chosen(records: Sequence[Record], to: str | None, release: str) -> Record:
    """The release to return to: its number, its digest (or the first digits of it), or the one
    before the current one. Raises InputError with what there is."""
    good = [record for record in records if record.verdict == SUCCEEDED]
    now = current(records)
    if to is None:
        newest = (now.of or now.number) if now else 0
        others = (one for one in good if one.number < newest and not (now and same(one, now)))
        found = next(others, None)
        problem = f"release {release} has none before the current one that differs from it"
    elif to.isdigit():
        found = next((record for record in good if record.number == int(to)), None)
        problem = f"release {release} has no such number that succeeded"
    else:
        wanted = to if to.startswith("sha256:") else f"sha256:{to}"
        found = next((record for record in good if record.digest.startswith(wanted)), None)
        problem = f"release {release} has no such digest that succeeded"
    if found and not found.manifests:
        problem, found = f"the manifests of {found.number} were too large to keep", None
    if found is None:
        kept = (record for record in good if record.manifests)
        there = ", ".join(f"{record.number} ({record.digest[:19]})" for record in kept)
        raise InputError(
            Fault(name="to", given=to, allowed=f"{problem}; there are: {there or '-'}")
        )
    return found


def table(records: Sequence[Record]) -> str:
    """For people, newest first."""
    rows = [("release", "verdict", "started", "digest", "model", "commit", "run", "")]
    now = current(records)
    for record in records:
        of = f" {record.of}" if record.of else ""
        rows.append(
            (
                f"{record.number}{' *' if record is now else ''}",
                record.verdict + of,
                record.started,
                record.digest[:19],
                record.model_version or "-",
                record.commit[:12] or "-",
                record.intent.label,
                record.why or (_LOST if record.is_lost else ""),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
