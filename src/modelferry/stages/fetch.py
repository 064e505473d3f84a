"""ResolvedModel → Model: the pinned files read in parallel, hashed in the same pass, checked."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, groupby
from pathlib import Path

from modelferry.artifacts import FetchedFile, Model, ModelFile, ResolvedModel
from modelferry.errors import ChecksumMismatch, Fault, InputError, ModelChanged, ModelError
from modelferry.plan.spec import ModelPlan
from modelferry.progress import Meter, metered
from modelferry.sources import open_source
from modelferry.sources.ranges import in_order, parts_of
from modelferry.sources.source import Source
from modelferry.values import format_bytes

log = logging.getLogger("modelferry.fetch")

_RESTARTS = 2
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def fetch_model(
    plan: ModelPlan,
    resolved: ResolvedModel,
    folder: Path,
    *,
    resolve: Callable[[], ResolvedModel],
    workspace: Path = Path(),
) -> Model:
    """Every file below `folder` (made if need be) at its path in the image, readable for us only.

    A source that changes meanwhile is resolved anew and fetched from the start, at most twice.
    After a failure nothing of the model is left below `folder`.
    """
    for restart in range(1, _RESTARTS + 1):
        try:
            return _fetch(plan, resolved, folder, workspace)
        except ModelChanged as error:
            log.warning("%s", error)
            log.warning("Starting again with what is there now (%d of %d)", restart, _RESTARTS)
            resolved = resolve()
    return _fetch(plan, resolved, folder, workspace)


def _fetch(plan: ModelPlan, resolved: ResolvedModel, folder: Path, workspace: Path) -> Model:
    sums = expected_sums(plan.sha256, resolved.files)
    sources = {
        line.line: open_source(line, plan.access, workspace=workspace) for line in plan.lines
    }
    with _whole_or_nothing(folder), metered(_label(resolved), resolved.size_bytes) as meter:
        by_line = groupby(resolved.files, key=lambda file: file.source_line)
        fetched = tuple(
            chain.from_iterable(
                _fetch_files(tuple(files), sources[line], folder, meter) for line, files in by_line
            )
        )
        for file in fetched:
            _check(file, sums.get(file.file))
    return Model(resolved=resolved, files=fetched)


def _fetch_files(
    files: Sequence[ModelFile], source: Source, folder: Path, meter: Meter
) -> Iterator[FetchedFile]:
    """One after the other on disk, side by side on the wire."""
    parts = chain.from_iterable(parts_of(file) for file in files)
    bodies = in_order(source.read, parts, connections=source.connections)
    try:
        for file in files:
            path = folder / file.image_path.relative_to("/")
            draft = folder / f".part-{file.source_line}"
            sha256, left = hashlib.sha256(), file.size_bytes
            with _create(draft) as out:
                while left:
                    _, body = next(bodies)
                    sha256.update(body)
                    out.write(body)
                    meter.add(len(body))
                    left -= len(body)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            draft.rename(path)
            yield FetchedFile(file=file, local_path=path, sha256=sha256.hexdigest())
    finally:
        bodies.close()


def expected_sums(
    given: tuple[tuple[str | None, str], ...], files: Sequence[ModelFile]
) -> dict[ModelFile, str]:
    """Which file each line of `model-sha256` means: by name, or by the end of its path."""
    sums: dict[ModelFile, str] = {}
    faults: list[Fault] = []
    names = ", ".join(sorted({str(file.image_path) for file in files}))
    for name, digest in given:
        meant = [file for file in files if name is None or _is_named(file, name)]
        if len(meant) == 1:
            sums[meant[0]] = digest
            continue
        problem = (
            f"names no file of the model ({names})"
            if not meant
            else f"must say which of {len(meant)} files is meant ({names}): HEX NAME"
        )
        faults.append(Fault(name="model-sha256", given=name, allowed=problem))
    if faults:
        raise InputError(*faults)
    return sums


def _is_named(file: ModelFile, name: str) -> bool:
    tail = "/" + name.removeprefix("./").lstrip("/")
    return str(file.image_path).endswith(tail) or file.uri.endswith(tail)


def _check(file: FetchedFile, expected: str | None) -> None:
    if expected is not None and file.sha256 != expected.lower():
        raise ChecksumMismatch(
            f"{file.file.uri} is not the file that `model-sha256` expects",
            seen=f"Expected {expected.lower()}\ngot      {file.sha256}"
            f" ({format_bytes(file.file.size_bytes)}, ETag {file.file.etag})",
            do="If the model was meant to change, put the new sum into `model-sha256`; "
            "else find out who replaced it.",
        )
    log.info("%s  %s (%s)", file.sha256, file.file.image_path, format_bytes(file.file.size_bytes))


@contextmanager
def _whole_or_nothing(folder: Path) -> Iterator[None]:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        yield
    except OSError as error:
        _empty(folder)
        if error.errno not in _NO_ROOM:
            raise
        free = format_bytes(shutil.disk_usage(folder).free)
        raise ModelError(
            f"There is no room for the model in {folder}: {error.strerror}",
            seen=f"{free} are free once what was fetched is removed again.",
            do="Use a runner with a larger disk, or free some in an earlier step.",
        ) from None
    except BaseException:
        _empty(folder)
        raise


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _create(path: Path):
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _label(resolved: ResolvedModel) -> str:
    if len(resolved.files) == 1:
        return f"fetch {resolved.files[0].image_path.name}"
    return f"fetch {len(resolved.files)} files"
