"""The content of a build context as one digest: names, modes and bytes of all that a build may
read. Times and owners do not count, as COPY does not keep them either."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

_STEP = 1 << 20
_PATTERN = re.compile(r"!.*[*?\[]")
_GIT = ".git"  # what it says differs with every checkout, and the commit is no content


def tree_digest(context: Path, dockerfile: Path) -> str:
    """Hex. What .dockerignore keeps out does not count; `dockerfile` is read by the caller."""
    total = hashlib.sha256()
    for name in sorted(_names(context, dockerfile)):
        total.update(_entry(context / name, name))
    return total.hexdigest()


def path_digest(path: Path) -> str:
    """Hex, of a file or of all below a folder, as one sees it who reads through symlinks."""
    total = hashlib.sha256()
    names = sorted(_walk(path, through_links=True)) if path.is_dir() else [""]
    for name in names:
        total.update(_entry((path / name if name else path).resolve(), name))
    return total.hexdigest()


def _names(context: Path, dockerfile: Path) -> Iterator[str]:
    ignored = _ignored(context, dockerfile)
    for name in _walk(context):
        if not ignored(name):
            yield name


def _walk(top: Path, *, through_links: bool = False) -> Iterator[str]:
    for where, folders, files in os.walk(top, followlinks=through_links):
        folders[:] = [name for name in folders if name != _GIT]
        for name in (*folders, *files):
            path = Path(where, name)
            if name != _GIT:
                yield path.relative_to(top).as_posix()


def _ignored(context: Path, dockerfile: Path):
    """Asks Docker's own reading of the file; where that is known to leave out more than BuildKit
    does (an exception with a pattern in it), nothing is left out."""
    patterns = ignore_patterns(ignore_file(context, dockerfile))
    if not patterns or any(_PATTERN.match(line) for line in patterns):
        return lambda _: False
    from docker.utils.build import PatternMatcher

    kept = set(PatternMatcher(patterns).walk(str(context)))
    return lambda name: name not in kept


def ignore_file(context: Path, dockerfile: Path) -> Path:
    """Dockerfile.dockerignore wins over .dockerignore (Docker's manual, "Build context")."""
    own = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
    return own if own.is_file() else context / ".dockerignore"


def ignore_patterns(ignore: Path) -> list[str]:
    """Empty where there is no such file."""
    if not ignore.is_file():
        return []
    lines = (line.strip() for line in ignore.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _entry(path: Path, name: str) -> bytes:
    """Fixed in length, so that no two trees can run together to the same bytes."""
    status = path.lstat()
    kind = stat.S_IFMT(status.st_mode)
    entry = hashlib.sha256(f"{name}\0{kind:o}\0{stat.S_IMODE(status.st_mode):o}\0".encode())
    if stat.S_ISLNK(kind):
        entry.update(str(path.readlink()).encode())
    elif stat.S_ISREG(kind):
        with path.open("rb") as file:
            while chunk := file.read(_STEP):
                entry.update(chunk)
    return entry.digest()
