"""Rows e and k: a run that finds nothing changed, and how it starts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bench import storage
from bench.data import ModelData
from bench.figures import Bar, Row
from bench.peers.downloads import USUAL
from bench.peers.images import UsualImage
from bench.product import Workspace
from bench.rounds import Contender, take_turns
from bench.session import MIB, Session
from bench.wire import counted

_STAGES = "fetch build test push"
_IMPORT = re.compile(r"^import time:\s+(\d+) \|", re.MULTILINE)  # self, in microseconds


def delivered_again(session: Session) -> Iterator[Row]:
    cloud = session.cloud
    cloud.new_registry()
    cloud.cold_engine()
    place = storage.fast(cloud, _data(session))
    workspace = Workspace(cloud, "again", place)
    usual = UsualImage(cloud, "again-usual", place, USUAL)
    workspace.deliver(_STAGES)
    for step in (usual.fetch, usual.build, usual.push):
        step()

    def rebuild() -> None:
        usual.build()
        usual.push()

    ours = Contender(name="ours", run=lambda: workspace.deliver(_STAGES).seconds)
    taken = take_turns(session.scale.rounds, (ours, Contender(name="docker", run=rebuild)))
    yield Row(
        id="e",
        measure="nothing changed",
        case=str(place.data),
        unit="s",
        bar=Bar(limit=2, of="ours"),
        ours=taken["ours"],
        peer=taken["docker"],
        peer_name="docker, all cached, model not fetched again",
    )
    yield from _bytes_of_nothing(session)


def _bytes_of_nothing(session: Session) -> Iterator[Row]:
    place = storage.fast(session.cloud, _data(session))
    with counted(session.cloud, place.endpoint) as wire:
        workspace = Workspace(session.cloud, "again-wire", wire.before(place))
        workspace.deliver(_STAGES, {"registry": wire.registry})
        images = _images(session)
        wire.mark()
        again = workspace.deliver(_STAGES, {"registry": wire.registry})
        moved = wire.since_mark()
    reused = again.report["pushed"]["reused"]
    made = len(_images(session) - images)
    yield Row(
        id="e",
        measure="nothing changed, bytes from source and to registry",
        case=str(place.data),
        unit="MiB",
        bar=Bar(limit=0.1, of="ours"),
        ours=((moved.from_source + moved.to_registry) / MIB,),
        note=f"counted by toxiproxy; image-reused {reused}, {made} new images in the engine",
    )


def start_up(session: Session) -> Iterator[Row]:
    session.cloud.new_registry()
    place = storage.fast(session.cloud, _data(session))
    workspace = Workspace(session.cloud, "start", place)
    workspace.deliver(_STAGES)
    runs = [workspace.deliver(_STAGES) for _ in range(session.scale.rounds)]
    yield Row(
        id="k",
        measure="start to first log line",
        case="nothing changed",
        unit="ms",
        bar=Bar(limit=300, of="ours"),
        ours=tuple(run.first_line_s * 1000 for run in runs),
    )
    logs = [
        workspace.deliver(_STAGES, python=("-X", "importtime")).log
        for _ in range(session.scale.rounds)
    ]
    yield Row(
        id="k",
        measure="all imports of the run",
        case="nothing changed",
        unit="ms",
        bar=Bar(limit=600, of="ours"),
        ours=tuple(sum(map(int, _IMPORT.findall(log))) / 1000 for log in logs),
        note="the sum that `python -X importtime` prints, its own cost included",
    )


def _images(session: Session) -> set[str]:
    return set(session.cloud.docker("images", "--all", "--quiet", "--no-trunc").split())


def _data(session: Session) -> ModelData:
    return ModelData(kind="fp16", size_bytes=session.scale.small_bytes)
