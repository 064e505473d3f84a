"""Where model files go in an image, and how far down the stack they may lie. Pure.

A file's place is decided by the whole image: its parents' symlinks are followed there. Then, at
the seam, the parent folders get the metadata that the layers below give them, so that nothing of
the image changes but the file; and no layer above may take the file away.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelferry.errors import BuildError
from modelferry.image.layer import Folder
from modelferry.image.layer_entries import LayerEntries, Record, Trace
from modelferry.image.seam import ReleasedStack, choose_seam
from modelferry.values import Digest, mounted_over

_MOST_LINKS = 40  # Linux's own limit
_ANOTHER_PATH = "Give one of them another PATH in `model`."

Stack = Sequence[LayerEntries]  # the app's layers, bottom first


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    path: PurePosixPath  # with the parents' symlinks resolved
    folders: tuple[Folder, ...]  # outermost first


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """The model's place in one app image."""

    seam: int  # how many of the app's layers lie below the model's
    placements: Mapping[PurePosixPath, Placement]  # by the path that was asked for
    notice: str  # why the model lies higher than it could; empty when it does not
    records: Mapping[Digest, Record]  # for the next run, by diff id


def fit_model(
    paths: Sequence[PurePosixPath],
    stack: Stack,
    *,
    released: ReleasedStack | None = None,
    base_layers: int | None = None,
) -> Fit:
    """BuildError where a file cannot stand, or two would stand in one place."""
    seen = set(paths_asked(paths))
    real = {path: _resolve(path, stack, seen) for path in paths}
    _refuse_shared_places(real)
    _refuse_hidden_places(real)
    lowest, why = 0, ""
    for path, place in real.items():
        floor, reason = _lowest(place, stack)
        if floor > lowest:
            lowest, why = floor, f"{path} lies above {stack[floor - 1].diff_id}, which {reason}"
    app = [entries.diff_id for entries in stack]
    free = choose_seam(app, released=released, base_layers=base_layers)
    seam = choose_seam(app, released=released, base_layers=base_layers, lowest=lowest)
    return Fit(
        seam=seam,
        placements={path: _place(place, stack[:seam]) for path, place in real.items()},
        notice=why if seam > free else "",
        records={entries.diff_id: entries.record(seen) for entries in stack},
    )


def paths_asked(paths: Sequence[PurePosixPath]) -> frozenset[str]:
    """What `fit_model` asks of every layer, and more only where it meets symlinks."""
    return frozenset(str(each) for path in paths for each in (path, *path.parents))


def _resolve(path: PurePosixPath, stack: Stack, seen: set[str]) -> str:
    """The parents followed as in the finished image, the last name as it is. `seen` gets every
    path that was looked at."""
    real, todo, links = "/", list(path.parts[1:]), 0
    while todo:
        name = todo.pop(0)
        if name == "..":
            real = posixpath.dirname(real)
            continue
        step = posixpath.join(real, name)
        seen.add(step)
        there = _look(step, stack)
        if there is None or there.kind == "folder":
            real = step
        elif there.kind == "link" and todo:
            links += 1
            if links > _MOST_LINKS:
                raise BuildError(f"{path} cannot be put in the image: {step} links in a circle")
            real = "/" if there.target.startswith("/") else real
            todo = [part for part in there.target.split("/") if part not in ("", ".")] + todo
        elif todo:
            raise BuildError(
                f"{path} cannot be put in the image: {step} is a file there, not a folder",
                do="Choose another PATH in the line `model: SOURCE => PATH`.",
            )
        else:
            return step
    if (there := _look(real, stack)) and there.kind == "folder":
        raise BuildError(
            f"{path} cannot be put in the image: it is a folder there",
            do=f"To put the file into that folder, write `=> {path}/` in `model`.",
        )
    return real


def _look(path: str, stack: Stack) -> Trace | None:
    """What is at a path, if nothing below the path's parents is a symlink."""
    parents = ["/", *_parents(path)]
    for entries in reversed(stack):
        trace = entries.at(path)
        if trace.kind:
            return trace
        if trace.whiteout or any(_removes(entries.at(parent)) for parent in parents):
            return None
    return None


def _lowest(path: str, stack: Stack) -> tuple[int, str]:
    """How many layers must lie below the file lest one takes it away, and what the last does."""
    parents = ["/", *_parents(path)]
    lowest, why = 0, ""
    blocked: set[str] = set()  # parents that are no folders, as far up as we are
    for number, entries in enumerate(stack, 1):
        own = entries.at(path)
        reason = ""
        if own.kind:
            reason = "has a file at that path"
        elif own.whiteout:
            reason = "deletes that path"
        for parent in parents:
            trace = entries.at(parent)
            if _removes(trace):
                reason = f"deletes what was in {parent}"
            elif trace.kind == "folder" and parent in blocked:
                reason = f"makes {parent} a folder"
            if trace.whiteout:
                blocked.discard(parent)
            if trace.kind:
                (blocked.discard if trace.kind == "folder" else blocked.add)(parent)
        if reason:
            lowest, why = number, reason
    return lowest, why


def _removes(trace: Trace) -> bool:
    """Whether a layer that says this of a folder takes away what lower ones have in it."""
    return trace.whiteout or trace.opaque or trace.kind in ("link", "file")


def _place(path: str, below: Stack) -> Placement:
    parents = [PurePosixPath(parent) for parent in _parents(path)]
    folders = tuple(_folder(parent, _look(str(parent), below)) for parent in parents)
    return Placement(path=PurePosixPath(path), folders=folders)


def _folder(path: PurePosixPath, there: Trace | None) -> Folder:
    if there is None:
        return Folder(path=path)
    return Folder(path=path, mode=there.mode, uid=there.uid, gid=there.gid, mtime_s=there.mtime_s)


def _parents(path: str) -> list[str]:
    """Outermost first, without the root."""
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[: count + 1]) for count in range(len(parts))]


def _refuse_hidden_places(real: Mapping[PurePosixPath, str]) -> None:
    for path, place in real.items():
        if mount := mounted_over(PurePosixPath(place)):
            raise BuildError(
                f"{path} is {place} in the image, and every container has a mount at {mount}",
                do="Choose another PATH in the line `model: SOURCE => PATH`.",
            )


def _refuse_shared_places(real: Mapping[PurePosixPath, str]) -> None:
    taken: dict[str, PurePosixPath] = {}
    for path, place in real.items():
        if place in taken:
            raise BuildError(
                f"{path} and {taken[place]} are one place in the image: {place}", do=_ANOTHER_PATH
            )
        taken[place] = path
    for path, place in real.items():
        if file := next((parent for parent in _parents(place) if parent in taken), None):
            raise BuildError(
                f"{path} lies below {file} in the image, a file of the model: {taken[file]}",
                do=_ANOTHER_PATH,
            )


def unread_layers(stack: Stack, asked: Collection[str]) -> tuple[LayerEntries, ...]:
    """Those that must be read before the model can be placed."""
    return tuple(entries for entries in stack if not entries.knows(asked))
