"""The rows as a table, for a terminal and for docs/performance.md. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from bench.figures import Row, spread

_NONE = "—"
HEADINGS = ("", "measure", "data", "ours", "peer", "ratio", "bar", "", "spread")


def cells(row: Row) -> tuple[str, ...]:
    return (
        row.id,
        row.measure,
        row.case,
        _value(row.ours, row.unit),
        f"{_value(row.peer, row.unit)} ({row.peer_name})" if row.peer else _NONE,
        _NONE if row.ratio is None else f"{row.ratio:.3g}",
        f"{row.bar}{'' if row.bar.of == 'ratio' else f' {row.unit}'}".strip(),
        "✓" if row.met else "✗",
        _spread(row),
    )


def text(rows: Iterable[Row]) -> str:
    lines = [HEADINGS, *map(cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown(rows: Sequence[Row]) -> str:
    lines = [
        _line(HEADINGS),
        "|---|---|---|--:|--:|--:|--:|:-:|--:|",
        *(_line(cells(r)) for r in rows),
    ]
    notes = [f"- **{row.id}**, {row.case}: {row.note}" for row in rows if row.note]
    return "\n".join([*lines, *(["", *dict.fromkeys(notes)] if notes else [])])


def facts(about: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {value}" for name, value in about.items())


def raw(row: Row) -> str:
    """Every sample, for `--verbose`."""
    peer = f"; {row.peer_name} {_samples(row.peer)}" if row.peer else ""
    return f"{row.id} {row.measure} ({row.case}), {row.unit}: ours {_samples(row.ours)}{peer}"


def _samples(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _value(samples: Sequence[float], unit: str) -> str:
    return f"{median(samples):.3g} {unit}".strip()


def _spread(row: Row) -> str:
    if len(row.ours) < 2:
        return _NONE
    both = [row.ours, *([row.peer] if row.peer else [])]
    return " / ".join(f"{spread(samples):.0%}" for samples in both)


def _line(words: Iterable[str]) -> str:
    joined = " | ".join(word.replace("|", r"\|") for word in words)
    return f"| {joined} |"
