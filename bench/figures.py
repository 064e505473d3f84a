"""What a benchmark gives: samples of ours and of the peer's, and the bar they are held to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    limit: float
    of: Literal["ratio", "ours"] = "ratio"
    most: bool = True  # the limit is the most that is good; False: the least

    def met(self, value: float) -> bool:
        return value <= self.limit if self.most else value >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.most else '≥'} {self.limit:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. A measure taken over several kinds of data has a row for each."""

    id: str
    measure: str
    case: str  # data, size, layout and source
    unit: str
    bar: Bar
    ours: tuple[float, ...]
    peer: tuple[float, ...] = ()
    peer_name: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        if not self.ours:
            raise ValueError(f"row {self.id} ({self.measure}) has no sample")
        if self.bar.of == "ratio" and not self.peer:
            raise ValueError(f"row {self.id} ({self.measure}) is held to a ratio and has no peer")

    @property
    def ratio(self) -> float | None:
        """Of the medians, so that the table's own columns give it; None without a peer, and where
        the peer's is nothing."""
        return median(self.ours) / median(self.peer) if self.peer and median(self.peer) else None

    @property
    def met(self) -> bool:
        value = self.ratio if self.bar.of == "ratio" else median(self.ours)
        return value is not None and self.bar.met(value)


def spread(samples: Sequence[float]) -> float:
    """From the least to the greatest, as a part of the median; 0 for a single sample."""
    middle = median(samples)
    return (max(samples) - min(samples)) / middle if middle else 0.0


def to_json(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "measure": row.measure,
        "data": row.case,
        "unit": row.unit,
        "ours": median(row.ours),
        "peer": median(row.peer) if row.peer else None,
        "ratio": row.ratio,
        "bar": row.bar.limit,
        "bar-of": row.bar.of,
        "bar-is": "most" if row.bar.most else "least",
        "met": row.met,
        "spread": {
            "ours": spread(row.ours),
            "peer": spread(row.peer) if row.peer else None,
        },
        "samples": {"ours": list(row.ours), "peer": list(row.peer)},
        "peer-name": row.peer_name or None,
        "note": row.note or None,
    }


def from_json(body: dict[str, Any]) -> Row:
    return Row(
        id=body["id"],
        measure=body["measure"],
        case=body["data"],
        unit=body["unit"],
        bar=Bar(limit=body["bar"], of=body["bar-of"], most=body["bar-is"] == "most"),
        ours=tuple(body["samples"]["ours"]),
        peer=tuple(body["samples"]["peer"]),
        peer_name=body["peer-name"] or "",
        note=body["note"] or "",
    )
