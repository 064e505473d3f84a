"""Where a model file really goes in an image, and the folders above it as the image has them.

Asked of the engine through a container that is created and never started: the image is not read.
"""

from __future__ import annotations

import base64
import json
import logging
import stat as modes
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from modelferry.engine import Engine
from modelferry.errors import BuildError
from modelferry.image.layer import Folder

log = logging.getLogger("modelferry.image")

_ROOT = PurePosixPath("/")
_GO_DIR, _GO_SYMLINK = 1 << 31, 1 << 27  # fs.FileMode's type bits, as the API gives them
# Docker writes into these when it makes a container, so their times are not the image's.
_TOUCHED = (PurePosixPath("/etc"), PurePosixPath("/dev"))
_NEVER_STARTED = ["/modelferry-looks-at-paths"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One path of the image, the last component not followed."""

    is_folder: bool
    link_target: PurePosixPath | None  # absolute and resolved, of a symlink


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    path: PurePosixPath  # with the parents' symlinks resolved
    folders: tuple[Folder, ...]  # outermost first


Look = Callable[[PurePosixPath], Place | None]


def place_files(
    engine: Engine, image_id: str, paths: Iterable[PurePosixPath], *, run_label: str
) -> dict[PurePosixPath, Placement]:
    """The placement of each path in the image; BuildError where a file cannot stand."""
    with _unstarted(engine, image_id, run_label) as container:
        looked: dict[PurePosixPath, Place | None] = {}
        folders: dict[PurePosixPath, Folder] = {}

        def look(path: PurePosixPath) -> Place | None:
            if path not in looked:
                looked[path] = _look(engine, container, path)
            return looked[path]

        def folder(path: PurePosixPath) -> Folder:
            if path not in folders:
                there = look(path)
                folders[path] = _folder(engine, container, path) if there else Folder(path=path)
            return folders[path]

        placements: dict[PurePosixPath, Placement] = {}
        for path in paths:
            real = resolve(path, look)
            parents = tuple(folder(parent) for parent in reversed(real.parents[:-1]))
            placements[path] = Placement(path=real, folders=parents)
        return placements


def resolve(path: PurePosixPath, look: Look) -> PurePosixPath:
    """The path with its parents' symlinks followed (Debian's /lib is /usr/lib, say)."""
    real = _ROOT
    for name in path.parent.parts[1:]:
        real /= name
        there = look(real)
        if there is None:
            continue  # it will be made, and so will everything below
        if there.link_target is not None:
            real = there.link_target
            there = look(real)
        if there is not None and not there.is_folder:
            raise BuildError(
                f"{path} cannot be put in the image: {real} is a file there, not a folder",
                do="Choose another PATH in the line `model: SOURCE => PATH`.",
            )
    real /= path.name
    there = look(real)
    if there is not None and there.is_folder:
        raise BuildError(
            f"{path} cannot be put in the image: it is a folder there",
            do=f"To put the file into that folder, write `=> {path}/` in `model`.",
        )
    return real


@contextmanager
def _unstarted(engine: Engine, image_id: str, run_label: str) -> Iterator[str]:
    api = engine.client.api
    container: str = api.create_container(
        image_id,
        command=_NEVER_STARTED,
        entrypoint=[],
        labels={"modelferry.run": run_label},
        host_config=api.create_host_config(network_mode="none"),
    )["Id"]
    try:
        yield container
    finally:
        api.remove_container(container, v=True, force=True)


def _look(engine: Engine, container: str, path: PurePosixPath) -> Place | None:
    response = engine.request(
        "HEAD", f"/containers/{container}/archive", params={"path": str(path)}
    )
    if response.status_code == 404:
        return None
    engine.check(response, f"look at {path} in the image")
    found: dict[str, Any] = json.loads(
        base64.b64decode(response.headers["X-Docker-Container-Path-Stat"])
    )
    link = found["linkTarget"] if found["mode"] & _GO_SYMLINK else ""
    return Place(
        is_folder=bool(found["mode"] & _GO_DIR),
        link_target=PurePosixPath(link) if link else None,
    )


def _folder(engine: Engine, container: str, path: PurePosixPath) -> Folder:
    """Owner and times are only in the archive's first header; the rest of it is not read."""
    response = engine.request(
        "GET", f"/containers/{container}/archive", params={"path": str(path)}, stream=True
    )
    with response:
        engine.check(response, f"read the owner of {path} in the image")
        with tarfile.open(fileobj=response.raw, mode="r|") as archive:
            entry = archive.next()
    if entry is None or not entry.isdir():
        raise BuildError(f"The engine gave no folder entry for {path} of the image")
    return Folder(
        path=path,
        mode=modes.S_IMODE(entry.mode),
        uid=entry.uid,
        gid=entry.gid,
        mtime_s=0 if path in _TOUCHED else int(entry.mtime),
    )
