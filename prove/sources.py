"""A model read from each kind of storage, and what may happen to it on the way.

The right bytes, or an error that says that the source changed; and what a fault makes the wire
carry again is what it broke, never the file.
"""

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from modelferry.errors import FerryError, ModelChanged
from modelferry.inputs import read_environment
from modelferry.plan import make_plan, run_context
from modelferry.sources import open_source, resolve_model
from modelferry.sources.ranges import PART_BYTES, in_order, parts_of
from prove.proof import Outcome, Play, Proof, red, right, wrong
from prove.stores import FILE, open_store
from testbed.fault_server import Fault, FaultServer

MIB = 1 << 20
MODEL_BYTES = 20 * MIB - 1000
WINDOW_BYTES = 2 * PART_BYTES  # so that some is asked for late
KINDS = ("blob", "s3", "https", "blob snapshot", "s3 version")
_SLACK_BYTES = MIB  # questions about the model, and their answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a fault may lay hands on."""

    random: Random
    before: FaultServer
    overwrite: Callable[[], None]
    pinned: bool  # by a snapshot or a version: what is written later does not matter

    def place(self) -> int:
        return self.random.randrange(MODEL_BYTES - MIB)

    def early_place(self) -> int:
        """Before the last part is asked for, so that there is an answer left to spoil."""
        return self.place() // 5

    def plan(self, fault: Fault) -> None:
        fault.path = FILE
        self.before.plan(fault)


Break = Callable[[Round], None]


@contextmanager
def opened(env: Mapping[str, str], break_it: Break) -> Iterator[Play]:
    with tempfile.TemporaryDirectory(prefix="prove-sources-") as folder:
        base = Random(folder).randbytes(MODEL_BYTES - 1)

        def play(number: int) -> Outcome:
            kind, _, pin = KINDS[number % len(KINDS)].partition(" ")
            name = f"prove-{uuid.uuid4().hex[:10]}"
            with open_store(kind, env, name, Path(folder)) as store, _cleared(store, pin):
                now, later = b"1" + base, b"2" + base
                query = _put(store, pin, now)
                with store.faults() as before, _environment(store.environment):
                    at = Round(
                        random=Random(number),
                        before=before,
                        overwrite=lambda: store.put(later),
                        pinned=bool(pin),
                    )
                    break_it(at)
                    inputs = store.inputs(before)
                    inputs["stages"] = "fetch"
                    inputs["model"] = inputs["model"].replace(f"{FILE} ", f"{FILE}{query} ")
                    return _read(inputs, at, now)

        yield play


def _put(store: Any, pin: str, body: bytes) -> str:
    """The query that pins it."""
    if pin == "version":
        store.client.put_bucket_versioning(
            Bucket=store.bucket, VersioningConfiguration={"Status": "Enabled"}
        )
        put = store.client.put_object(Bucket=store.bucket, Key=FILE, Body=body)
        return f"?versionId={put['VersionId']}"
    store.put(body)
    if pin == "snapshot":
        return f"?snapshot={store.container.get_blob_client(FILE).create_snapshot()['snapshot']}"
    return ""


def _read(inputs: Mapping[str, str], at: Round, expected: bytes) -> Outcome:
    """As the step does it, into nothing."""
    settings, _ = read_environment(
        {f"INPUT_{name.upper()}": value for name, value in inputs.items()}
    )
    plan = make_plan(settings, run_context({}), environ={}).model
    assert plan, "no model is given"
    (line,) = plan.lines
    (file,) = resolve_model((line,), plan.access, marker=None, version=None).files
    source, taken = open_source(line, plan.access), bytearray()
    pieces = in_order(
        source.read, parts_of(file), connections=source.connections, window_bytes=WINDOW_BYTES
    )
    try:
        for _, piece in pieces:
            taken += piece
    except ModelChanged as error:
        named = file.etag is not None and file.etag in error.seen
        if at.pinned or not named or not expected.startswith(taken):
            return wrong(f"{error} after {len(taken)} bytes")
        return red(str(error))
    except FerryError as error:
        return wrong(f"{error} after {len(taken)} bytes")
    return _judged(at, taken == expected)


def _judged(at: Round, same: bool) -> Outcome:
    planned = at.before.faults.planned
    happened = sum(fault.happened for fault in planned)
    again = max(0, at.before.passed_bytes.get("GET", 0) - MODEL_BYTES)
    if not same:
        return wrong("other bytes")
    if planned and not happened:
        return wrong("the fault did not happen")
    if again > happened * PART_BYTES + _SLACK_BYTES:
        return wrong(f"{again} bytes went over the wire again")
    return right(resent_bytes=again)


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def _cleared(store: Any, pin: str) -> Iterator[None]:
    yield
    if pin == "version":
        listing = store.client.list_object_versions(Bucket=store.bucket)
        for kept in (*listing.get("Versions", ()), *listing.get("DeleteMarkers", ())):
            store.client.delete_object(
                Bucket=store.bucket, Key=kept["Key"], VersionId=kept["VersionId"]
            )
        store.client.put_bucket_versioning(
            Bucket=store.bucket, VersioningConfiguration={"Status": "Suspended"}
        )


def resets(at: Round) -> None:
    for _ in range(at.random.randint(1, 6)):
        at.plan(Fault(kind="reset", after_bytes=at.place()))


def truncates(at: Round) -> None:
    for _ in range(at.random.randint(1, 6)):
        at.plan(Fault(kind="truncate", after_bytes=at.place()))


def gives_short_ranges(at: Round) -> None:
    at.plan(Fault(kind="short", after_bytes=at.early_place(), times=at.random.randint(1, 3)))


def stalls(at: Round) -> None:
    at.plan(Fault(kind="stall", after_bytes=at.place(), stall_s=120))


def refuses(at: Round) -> None:
    at.plan(
        Fault(
            kind="status",
            after_bytes=at.early_place(),
            times=at.random.randint(1, 4),
            status=at.random.choice((500, 503, 429)),
            headers={"Retry-After": "1"},
        )
    )


def is_overwritten(at: Round) -> None:
    place = int(at.random.choice((0.1, 0.5, 0.9)) * MODEL_BYTES)
    at.plan(Fault(kind="act", after_bytes=place, action=at.overwrite))


def is_overwritten_and_resets(at: Round) -> None:
    """What is asked for again after the change must not be mixed with what came before."""

    def overwrite_and_reset() -> None:
        at.overwrite()
        at.plan(Fault(kind="reset"))

    place = int(at.random.choice((0.1, 0.5, 0.9)) * MODEL_BYTES)
    at.plan(Fault(kind="act", after_bytes=place, action=overwrite_and_reset))


def _proof(name: str, rounds: int, break_it: Break) -> Proof:
    return Proof(name=f"sources.{name}", rounds=rounds, open=lambda env: opened(env, break_it))


PROOFS = (
    _proof("undisturbed", 10, lambda _: None),
    _proof("reset", 100, resets),
    _proof("truncated", 100, truncates),
    _proof("short", 50, gives_short_ranges),
    _proof("stalled", 10, stalls),
    _proof("refused", 100, refuses),
    _proof("overwritten", 100, is_overwritten),
    _proof("overwritten-and-reset", 100, is_overwritten_and_resets),
)
