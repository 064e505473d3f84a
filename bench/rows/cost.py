"""Rows f, g and h: memory, bytes written to disk, bytes on the wire."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from bench import storage
from bench.data import ModelData
from bench.figures import Bar, Row
from bench.meters import TreeWrites
from bench.product import Workspace
from bench.session import MIB, Session
from bench.wire import counted
from testbed import layout

_PUSHED, _TESTED = "fetch build push", "fetch build test push"


def memory(session: Session) -> Iterator[Row]:
    small, large = session.scale.memory_bytes
    peaks = {
        size: tuple(_peak(session, size, _PUSHED) for _ in range(rounds))
        for size, rounds in ((small, session.scale.rounds), (large, 1))
    }
    for size, taken in peaks.items():
        yield _peak_row(size, taken, "fetch, build, push")
    yield _peak_row(small, (_peak(session, small, _TESTED),), "and load, test")
    yield Row(
        id="f",
        measure="growth of the peak with the model",
        case=f"{_data(small)} → {_data(large)}",
        unit="MiB",
        bar=Bar(limit=1.05),
        ours=peaks[large],
        peer=(median(peaks[small]),),
        peer_name="ours, small model",
    )


def _peak(session: Session, size: int, stages: str) -> float:
    session.cloud.new_registry()
    session.cloud.cold_engine()
    workspace = Workspace(session.cloud, "memory", storage.fast(session.cloud, _data(size)))
    return workspace.deliver(stages, watch_memory=True).pss_bytes / MIB


def _peak_row(size: int, taken: tuple[float, ...], stages: str) -> Row:
    return Row(
        id="f",
        measure=f"peak PSS of our process: {stages}",
        case=str(_data(size)),
        unit="MiB",
        bar=Bar(limit=160, of="ours"),
        ours=taken,
        note="smaps_rollup every 20 ms; docker and buildx clients are apart",
    )


def disk(session: Session) -> Iterator[Row]:
    """What a larger model adds to a smaller one's run is the model's; the rest is the app's."""
    large = session.scale.small_bytes
    small = large // 4
    ours, dockerd = _written(session, large)
    ours_small, dockerd_small = _written(session, small)
    case, added = f"{_data(small)} → {_data(large)}", large - small
    yield Row(
        id="g",
        measure="bytes we write to disk a model byte",
        case=case,
        unit="",
        bar=Bar(limit=0.001, of="ours"),
        ours=(max(0, ours - ours_small) / added,),
        note=f"ru_oublock of our process and its clients: {ours_small} and {ours} bytes",
    )
    yield Row(
        id="g",
        measure="bytes dockerd writes a model byte",
        case=case,
        unit="",
        bar=Bar(limit=2.05, of="ours"),
        ours=((dockerd - dockerd_small) / added,),
        note=f"write_bytes of dockerd and its children, {dockerd_small} and {dockerd} bytes",
    )


def _written(session: Session, size: int) -> tuple[int, int]:
    """By our process and its clients, and by dockerd and its children."""
    cloud = session.cloud
    cloud.new_registry()
    cloud.cold_engine()
    workspace = Workspace(cloud, "disk", storage.fast(cloud, _data(size)))
    pid = int((layout.state_dir("engine") / "dockerd.pid").read_text())
    writes = TreeWrites(pid)
    delivery = workspace.deliver(_TESTED)
    return delivery.written_bytes, writes.bytes


def on_the_wire(session: Session) -> Iterator[Row]:
    cloud, size = session.cloud, session.scale.small_bytes
    place = storage.fast(cloud, _data(size))

    def deliver(place: storage.Place | None) -> tuple[int, int]:
        cloud.new_registry()
        cloud.cold_engine()
        wire.mark()
        Workspace(cloud, "wire", place).deliver(_PUSHED, {"registry": wire.registry})
        moved = wire.since_mark()
        return moved.from_source, moved.to_registry

    with counted(cloud, place.endpoint) as wire:
        read, sent = deliver(wire.before(place))
        _, sent_bare = deliver(None)
    note = "counted by toxiproxy, headers included"
    for measure, count, said in (
        ("from the source", read, note),
        ("to the registry", sent - sent_bare, f"{note}; less the same run without a model"),
    ):
        yield Row(
            id="h",
            measure=f"bytes {measure} a model byte",
            case=str(_data(size)),
            unit="",
            bar=Bar(limit=1.005, of="ours"),
            ours=(count / size,),
            note=said,
        )


def _data(size: int) -> ModelData:
    return ModelData(kind="random", size_bytes=size)
