"""The workspace as a tar stream, for a container that cannot mount it: from inside a container its
path means nothing to the engine."""

from __future__ import annotations

import logging
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

log = logging.getLogger("modelferry.test")

CHUNK = 1024 * 1024
BLOCK = tarfile.BLOCKSIZE
# `.git` holds the checkout's token, the credential file is google-github-actions/auth's.
LEFT_OUT = (
    ".git",
    ".venv",
    "node_modules",
    "__pycache__",
    ".*_cache",
    ".tox",
    "gha-creds-*.json",
)


def tar_stream(files: Iterator[tuple[Path, str]]) -> Iterator[bytes]:
    """(path here, name in the archive) pairs; links stay links, owners become root, devices and
    sockets are left out. Nothing is held in memory but a chunk."""
    for path, name in files:
        yield from _entry(path, name)
    yield bytes(2 * BLOCK)


def workspace_files(workspace: Path) -> Iterator[tuple[Path, str]]:
    """All but LEFT_OUT, each under its own absolute path without the leading slash."""
    yield workspace, _name(workspace)
    for folder, folders, files in os.walk(workspace):
        folders[:] = sorted(name for name in folders if not _is_left_out(name))
        for name in (*folders, *sorted(files)):
            if not _is_left_out(name):
                path = Path(folder, name)
                yield path, _name(path)


def _name(path: Path) -> str:
    return str(path.absolute()).lstrip("/")


def _is_left_out(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in LEFT_OUT)


def _entry(path: Path, name: str) -> Iterator[bytes]:
    try:
        facts = path.lstat()
        info = _info(path, name, facts)
        if info is None:
            return
        if not info.isreg():
            yield info.tobuf(tarfile.PAX_FORMAT)
            return
        with path.open("rb") as file:
            yield info.tobuf(tarfile.PAX_FORMAT)
            yield from _content(file.read, info.size)
    except FileNotFoundError:
        log.warning("%s went away while the workspace was copied", path)


def _info(path: Path, name: str, facts: os.stat_result) -> tarfile.TarInfo | None:
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(facts.st_mode)
    info.mtime = int(facts.st_mtime)
    if stat.S_ISLNK(facts.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
    elif stat.S_ISDIR(facts.st_mode):
        info.type = tarfile.DIRTYPE
    elif stat.S_ISREG(facts.st_mode):
        info.size = facts.st_size
    else:
        return None
    return info


def _content(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """Exactly `size` bytes, as the header says, and the padding: a file that grows meanwhile is
    cut, one that shrinks is filled with zeros."""
    left = size
    while left:
        chunk = read(min(CHUNK, left)) or bytes(min(CHUNK, left))
        left -= len(chunk)
        yield chunk
    yield bytes(-size % BLOCK)
