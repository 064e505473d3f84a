"""The fetched model → its layers: where each file goes in this image, and each layer's digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import PurePosixPath

from modelferry.artifacts import Descriptor, FetchedFile, Layer
from modelferry.errors import BuildError
from modelferry.image.compose import LAYER_TYPE, ModelLayer, files_annotation
from modelferry.image.file_range import FileRange
from modelferry.image.layer import LayerFile, LayerView, plan_layers
from modelferry.image.parents import Placement
from modelferry.image.workers import Stop, workers
from modelferry.progress import Meter, metered
from modelferry.values import Digest

_HASHERS = 2  # hashlib lets other threads run; more of them would only wait for the disk

Place = Callable[[list[PurePosixPath]], dict[PurePosixPath, Placement]]


def make_model_layers(
    files: tuple[FetchedFile, ...], place: Place, stop: Stop
) -> tuple[ModelLayer, ...]:
    if not files:
        return ()
    placements = place([fetched.file.image_path for fetched in files])
    fetched_at: dict[PurePosixPath, FetchedFile] = {}
    for fetched in files:
        path = placements[fetched.file.image_path].path
        if path in fetched_at:
            raise BuildError(
                f"{fetched.file.image_path} and {fetched_at[path].file.image_path} "
                f"are one place in the image: {path}",
                do="Give one of them another PATH in `model`.",
            )
        fetched_at[path] = fetched
    views = plan_layers(
        _layer_file(fetched, placements[fetched.file.image_path]) for fetched in files
    )
    total = sum(view.size_bytes for view in views)
    with (
        metered("hash model layers", total) as meter,
        workers(_HASHERS, "hash", stop) as pool,
    ):
        return tuple(pool.map(lambda view: _model_layer(view, fetched_at, meter, stop), views))


def _layer_file(fetched: FetchedFile, placement: Placement) -> LayerFile:
    size = fetched.file.size_bytes
    return LayerFile(
        path=placement.path,
        size_bytes=size,
        read=FileRange(path=fetched.local_path, start=0, size_bytes=size).read,
        folders=placement.folders,
    )


def _model_layer(
    view: LayerView, fetched_at: dict[PurePosixPath, FetchedFile], meter: Meter, stop: Stop
) -> ModelLayer:
    digest = hash_layer(view, meter, stop)
    inside = [fetched_at[file.path] for file in view.files]
    descriptor = Descriptor(
        media_type=LAYER_TYPE,
        digest=digest,
        size_bytes=view.size_bytes,
        annotations=files_annotation(inside),
    )
    return ModelLayer(
        layer=Layer(descriptor=descriptor, diff_id=digest, origin="model", read=view.read),
        history=_history(inside),
    )


def hash_layer(view: LayerView, meter: Meter, stop: Stop) -> Digest:
    found = hashlib.sha256()
    for chunk in view.chunks():
        stop.check()
        found.update(chunk)
        meter.add(len(chunk))
    return Digest(f"sha256:{found.hexdigest()}")


def _history(inside: list[FetchedFile]) -> str:
    first = inside[0].file
    more = f" and {len(inside) - 1} more" if len(inside) > 1 else ""
    return f"MODEL {first.uri} => {first.image_path}{more}"
