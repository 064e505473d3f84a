"""The rows as JSON, and as the generated part of docs/performance.md with its charts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import charts, table
from bench.figures import Row, from_json
from bench.figures import to_json as row_to_json
from bench.rows import IDS

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"


def to_json(
    rows: Sequence[Row], about: Mapping[str, str], failed: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "about": dict(about),
        "rows": [row_to_json(row) for row in rows],
        "failed": dict(failed),
    }


def write(runs: Sequence[Mapping[str, Any]]) -> None:
    """Of runs that took different rows: the whole takes longer than a machine stays quiet."""
    rows = [from_json(row) for run in runs for row in run["rows"]]
    rows.sort(key=lambda row: IDS.index(row.id))
    missed = [each for run in runs for each in run["failed"].items()]
    folder = PAGE.parent / PAGE.stem
    folder.mkdir(exist_ok=True)
    drawn = charts.draw(rows)
    for name, (_, svg) in drawn.items():
        (folder / f"{name}.svg").write_bytes(svg)
    images = [f"![{title}]({PAGE.stem}/{name}.svg)" for name, (title, _) in drawn.items()]
    failed = [f"- Row {name} could not be taken: {why}" for name, why in missed]
    parts = (
        about_table([run["about"] for run in runs]),
        table.markdown(rows),
        "\n".join(failed),
        *images,
    )
    PAGE.write_text(with_figures(PAGE.read_text(), "\n\n".join(part for part in parts if part)))


def with_figures(page: str, figures: str) -> str:
    """`page` with what stands between the marks replaced."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"the page has no marks {_BEGIN} … {_END}")
    return f"{before}{begin}\n{figures}\n{end}{after}"


def about_table(runs: Sequence[Mapping[str, str]]) -> str:
    said = {name: dict.fromkeys(run[name] for run in runs) for name in runs[0]}
    lines = (f"| {name} | {'; '.join(texts)} |" for name, texts in said.items())
    return "\n".join(["| | |", "|---|---|", *lines])
