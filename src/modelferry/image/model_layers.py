"""The model's files as layers of this image: where each goes, and what is told of it there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from modelferry.artifacts import Descriptor, FetchedFile, Layer, ModelFile
from modelferry.image.compose import LAYER_TYPE, ModelLayer
from modelferry.image.layer import Folder, LayerFile, LayerView, plan_layers
from modelferry.image.model_record import (
    FILES,
    FileRecord,
    ModelRecord,
    SumOf,
    model_annotations,
    nobody_knows,
)
from modelferry.image.placement import Placement
from modelferry.image.released import ReleasedLayer
from modelferry.image.stream import Sums

_MOST_ANNOTATED = 64 << 10  # of one manifest: each node that pulls the image reads it

Placements = Mapping[PurePosixPath, Placement]  # by the path that was asked for

# What an image may bring with it: as symlinks, or with owners and modes of their own.
_USUAL = re.compile(
    r"bin|boot|dev|etc|home|lib(32|64|x32)?|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var"
)


def guess_placements(
    paths: Iterable[PurePosixPath], released: Iterable[ReleasedLayer]
) -> Placements | None:
    """For a start before the app is built: where the last release has them, or others of the same
    folder, else in folders that no base image brings. None where one had to know the image."""
    records = [layer.model for layer in released if layer.model]
    before = {
        file.path: _placement(file.place, record) for record in records for file in record.files
    }
    beside = {path.parent: placement for path, placement in before.items()}
    guess = {path: before.get(path) or _near(path, beside) or _made_by_us(path) for path in paths}
    found = {path: placement for path, placement in guess.items() if placement}
    return found if len(found) == len(guess) else None


def _placement(place: PurePosixPath, record: ModelRecord) -> Placement:
    parents = tuple(folder for folder in record.folders if folder.path in place.parents)
    return Placement(path=place, folders=parents)


def _near(path: PurePosixPath, beside: Placements) -> Placement | None:
    """In a folder that the model had, or in one of its own below that. `beside`: by folder, where
    some file of it lies."""
    for folder in path.parents[:-1]:
        if known := beside.get(folder):
            real, rest = known.path.parent, path.relative_to(folder)
            made = (Folder(path=real / each) for each in reversed(rest.parents[:-1]))
            return Placement(path=real / rest, folders=(*known.folders, *made))
    return None


def _made_by_us(path: PurePosixPath) -> Placement | None:
    if len(path.parts) < 3 or _USUAL.fullmatch(path.parts[1]):
        return None
    folders = tuple(Folder(path=parent) for parent in reversed(path.parents[:-1]))
    return Placement(path=path, folders=folders)


def as_asked(files: Iterable[ModelFile]) -> Placements:
    """For who wants the files' sums, and no image."""
    return {file.image_path: Placement(path=file.image_path, folders=()) for file in files}


def plan_model(files: Iterable[ModelFile], placements: Placements) -> tuple[LayerView, ...]:
    places = [(file, placements[file.image_path]) for file in files]
    return plan_layers(
        LayerFile(path=place.path, folders=place.folders, file=file) for file, place in places
    )


def fetched_files(views: Sequence[LayerView], sums: Sequence[Sums]) -> tuple[FetchedFile, ...]:
    return tuple(
        FetchedFile(file=each.file, sha256=sha256)
        for view, known in zip(views, sums, strict=True)
        for each, sha256 in zip(view.files, known.files, strict=True)
    )


def find_released(
    view: LayerView, released: Iterable[ReleasedLayer], sum_of: SumOf = nobody_knows
) -> ReleasedLayer | None:
    """One that was made of the same files and folders, and so has the same bytes."""
    for layer in released:
        record = layer.model
        if (
            record
            and layer.descriptor.size_bytes == view.size_bytes
            and record.folders == view.folders
            and len(record.files) == len(view.files)
            and all(
                known.is_of(each.file, each.path, sum_of)
                for known, each in zip(record.files, view.files, strict=True)
            )
        ):
            return layer
    return None


def released_sums(layer: ReleasedLayer) -> Sums:
    files = layer.model.files if layer.model else ()
    return Sums(layer=layer.descriptor.digest, files=tuple(file.sha256 for file in files))


def model_layer(
    view: LayerView, sums: Sums, read: Callable[[int, int], bytes], released: ReleasedLayer | None
) -> ModelLayer:
    descriptor = (
        released.descriptor
        if released
        else Descriptor(
            media_type=LAYER_TYPE,
            digest=sums.layer,
            size_bytes=view.size_bytes,
            annotations=model_annotations(_record(view, sums)),
        )
    )
    return ModelLayer(
        layer=Layer(descriptor=descriptor, diff_id=sums.layer, origin="model", read=read),
        history=_history(view),
    )


def bounded(layers: Iterable[ModelLayer]) -> tuple[ModelLayer, ...]:
    """As the image's manifest tells of them: few files in full, of many that they are a model's.
    What they are made of, the app's manifest tells the next run."""
    kept: list[ModelLayer] = []
    left = _MOST_ANNOTATED
    for part in layers:
        said = part.layer.descriptor
        size = sum(len(value.encode()) for _, value in said.annotations)
        if size > left:
            untold = replace(said, annotations=((FILES, "[]"),))
            kept.append(replace(part, layer=replace(part.layer, descriptor=untold)))
        else:
            kept.append(part)
            left -= size
    return tuple(kept)


def _record(view: LayerView, sums: Sums) -> ModelRecord:
    return ModelRecord(
        files=tuple(
            FileRecord(
                uri=each.file.uri,
                path=each.file.image_path,
                place=each.path,
                etag=each.file.etag,
                version_id=each.file.version_id,
                size_bytes=each.size_bytes,
                sha256=sha256,
            )
            for each, sha256 in zip(view.files, sums.files, strict=True)
        ),
        folders=view.folders,
    )


def _history(view: LayerView) -> str:
    first = view.files[0].file
    more = f" and {len(view.files) - 1} more" if len(view.files) > 1 else ""
    return f"MODEL {first.uri} => {first.image_path}{more}"
