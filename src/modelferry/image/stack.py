"""The app's layers as the model's placement asks them: remembered by the last release, or read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath

from modelferry.artifacts import Layer
from modelferry.errors import BuildError
from modelferry.image.app.layers import SavedApp
from modelferry.image.app.packing import Content
from modelferry.image.layer_entries import LayerEntries, Record, Traces, scan_layer
from modelferry.image.model_layers import Placements
from modelferry.image.placement import Fit, fit_model, paths_asked, unread_layers
from modelferry.image.seam import ReleasedStack
from modelferry.image.workers import Stop, side_by_side
from modelferry.values import Digest

log = logging.getLogger("modelferry.image")

_READERS = 2  # unpacking lets other threads run


def fit_app(
    app: SavedApp,
    paths: Sequence[PurePosixPath],
    *,
    records: Mapping[Digest, Record],
    released: ReleasedStack | None,
    base: Sequence[Digest] | None,
    scanned: Mapping[Digest, Traces],
    stop: Stop,
) -> Fit:
    """`base`: the base image's diff ids, None where nobody knows them. Layers that no record tells
    enough of, and that were not `scanned`, are read side by side, from this machine where they are
    here, else in the registry."""

    def scan(layer: Layer) -> Traces:
        known = scanned.get(layer.diff_id)
        return _scan(app, layer, stop) if known is None else known

    def entries(layer: Layer) -> LayerEntries:
        record = records.get(layer.diff_id)
        return LayerEntries(layer.diff_id, record=record, scan=partial(scan, layer))

    stack = [entries(layer) for layer in app.image.layers]
    unread = unread_layers(stack, paths_asked(paths))
    side_by_side([layer.scanned for layer in unread], "entries", stop, most=_READERS)
    fit = fit_model(
        paths, stack, released=released, base_layers=_base_layers(base, app.image.layers)
    )
    if fit.notice:
        log.warning("%s", fit.notice)
    log.info("the model lies above %d of the app's %d layers", fit.seam, len(stack))
    return fit


def guess_on_base(
    paths: Sequence[PurePosixPath],
    base: Sequence[tuple[Digest, Content]],
    stop: Stop,
) -> tuple[Placements | None, Mapping[Digest, Traces]]:
    """Where the files go right above this base, and what was read for it; no placements where they
    cannot stand there: what lies above may mend that. `base`: bottom first, by diff id."""

    def scan(content: Content) -> Traces:
        return scan_layer(content.read, content.size_bytes, "", stop)

    calls = [partial(scan, content) for _, content in base]
    traces = side_by_side(calls, "entries", stop, most=_READERS)
    scanned = {diff_id: found for (diff_id, _), found in zip(base, traces, strict=True)}
    stack = [
        LayerEntries(diff_id, record=None, scan=partial(scanned.__getitem__, diff_id))
        for diff_id, _ in base
    ]
    try:
        return fit_model(paths, stack, base_layers=len(stack)).placements, scanned
    except BuildError:
        return None, scanned


def _scan(app: SavedApp, layer: Layer, stop: Stop) -> Traces:
    content = app.stored[layer.diff_id]
    return scan_layer(content.read, content.size_bytes, layer.descriptor.media_type, stop)


def _base_layers(base: Sequence[Digest] | None, layers: Sequence[Layer]) -> int | None:
    """None too when the app is not made of this base: its Dockerfile took another stage's."""
    if base is None or [layer.diff_id for layer in layers[: len(base)]] != list(base):
        return None
    return len(base)
