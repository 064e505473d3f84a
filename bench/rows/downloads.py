"""Row i: the download engine alone, into nothing, near and from afar; and what it costs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.data import ModelData
from bench.fast_blob import LATENCY_MS, RATE_MB
from bench.figures import Bar, Row
from bench.peers.downloads import Spent, download
from bench.product import ROOT
from bench.rounds import Contender, take_turns
from bench.session import GIB, MIB, Session
from bench.storage import BY_NAME, Place, S3Place

_FAR = f"{LATENCY_MS} ms, {RATE_MB} MB/s a connection"
_FAST = ("fast server", "fast S3")  # the others are what is waited for, by whomever


def alone(session: Session) -> Iterator[Row]:
    for data in session.scale.download:
        for name, put in BY_NAME.items():
            place = put(session.cloud, data)
            yield from _rows(session, place, data, name, "near")
            if name in _FAST:
                far = place.at(session.cloud.fast_blob.from_afar(place.endpoint))
                yield from _rows(session, far, data, name, _FAR)


def _rows(session: Session, place: Place, data: ModelData, name: str, where: str) -> Iterator[Row]:
    peer = "boto3" if isinstance(place, S3Place) else "azure-storage-blob"
    settings = session.settings(place)
    ours = _Side("ours", data, lambda: _ours(place))
    theirs = _Side(peer, data, lambda: download(place, settings, None))
    taken = take_turns(session.scale.rounds, (ours.contender, theirs.contender))
    case, note = f"{data}, {name}, {where}", f"the peer with {settings}"
    yield Row(
        id="i",
        measure="download alone",
        case=case,
        unit="MiB/s",
        bar=Bar(limit=2, most=False),
        ours=taken["ours"],
        peer=taken[peer],
        peer_name=peer,
        note=note,
    )
    yield Row(
        id="i",
        measure="the client's processor time for it",
        case=case,
        unit="s/GiB",
        bar=Bar(limit=0.5),
        ours=tuple(ours.processor_s_a_gib),
        peer=tuple(theirs.processor_s_a_gib),
        peer_name=peer,
        note=note,
    )


class _Side:
    """One who downloads: its samples are MiB a second, and what the processor did is kept here."""

    def __init__(self, name: str, data: ModelData, run: Callable[[], Spent]) -> None:
        self._size_bytes, self._run = data.size_bytes, run
        self.processor_s_a_gib: list[float] = []
        self.contender = Contender(name=name, run=self._once)

    def _once(self) -> float:
        spent = self._run()
        self.processor_s_a_gib.append(spent.processor_s * GIB / self._size_bytes)
        return self._size_bytes / MIB / spent.seconds


def _ours(place: Place) -> Spent:
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
    seconds, processor_s, taken = done.stdout.split()
    assert int(taken) == place.data.size_bytes, "not all of the model was read"
    return Spent(seconds=float(seconds), processor_s=float(processor_s))
