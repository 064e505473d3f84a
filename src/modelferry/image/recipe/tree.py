"""The content of a build context as one digest: names, modes and bytes of all that a build may
read. Times and owners do not count, as COPY does not keep them either."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from modelferry.image.recipe.ignore import Hits, Rule, left_out, parse_rules

_STEP = 1 << 20
_GIT = ".git"  # what it says differs with every checkout, and the commit is no content


def tree_digest(context: Path, ignore: Path) -> str:
    """Hex. What the file `ignore` keeps out does not count."""
    total = hashlib.sha256()
    for name in sorted(sent_names(context, read_rules(ignore))):
        total.update(_entry(context / name, name))
    return total.hexdigest()


def path_digest(path: Path) -> str:
    """Hex, of a file or of all below a folder, as one sees it who reads through symlinks."""
    total = hashlib.sha256()
    names = sorted(_walk(path)) if path.is_dir() else [""]
    for name in names:
        total.update(_entry((path / name if name else path).resolve(), name))
    return total.hexdigest()


def ignore_file(context: Path, dockerfile: Path) -> Path:
    """Dockerfile.dockerignore wins over .dockerignore (Docker's manual, "Build context")."""
    own = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
    return own if own.is_file() else plain_ignore_file(context)


def plain_ignore_file(context: Path) -> Path:
    """All that BuildKit looks for in a context that is not the main one."""
    return context / ".dockerignore"


def read_rules(ignore: Path) -> tuple[Rule, ...]:
    """None of a symlink: for BuildKit, whose root is the context, it may lead elsewhere."""
    is_read = ignore.is_file() and not ignore.is_symlink()
    return parse_rules(ignore.read_bytes()) if is_read else ()


def sent_names(
    top: Path, rules: Sequence[Rule], folder: str = "", above: Hits = ()
) -> Iterator[str]:
    """Names as BuildKit sends them: with each also the folders that it is in."""
    has_exceptions = any(rule.is_exception for rule in rules)
    with os.scandir(top / folder) as found:
        entries = tuple(found)
    for entry in entries:
        if entry.name == _GIT:
            continue
        name = f"{folder}{entry.name}"
        out, hits = left_out(rules, name, above)
        is_folder = entry.is_dir(follow_symlinks=False)
        # BuildKit, too, passes by a folder that is left out and that nobody may read.
        is_open = not out or (has_exceptions and os.access(entry, os.R_OK | os.X_OK))
        below = tuple(sent_names(top, rules, f"{name}/", hits)) if is_folder and is_open else ()
        if below or not out:
            yield name
            yield from below


def _walk(top: Path) -> Iterator[str]:
    for where, folders, files in os.walk(top, followlinks=True):
        folders[:] = [name for name in folders if name != _GIT]
        for name in (*folders, *files):
            if name != _GIT:
                yield Path(where, name).relative_to(top).as_posix()


def _entry(path: Path, name: str) -> bytes:
    """Fixed in length, so that no two trees can run together to the same bytes."""
    status = path.lstat()
    kind = stat.S_IFMT(status.st_mode)
    mode = f"\0{kind:o}\0{stat.S_IMODE(status.st_mode):o}\0"
    entry = hashlib.sha256(os.fsencode(name) + mode.encode())
    if stat.S_ISLNK(kind):
        entry.update(os.fsencode(path.readlink()))
    elif stat.S_ISREG(kind):
        with path.open("rb") as file:
            while chunk := file.read(_STEP):
                entry.update(chunk)
    return entry.digest()
