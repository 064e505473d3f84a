"""Rows a, a2 and b: everything is new, the base image alone was pulled already."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from operator import sub

from bench.figures import Bar, Row
from bench.peers.images import UsualImage
from bench.product import Workspace
from bench.rounds import Contender, take_turns
from bench.session import Case, Session
from bench.storage import BY_NAME

_NOTE = (
    "registry empty, build cache and images removed before each run; the base image, 0.28 GiB, was"
    " pulled from another registry: ours copies its layers from there, BuildKit has them as they"
    " came, docker push compresses them again"
)


def delivered(session: Session) -> Iterator[Row]:
    """One docker chain serves rows a and b: in a, the time in which its image was tested is left
    out."""
    cloud = session.cloud
    for case in session.scale.cold:
        place = BY_NAME[case.storage](cloud, case.data)
        workspace = Workspace(cloud, "cold", place)
        usual = UsualImage(cloud, "cold-usual", place, session.settings(place))
        testing_s: list[float] = []
        contenders = (
            Contender(
                name="ours",
                prepare=_new(session),
                run=lambda w=workspace: w.deliver("fetch build push").seconds,
            ),
            Contender(
                name="ours, tested",
                prepare=_new(session),
                run=lambda w=workspace: w.deliver("fetch build test push").seconds,
            ),
            Contender(
                name="docker",
                prepare=_new(session),
                run=lambda u=usual, t=testing_s: _all(
                    u.fetch, u.build, lambda: t.append(_seconds(u.test)), u.push
                ),
            ),
            Contender(
                name="buildkit",
                prepare=_new_buildkit(session),
                run=lambda u=usual: _all(u.fetch, u.build_and_push_uncompressed),
            ),
        )
        taken = take_turns(session.scale.rounds, contenders)
        untested = tuple(map(sub, taken["docker"], testing_s))
        told = f"{_NOTE}; the peer downloads with {session.settings(place)}"
        yield _row("a", case, taken["ours"], untested, "docker", 0.15, told)
        yield _row("a2", case, taken["ours"], taken["buildkit"], "buildkit", 0.30, told)
        yield _row("b", case, taken["ours, tested"], taken["docker"], "docker", 0.30, told)


_MEASURES = {
    "a": "cold: fetch, build, push",
    "a2": "cold, against BuildKit's uncompressed push",
    "b": "cold, the image started and asked",
}


def _row(
    row: str,
    case: Case,
    ours: tuple[float, ...],
    peer: tuple[float, ...],
    peer_name: str,
    limit: float,
    note: str,
) -> Row:
    return Row(
        id=row,
        measure=_MEASURES[row],
        case=f"{case.data}, {case.storage}",
        unit="s",
        bar=Bar(limit=limit),
        ours=ours,
        peer=peer,
        peer_name=peer_name,
        note=note,
    )


def _new(session: Session) -> Callable[[], None]:
    def prepare() -> None:
        session.cloud.new_registry()
        session.cloud.cold_engine()

    return prepare


def _new_buildkit(session: Session) -> Callable[[], None]:
    def prepare() -> None:
        session.cloud.new_registry()
        session.cloud.cold_buildkit()

    return prepare


def _all(*steps: Callable[[], object]) -> None:
    for step in steps:
        step()


def _seconds(step: Callable[[], object]) -> float:
    began = time.monotonic()
    step()
    return time.monotonic() - began
