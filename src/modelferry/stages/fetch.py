"""ResolvedModel → OpenModel: the pinned files, ready to be read by whoever needs them.

The model is kept nowhere: stages/build.py reads it into layers. Only for `model-in-context`, where
the Dockerfile needs the files themselves, they are on disk.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from modelferry.artifacts import FetchedFile, LocalFile, Model, ResolvedModel
from modelferry.errors import ModelChanged, ModelError
from modelferry.image.model_layers import as_asked, fetched_files, plan_model
from modelferry.image.model_pass import WINDOW_BYTES, ModelPass
from modelferry.plan.spec import ModelPlan
from modelferry.progress import metered
from modelferry.sources import open_source
from modelferry.sources.copies import Copies
from modelferry.sources.open_model import OpenModel
from modelferry.values import format_bytes

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def open_model(
    plan: ModelPlan,
    resolved: ResolvedModel,
    *,
    resolve: Callable[[], ResolvedModel],
    workspace: Path = Path(),
) -> OpenModel:
    """InputError where `model-sha256` names no file of the model. Nothing is read yet."""
    lines = {line.line: line for line in plan.lines}
    return OpenModel(
        resolved,
        lambda line: open_source(lines[line], plan.access, workspace=workspace),
        sha256=plan.sha256,
        resolve=resolve,
    )


def hash_model(model: OpenModel) -> tuple[Model, int]:
    """Read to the end and checked, for a run that does no more with it; the bytes that took."""
    while True:
        views = plan_model(model.resolved.files, as_asked(model.resolved.files))
        with metered("fetch", model.resolved.size_bytes) as meter:
            running = ModelPass(views, partial(model.reader, meter.add))
            try:
                return model.check(fetched_files(views, running.sums())), model.fetched_bytes
            except ModelChanged as error:
                model = model.again(error)
            finally:
                running.abandon()


def put_on_disk(model: OpenModel, folder: Path) -> OpenModel:
    """Every file below `folder` (made if need be) at its path in the image, readable for us only.

    After a failure nothing of the model is left there.
    """
    while True:
        try:
            with _whole_or_nothing(folder):
                copies, sums = _write(model, folder)
                model.check(sums)
        except ModelChanged as error:
            model = model.again(error)
        else:
            return model.copied(Copies(copies), copies)


def _write(model: OpenModel, folder: Path) -> tuple[tuple[LocalFile, ...], tuple[FetchedFile, ...]]:
    copies = tuple(
        LocalFile(file=file, path=folder / file.image_path.relative_to("/"))
        for file in model.resolved.files
    )
    with metered("fetch", model.resolved.size_bytes) as meter:
        read = model.reader(meter.add, WINDOW_BYTES)
        with closing(read((each.file, 0, each.file.size_bytes) for each in copies)) as bodies:
            return copies, tuple(_write_file(each, bodies) for each in copies)


def _write_file(copy: LocalFile, bodies: Iterator[memoryview]) -> FetchedFile:
    copy.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    sha256, left = hashlib.sha256(), copy.file.size_bytes
    with os.fdopen(os.open(copy.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        while left:
            body = next(bodies)
            sha256.update(body)
            out.write(body)
            left -= len(body)
    return FetchedFile(file=copy.file, sha256=sha256.hexdigest())


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
