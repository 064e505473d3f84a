"""The charts of docs/performance.md, as SVG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from statistics import median
from typing import Any

from bench.figures import Row

_NEEDLESS = re.compile(rb"<!--.*?-->|<script.*?</script>|<script[^>]*/>", re.DOTALL)


def draw(rows: Sequence[Row]) -> dict[str, tuple[str, bytes]]:
    """File name -> title and SVG, of those charts whose rows are there."""
    drawn = {"cold": _cold(rows), "commit": _commit(rows), "node": _node(rows)}
    return {name: chart for name, chart in drawn.items() if chart}


def _cold(rows: Sequence[Row]) -> tuple[str, bytes] | None:
    usual = {row.case: row for row in rows if row.id == "a"}
    if not usual:
        return None
    tuned = {row.case: row for row in rows if row.id == "a2"}
    title = "A new model, from storage to registry: seconds, less is better"
    chart = _chart(title)
    chart.x_labels = list(usual)
    chart.add("docker build, docker push", [median(row.peer) for row in usual.values()])
    buildkit = [median(tuned[case].peer) if case in tuned else None for case in usual]
    chart.add("BuildKit, uncompressed push", buildkit)
    chart.add("Modelferry", [median(row.ours) for row in usual.values()])
    return _rendered(chart, "cold", title)


def _commit(rows: Sequence[Row]) -> tuple[str, bytes] | None:
    warm = [row for row in rows if row.id == "c" and row.unit == "s"]
    if not warm:
        return None
    title = "A code commit, all warm: seconds, less is better"
    chart = _chart(title)
    chart.x_labels = [row.case for row in warm]
    chart.add("the same app without a model", [median(row.peer) for row in warm])
    chart.add("with the model", [median(row.ours) for row in warm])
    return _rendered(chart, "commit", title)


def _node(rows: Sequence[Row]) -> tuple[str, bytes] | None:
    pulls = [row for row in rows if row.id == "j"]
    if not pulls:
        return None
    title = "A node's pull after a code commit: seconds, less is better"
    chart = _chart(title)
    chart.x_labels = [row.case for row in pulls]
    chart.add("the usual image", [median(row.peer) for row in pulls])
    chart.add("Modelferry's", [median(row.ours) for row in pulls])
    return _rendered(chart, "node", title)


def _chart(title: str) -> Any:
    import pygal
    from pygal.style import Style

    style = Style(
        background="#ffffff",
        plot_background="#ffffff",
        colors=("#9aa5b1", "#5b8def", "#0b7a5b"),
        font_family="sans-serif",
        title_font_size=16,
        label_font_size=12,
        legend_font_size=12,
        value_font_size=11,
        opacity="1",
    )
    return pygal.HorizontalBar(
        title=title,
        style=style,
        js=(),  # the page's reader has no use for scripts from elsewhere
        explicit_size=True,
        width=860,
        height=340,
        legend_at_bottom=True,
        print_values=True,
        print_values_position="top",
        value_formatter=lambda seconds: f"{seconds:.2g} s",
        truncate_label=-1,
        margin_right=40,
    )


def _rendered(chart: Any, name: str, title: str) -> tuple[str, bytes]:
    chart.uuid = f"modelferry-{name}"  # the same drawing for the same figures
    return title, _NEEDLESS.sub(b"", chart.render())
