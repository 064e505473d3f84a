"""Rows c and d: a commit that changes code, and a model that changes while the code stays."""

from __future__ import annotations

from collections.abc import Iterator

from bench import bases, storage
from bench.data import ModelData
from bench.figures import Bar, Row
from bench.manifests import layers
from bench.peers.downloads import USUAL
from bench.peers.images import UsualImage
from bench.product import Workspace
from bench.rounds import Contender, take_turns
from bench.session import MIB, Session
from bench.wire import Moved, Wire, counted

_TESTED, _PUSHED = "fetch build test push", "fetch build push"


def code_changes(session: Session) -> Iterator[Row]:
    for added in session.scale.base_bytes:
        yield from _warm(session, added)
    yield from _warm_bytes(session)
    yield from _fresh_daemon(session)


def _warm(session: Session, base_bytes: int) -> Iterator[Row]:
    """Each size of model in turn, and the same app without one."""
    cloud = session.cloud
    cloud.new_registry()
    cloud.cold_engine()
    base = bases.enlarged(cloud, base_bytes)
    sizes = {str(_data(size)): _data(size) for size in session.scale.commit_bytes}
    workspaces = {
        name: Workspace(cloud, f"commit-{number}", storage.fast(cloud, data), base=base)
        for number, (name, data) in enumerate(sizes.items())
    } | {"none": Workspace(cloud, "commit-none", None, base=base)}
    for workspace in workspaces.values():
        workspace.deliver(_TESTED)
    contenders = [
        Contender(name=n, prepare=w.commit, run=lambda w=w: w.deliver(_TESTED).seconds)
        for n, w in workspaces.items()
    ]
    taken = take_turns(session.scale.rounds, contenders)
    for name in sizes:
        yield Row(
            id="c",
            measure="(1) code commit, all warm",
            case=f"{name}, base {bases.said(base_bytes)}",
            unit="s",
            bar=Bar(limit=1.15),
            ours=taken[name],
            peer=taken["none"],
            peer_name="no model, through us",
        )


def _warm_bytes(session: Session) -> Iterator[Row]:
    cloud, data = session.cloud, _data(session.scale.small_bytes)
    cloud.new_registry()
    cloud.cold_engine()
    place = storage.fast(cloud, data)
    with counted(cloud, place.endpoint) as wire:
        workspace = Workspace(cloud, "commit-wire", wire.before(place))
        workspace.deliver(_TESTED, _through(wire))
        workspace.commit()
        wire.mark()
        workspace.deliver(_TESTED, _through(wire))
        moved = wire.since_mark()
    for measure, count in (("from the source", moved.from_source), ("sent", moved.to_registry)):
        yield Row(
            id="c",
            measure=f"(1) code commit, bytes {measure}",
            case=str(data),
            unit="MiB",
            bar=Bar(limit=1, of="ours"),
            ours=(count / MIB,),
            note="counted by toxiproxy; the changed layer, requests and answers are in it",
        )


def _fresh_daemon(session: Session) -> Iterator[Row]:
    """An engine that has never seen the image; the registry has."""
    data = _data(session.scale.small_bytes)
    place = storage.fast(session.cloud, data)
    usual = _usual_on_fresh_daemon(session, place)
    with counted(session.cloud, place.endpoint) as wire:
        ours, moved, seconds = _ours_on_fresh_daemon(session, place, wire)
    yield Row(
        id="c",
        measure="(2) code commit, fresh daemon: layers changed and sent",
        case=str(data),
        unit="layers",
        bar=Bar(limit=1, of="ours"),
        ours=(len(ours),),
        peer=(len(usual),),
        peer_name="docker, inline cache",
        note=f"took {seconds:.1f} s, the base image's pull included",
    )
    yield Row(
        id="c",
        measure="(2) code commit, fresh daemon: bytes sent",
        case=str(data),
        unit="MiB",
        bar=Bar(limit=1, of="ours"),
        ours=(moved.to_registry / MIB,),
        peer=(sum(usual.values()) / MIB,),
        peer_name="docker, inline cache",
        note="ours counted by toxiproxy, the peer's are its new layers",
    )


def _usual_on_fresh_daemon(session: Session, place: storage.BlobPlace) -> dict[str, int]:
    """The layers that were not there before, and their sizes."""
    cloud = session.cloud
    cloud.new_registry()
    cloud.cold_engine()
    usual = UsualImage(cloud, "fresh-usual", place, USUAL)
    usual.fetch()
    usual.build("--cache-to", "type=inline")
    usual.push()
    before = layers(usual.repository, "latest")
    cloud.new_engine()
    usual.commit()
    usual.build("--cache-to", "type=inline", "--cache-from", usual.image)
    usual.push()
    return _new(before, layers(usual.repository, "latest"))


def _ours_on_fresh_daemon(
    session: Session, place: storage.BlobPlace, wire: Wire
) -> tuple[dict[str, int], Moved, float]:
    cloud = session.cloud
    cloud.new_registry()
    cloud.cold_engine()
    workspace = Workspace(cloud, "fresh", wire.before(place))
    workspace.deliver(_PUSHED, _through(wire))
    before = layers(workspace.repository, "main")
    cloud.new_engine()
    workspace.commit()
    wire.mark()
    delivery = workspace.deliver(_PUSHED, _through(wire))
    moved = wire.since_mark()
    return _new(before, layers(workspace.repository, "main")), moved, delivery.seconds


def model_changes(session: Session) -> Iterator[Row]:
    first, second = (
        storage.fast(session.cloud, _data(session.scale.small_bytes, seed=seed)) for seed in (0, 1)
    )
    with counted(session.cloud, first.endpoint) as wire:
        yield from _other_model(session, first, second, wire)


def _other_model(
    session: Session, first: storage.BlobPlace, second: storage.BlobPlace, wire: Wire
) -> Iterator[Row]:
    cloud, size = session.cloud, first.data.size_bytes
    cloud.new_registry()
    cloud.cold_engine()
    workspace = Workspace(cloud, "model", wire.before(first))
    usual = UsualImage(cloud, "model-usual", first, USUAL)
    workspace.deliver(_PUSHED, _through(wire))
    usual.fetch()
    usual.build()
    usual.push()
    before, usual_before = layers(workspace.repository, "main"), layers(usual.repository, "latest")
    usual.change_model(second)
    wire.mark()
    workspace.deliver(_PUSHED, _through(wire) | wire.before(second).inputs())
    moved = wire.since_mark()
    usual.fetch()
    usual.build()
    usual.push()
    app_layers = [
        s for s in _new(before, layers(workspace.repository, "main")).values() if s < size
    ]
    usual_new = _new(usual_before, layers(usual.repository, "latest"))
    yield Row(
        id="d",
        measure="new model, same code: app layers rebuilt or sent",
        case=str(first.data),
        unit="layers",
        bar=Bar(limit=0, of="ours"),
        ours=(len(app_layers),),
        peer=(len(usual_new),),
        peer_name="docker; code and model are one layer",
    )
    yield Row(
        id="d",
        measure="new model, same code: bytes sent a model byte",
        case=str(first.data),
        unit="",
        bar=Bar(limit=1.005, of="ours"),
        ours=(moved.to_registry / size,),
        peer=(sum(usual_new.values()) / size,),
        peer_name="docker, gzip",
        note="ours counted by toxiproxy, the peer's are its new layers",
    )


def _through(wire: Wire) -> dict[str, str]:
    return {"registry": wire.registry}


def _new(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    return {digest: size for digest, size in after.items() if digest not in before}


def _data(size: int, seed: int = 0) -> ModelData:
    return ModelData(kind="fp16", size_bytes=size, seed=seed)
