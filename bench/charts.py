"""The charts of docs/performance.md, as SVG."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from bench.figures import Row

_NEEDLESS = re.compile(rb"<!--.*?-->|<script.*?</script>|<script[^>]*/>", re.DOTALL)
_SPACES = "\u00a0" * 12
Samples = tuple[float, ...]


def draw(rows: Sequence[Row]) -> dict[str, tuple[str, bytes]]:
    """File name -> title and SVG, of those charts whose rows are there."""
    drawn = {"cold": _cold(rows), "commit": _commit(rows), "node": _node(rows)}
    return {name: chart for name, chart in drawn.items() if chart}


def _cold(rows: Sequence[Row]) -> tuple[str, bytes] | None:
    usual = {row.case: row for row in rows if row.id == "a"}
    tuned = {row.case: row for row in rows if row.id == "a2"}
    return _chart(
        "cold",
        "A new model, from storage to registry: seconds, less is better",
        tuple(case for case in usual if case in tuned),
        {
            "docker build, push": {case: row.peer for case, row in usual.items()},
            "BuildKit, uncompressed": {case: row.peer for case, row in tuned.items()},
            "Modelferry": {case: row.ours for case, row in usual.items()},
        },
    )


def _commit(rows: Sequence[Row]) -> tuple[str, bytes] | None:
    warm = {row.case: row for row in rows if row.id == "c" and row.unit == "s"}
    return _chart(
        "commit",
        "A code commit through Modelferry, all warm: seconds",
        tuple(warm),
        {
            "the same app without a model": {case: row.peer for case, row in warm.items()},
            "with the model": {case: row.ours for case, row in warm.items()},
        },
    )


def _node(rows: Sequence[Row]) -> tuple[str, bytes] | None:
    pulls = {row.case: row for row in rows if row.id == "j"}
    return _chart(
        "node",
        "A node's pull after a code commit: seconds, less is better",
        tuple(pulls),
        {
            "the usual image": {case: row.peer for case, row in pulls.items()},
            "Modelferry's": {case: row.ours for case, row in pulls.items()},
        },
    )


def _chart(
    name: str, title: str, cases: Sequence[str], bars: Mapping[str, Mapping[str, Samples]]
) -> tuple[str, bytes] | None:
    """Of medians; the last of `bars` is ours. None when there is nothing to show."""
    if not cases:
        return None
    pygal = _pygal()
    chart = pygal.HorizontalBar(
        title=title,
        style=_style(len(bars)),
        js=(),  # the page's reader has no use for scripts from elsewhere
        explicit_size=True,
        width=860,
        height=140 + 34 * len(cases) * len(bars),
        legend_at_bottom=True,
        legend_at_bottom_columns=len(bars),
        print_values=True,
        print_values_position="top",
        value_formatter=lambda seconds: f"{seconds:g} s",
        truncate_label=-1,
        truncate_legend=-1,
        margin_right=60,
    )
    chart.uuid = f"modelferry-{name}"  # the same drawing for the same figures
    chart.x_labels = list(cases)
    for label, samples in bars.items():
        chart.add(label, [median(samples[case]) for case in cases], formatter=_beside)
    return title, _NEEDLESS.sub(b"", chart.render())


def _beside(seconds: float) -> str:
    """A bar's figure is centred on its end: the spaces push it out."""
    return f"{_SPACES}{seconds:.2g} s"


def _style(count: int) -> Any:
    from pygal.style import Style

    guides = "#e3e6ea"
    return Style(
        background="#ffffff",
        plot_background="#ffffff",
        colors=(*("#9aa5b1", "#5b8def")[: count - 1], "#0b7a5b"),
        guide_stroke_color=guides,
        major_guide_stroke_color=guides,
        guide_stroke_dasharray="1,0",
        major_guide_stroke_dasharray="1,0",
        font_family="sans-serif",
        title_font_size=16,
        label_font_size=12,
        major_label_font_size=12,
        legend_font_size=12,
        value_font_size=12,
        opacity="1",
    )


def _pygal() -> Any:
    """Without its import hook, of a kind that Python gave up: it warns at each import after."""
    import pygal

    sys.meta_path[:] = [
        finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)
    ]
    return pygal
