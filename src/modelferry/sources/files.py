"""`file:` sources: a file or folder of the workspace, or elsewhere on the runner.

Whoever writes to the repository must not choose what of the runner gets into an image: links in
the workspace lead to files of the workspace alone. Below an address outside, to any file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from modelferry.artifacts import ModelFile
from modelferry.errors import ModelChanged, ModelError, ModelNotFound
from modelferry.sources.source import PIECE_BYTES, StoredObject, key_of
from modelferry.sources.spec import ModelLine

_KINDS = {
    stat.S_IFDIR: "a link to a folder, which is not followed",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class FileSource:
    connections = 4

    def __init__(self, line: ModelLine, workspace: Path) -> None:
        self._line, self._workspace = line, workspace.absolute()
        self._home = self._workspace.resolve()

    def list(self, folder: str) -> Iterator[StoredObject]:
        """What is no file is refused, links to folders too, if it is chosen."""
        top = self._workspace / folder
        if not top.is_dir():
            return
        for where, folders, names in os.walk(top, onerror=_raise):
            folders.sort()
            links = (name for name in folders if Path(where, name).is_symlink())
            for name in sorted((*names, *links)):
                path = Path(where, name)
                yield self._listed(path, folder + path.relative_to(top).as_posix())

    def head(self, key: str) -> StoredObject:
        path = self._workspace / key
        if path.is_dir():
            raise ModelNotFound(
                f"file:{key} is a folder",
                do="End the address in a slash to take everything below it.",
            )
        return self._stored(path, key)

    def read(self, file: ModelFile, start: int, stop: int) -> Iterator[bytes]:
        key = key_of(self._line, file)
        try:
            with (self._workspace / key).open("rb", buffering=0) as opened:
                for position in range(start, stop, PIECE_BYTES):
                    size = min(PIECE_BYTES, stop - position)
                    piece = os.pread(opened.fileno(), size, position)
                    _refuse_changed(key, file, _etag(os.fstat(opened.fileno())))
                    yield piece
        except OSError as error:
            raise _explained(key, error) from None

    def _listed(self, path: Path, key: str) -> StoredObject:
        try:
            return self._stored(path, key)
        except ModelError as error:
            never = datetime.fromtimestamp(0, UTC)
            return StoredObject(key=key, size_bytes=0, etag=None, modified=never, refused=error)

    def _stored(self, path: Path, key: str) -> StoredObject:
        try:
            status = path.stat()
        except OSError as error:
            raise _explained(key, error) from None
        self._refuse_way_out(path, key)
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(
                f"file:{key} is {_KINDS.get(stat.S_IFMT(status.st_mode), 'no file')}",
                seen=f"It leads to {path.resolve()}." if path.is_symlink() else "",
                do="Remove it, or name the wanted files and folders one by one in `model`.",
            )
        return StoredObject(
            key=key,
            size_bytes=status.st_size,
            etag=_etag(status),
            modified=datetime.fromtimestamp(status.st_mtime, UTC),
        )

    def _refuse_way_out(self, path: Path, key: str) -> None:
        written = Path(os.path.abspath(path))  # noqa: PTH100 - `..` goes as the user wrote it
        inside = written.is_relative_to(self._workspace) or written.is_relative_to(self._home)
        if inside and not (place := path.resolve()).is_relative_to(self._home):
            raise ModelError(
                f"file:{key} leads out of the workspace",
                seen=f"It is {place}, by a link.",
                do="If that is meant, name it by its own path in `model`, or copy it into the "
                "workspace in an earlier step.",
            )


def _etag(status: os.stat_result) -> str:
    """A file has none: what changes with every write stands for it. The last part nobody can set,
    so that a copy with another's times is not taken for it."""
    marks = (status.st_mtime_ns, status.st_size, status.st_ino, status.st_ctime_ns)
    return f'"{"-".join(f"{mark:x}" for mark in marks)}"'


def _refuse_changed(key: str, file: ModelFile, now: str) -> None:
    if now != file.etag:
        raise ModelChanged(
            f"file:{key} changed while it was read",
            seen=f"Its mark was {file.etag} when it was chosen and is {now} now.",
            do="Let the step that writes the file end before this one.",
        )


def _explained(key: str, error: OSError) -> ModelError:
    if isinstance(error, FileNotFoundError):
        return ModelNotFound(
            f"file:{key} does not exist",
            seen="The path is taken relative to the workspace.",
            do="Check the path in `model`, and that an earlier step (actions/checkout) made it.",
        )
    return ModelError(
        f"file:{key} cannot be read: {error.strerror}",
        do="Check the file's owner and mode, and where it leads if it is a link.",
    )


def _raise(error: OSError) -> None:
    raise _explained(str(error.filename), error)
