"""`model-in-context`: the model's files beside the user's, for as long as the build reads them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelferry.artifacts import FetchedFile
from modelferry.errors import BuildError


@contextmanager
def files_in_context(files: tuple[FetchedFile, ...], context: Path) -> Iterator[None]:
    """Each file stands at the top of the context under its name in the image.

    Nothing of the user's is overwritten, and nothing is left behind.
    """
    placed: list[Path] = []
    try:
        for fetched in files:
            target = context / fetched.file.image_path.name
            _place(fetched, target)
            placed.append(target)
        yield
    finally:
        for target in placed:
            target.unlink(missing_ok=True)


def _place(fetched: FetchedFile, target: Path) -> None:
    if os.path.lexists(target):
        raise BuildError(
            f"`model-in-context` would put {fetched.file.uri} at {target}, where something is",
            do="Remove it, or name the file otherwise: `model: SOURCE => /folder/NAME`.",
        )
    try:
        target.hardlink_to(fetched.local_path)
    except OSError:  # another file system, or one without links
        shutil.copyfile(fetched.local_path, target)
    target.chmod(0o644)  # COPY keeps the mode, and an app that is not root must read it
