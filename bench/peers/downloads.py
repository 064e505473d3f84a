"""Runs the peers' downloads, and finds the settings at which each is quickest."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bench.storage import Place

log = logging.getLogger("bench")
_MIB = 1024 * 1024
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    concurrency: int
    part_bytes: int

    def __str__(self) -> str:
        return f"{self.concurrency} connections, parts of {self.part_bytes // _MIB} MiB"


GRID = tuple(
    Settings(concurrency=concurrency, part_bytes=part * _MIB)
    for concurrency, part in (
        *((1, 32), (2, 16), (2, 32), (4, 8), (8, 4), (8, 16)),
        *((16, 8), (16, 16), (32, 8), (32, 32)),
    )
)
USUAL = Settings(concurrency=8, part_bytes=8 * _MIB)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """From the first request to the last byte."""

    seconds: float
    processor_s: float  # the client's own


def download(place: Place, settings: Settings, folder: Path | None) -> Spent:
    """Into nothing without a folder."""
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    orders = place.client() | {
        "blobs": place.data.blobs,
        "folder": str(folder) if folder else "",
        "concurrency": settings.concurrency,
        "part": settings.part_bytes,
    }
    done = subprocess.run(
        [sys.executable, "-m", "bench.peers.download"],
        cwd=_ROOT,
        input=json.dumps(orders),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{place.name}: the peer's download failed\n{done.stderr[-2000:]}")
    seconds, processor_s = map(float, done.stdout.split())
    return Spent(seconds=seconds, processor_s=processor_s)


def best_settings(place: Place, grid: Iterable[Settings] = GRID) -> Settings:
    """The quickest of one try each."""
    found = {settings: download(place, settings, None).seconds for settings in grid}
    best = min(found, key=lambda settings: found[settings])
    log.info("  %s: best at %s (%s)", place.name, best, _figures(found))
    return best


def _figures(found: dict[Settings, float]) -> str:
    return ", ".join(
        f"{s.concurrency} x {s.part_bytes // _MIB} {t:.2f} s" for s, t in found.items()
    )
