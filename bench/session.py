"""What a row gets: the cloud, and how large and how often things are done in this run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.cloud import Cloud
from bench.data import ModelData
from bench.peers.downloads import GRID, USUAL, Settings, best_settings
from bench.storage import Place

MIB = 1024**2
GIB = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model, and the storage (by its name in bench.storage) that it is read from."""

    storage: str
    data: ModelData


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    rounds: int
    cold: tuple[Case, ...]
    commit_bytes: tuple[int, ...]  # models under a code commit, the least first
    base_bytes: tuple[int, ...]  # added to the base image; 0: the base as it is
    small_bytes: int  # the model of rows where its size matters little
    memory_bytes: tuple[int, int]
    download: tuple[ModelData, ...]
    node_bytes: int
    grid: tuple[Settings, ...]  # of the peers' settings; the first of a single one is taken


def _data(kind: str, size: int, files: int = 1) -> ModelData:
    return ModelData(kind=kind, size_bytes=size, files=files)


FULL = Scale(
    rounds=5,
    cold=(
        Case(storage="fast server", data=_data("fp16", 2 * GIB)),
        Case(storage="fast server", data=_data("random", 2 * GIB, 8)),
        Case(storage="fast server", data=_data("fp16", 2 * GIB, 8)),
        Case(storage="fast server", data=_data("random", 2 * GIB)),
    ),
    commit_bytes=(GIB // 10, GIB, 4 * GIB),
    base_bytes=(0, 7 * GIB // 4),
    small_bytes=GIB // 2,
    memory_bytes=(GIB // 2, 8 * GIB),
    download=(_data("random", 2 * GIB), _data("random", 2 * GIB, 8)),
    node_bytes=GIB,
    grid=GRID,
)
QUICK = Scale(
    rounds=3,
    cold=(
        Case(storage="fast server", data=_data("fp16", GIB // 2)),
        Case(storage="azurite", data=_data("random", GIB // 4, 8)),
    ),
    commit_bytes=(GIB // 10, GIB // 2),
    base_bytes=(0,),
    small_bytes=GIB // 4,
    memory_bytes=(GIB // 2, 2 * GIB),
    download=(_data("random", GIB // 2),),
    node_bytes=GIB // 2,
    grid=(USUAL,),
)
# Says whether all rows work, on a machine that others use; its figures mean nothing.
TINY = Scale(
    rounds=1,
    cold=(Case(storage="azurite", data=_data("random", 64 * MIB, 8)),),
    commit_bytes=(MIB, 64 * MIB),
    base_bytes=(0,),
    small_bytes=64 * MIB,
    memory_bytes=(64 * MIB, 128 * MIB),
    download=(_data("random", 64 * MIB),),
    node_bytes=64 * MIB,
    grid=(USUAL,),
)


class Session:
    def __init__(self, cloud: Cloud, scale: Scale) -> None:
        self.cloud, self.scale = cloud, scale
        self._best: dict[tuple[str, str], Settings] = {}

    def settings(self, place: Place) -> Settings:
        """At which the peer reads this storage most quickly; looked for once."""
        grid: Sequence[Settings] = self.scale.grid
        if len(grid) == 1:
            return grid[0]
        key = (place.name, place.endpoint)
        if key not in self._best:
            self._best[key] = best_settings(place, grid)
        return self._best[key]
