"""Row j: what a node pulls and unpacks after a commit that changed code."""

from __future__ import annotations

from collections.abc import Iterator

from bench import storage
from bench.data import ModelData
from bench.figures import Bar, Row
from bench.peers.downloads import USUAL
from bench.peers.images import UsualImage
from bench.peers.node import Node
from bench.product import Workspace
from bench.rounds import Contender, take_turns
from bench.session import Session


def pulls(session: Session) -> Iterator[Row]:
    cloud = session.cloud
    cloud.new_registry()
    cloud.cold_engine()
    place = storage.fast(cloud, ModelData(kind="fp16", size_bytes=session.scale.node_bytes))
    workspace = Workspace(cloud, "node", place)
    usual = UsualImage(cloud, "node-usual", place, USUAL)
    usual.fetch()
    current = ""

    def deliver() -> None:
        nonlocal current
        workspace.commit()
        current = workspace.deliver("fetch build push").report["pushed"]["image"]

    def push_usual() -> None:
        usual.commit()
        usual.build()
        usual.push()

    node = Node(cloud)
    node.start()
    try:
        deliver()
        push_usual()
        first, first_usual = node.pull(current), node.pull(usual.image)
        ours = Contender(name="ours", prepare=deliver, run=lambda: node.pull(current))
        peer = Contender(name="docker", prepare=push_usual, run=lambda: node.pull(usual.image))
        taken = take_turns(session.scale.rounds, (ours, peer))
    finally:
        node.stop()
    yield Row(
        id="j",
        measure="node's pull after a code commit",
        case=str(place.data),
        unit="s",
        bar=Bar(limit=0.03),
        ours=taken["ours"],
        peer=taken["docker"],
        peer_name="docker; code and model are one layer",
        note=f"the first pulls took {first:.2f} s and {first_usual:.2f} s",
    )
