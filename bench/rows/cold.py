"""Rows a, a2 and b: everything is new, the base image alone was pulled already."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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


def pushed(session: Session) -> Iterator[Row]:
    cloud = session.cloud
    for case in session.scale.cold:
        place = BY_NAME[case.storage](cloud, case.data)
        workspace = Workspace(cloud, "cold", place)
        usual = UsualImage(cloud, "cold-usual", place, session.settings(place))
        ours = Contender(
            name="ours",
            prepare=_new(session),
            run=lambda w=workspace: w.deliver("fetch build push").seconds,
        )
        chain = Contender(
            name="docker",
            prepare=_new(session),
            run=lambda u=usual: _all(u.fetch, u.build, u.push),
        )
        buildkit = Contender(
            name="buildkit",
            prepare=_new_buildkit(session),
            run=lambda u=usual: _all(u.fetch, u.build_and_push_uncompressed),
        )
        taken = take_turns(session.scale.rounds, (ours, chain, buildkit))
        told = f"{_NOTE}; the peer downloads with {session.settings(place)}"
        yield _row("a", case, taken, "docker", 0.15, told)
        yield _row("a2", case, taken, "buildkit", 0.30, told)


def started(session: Session) -> Iterator[Row]:
    cloud = session.cloud
    for case in session.scale.tested:
        place = BY_NAME[case.storage](cloud, case.data)
        workspace = Workspace(cloud, "started", place)
        usual = UsualImage(cloud, "started-usual", place, session.settings(place))
        ours = Contender(
            name="ours",
            prepare=_new(session),
            run=lambda w=workspace: w.deliver("fetch build test push").seconds,
        )
        chain = Contender(
            name="docker",
            prepare=_new(session),
            run=lambda u=usual: _all(u.fetch, u.build, u.test, u.push),
        )
        taken = take_turns(session.scale.rounds, (ours, chain))
        yield _row("b", case, taken, "docker", 0.30, _NOTE)


_MEASURES = {
    "a": "cold: fetch, build, push",
    "a2": "cold, against BuildKit's uncompressed push",
    "b": "cold, the image started and asked",
}


def _row(
    row: str, case: Case, taken: dict[str, tuple[float, ...]], peer: str, limit: float, note: str
) -> Row:
    return Row(
        id=row,
        measure=_MEASURES[row],
        case=f"{case.data}, {case.storage}",
        unit="s",
        bar=Bar(limit=limit),
        ours=taken["ours"],
        peer=taken[peer],
        peer_name=peer,
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
