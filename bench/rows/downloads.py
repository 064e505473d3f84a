"""Row i: the download engine alone, into nothing, near and from afar."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from bench.data import ModelData
from bench.figures import Bar, Row
from bench.peers.downloads import download
from bench.product import ROOT
from bench.rounds import Contender, take_turns
from bench.session import MIB, Session
from bench.storage import BY_NAME, Place
from bench.wire import LATENCY_MS, RATE_KB, far_away

_FAR = f"{LATENCY_MS} ms, {RATE_KB // 1000} MB/s a connection"
_PEERS = {"versitygw": "boto3"}


def alone(session: Session) -> Iterator[Row]:
    for data in session.scale.download:
        for name, put in BY_NAME.items():
            place = put(session.cloud, data)
            yield _near_or_far(session, place, data, name, "near")
            with far_away(session.cloud, place) as far:
                yield _near_or_far(session, far, data, name, _FAR)


def _near_or_far(session: Session, place: Place, data: ModelData, name: str, where: str) -> Row:
    peer = _PEERS.get(name, "azure-storage-blob")
    settings = session.settings(place)
    mebibytes = data.size_bytes / MIB
    contenders = (
        Contender(name="ours", run=lambda: mebibytes / _ours(place)),
        Contender(name=peer, run=lambda: mebibytes / partial(download, place, settings, None)()),
    )
    taken = take_turns(session.scale.rounds, contenders)
    return Row(
        id="i",
        measure=f"download alone, {where}",
        case=f"{data}, {name}",
        unit="MiB/s",
        bar=Bar(limit=2, most=False),
        ours=taken["ours"],
        peer=taken[peer],
        peer_name=peer,
        note=f"the peer with {settings}",
    )


def _ours(place: Place) -> float:
    inputs = place.inputs() | {"stages": "fetch"}
    done = subprocess.run(
        [sys.executable, "-m", "bench.engine_download"],
        cwd=Path(__file__).parents[2],
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}:.",
            **{f"INPUT_{name.upper()}": text for name, text in inputs.items()},
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"our download failed\n{done.stderr[-2000:]}")
    seconds, taken = done.stdout.split()
    assert int(taken) == place.data.size_bytes, "not all of the model was read"
    return float(seconds)
