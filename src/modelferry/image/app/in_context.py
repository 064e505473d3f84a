"""`model-in-context`: the model's files beside the user's, for as long as the build reads them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modelferry.artifacts import LocalFile
from modelferry.errors import BuildError
from modelferry.image.recipe.ignore import left_out
from modelferry.image.recipe.tree import ignore_file, read_rules


@contextmanager
def files_in_context(
    files: tuple[LocalFile, ...], context: Path, dockerfile: Path
) -> Iterator[None]:
    """Each file stands at the top of the context under its name in the image.

    Nothing of the user's is overwritten, and nothing is left behind. A file that .dockerignore
    keeps out of the context is refused: the build would go on without it and say nothing.
    """
    _refuse_ignored([local.file.image_path.name for local in files], context, dockerfile)
    placed: list[Path] = []
    try:
        for local in files:
            target = context / local.file.image_path.name
            _refuse_taken(local, target, ours=target in placed)
            placed.append(target)  # first: a cancel may come at any time
            _place(local, target)
        yield
    finally:
        for target in placed:
            target.unlink(missing_ok=True)


def _refuse_ignored(names: list[str], context: Path, dockerfile: Path) -> None:
    ignore = ignore_file(context, dockerfile)
    rules = read_rules(ignore)
    for name in names:
        if left_out(rules, name)[0]:
            raise BuildError(
                f"`model-in-context` puts {name} in the context, and {ignore.name} keeps it out",
                do=f"Add the line `!{name}` to {ignore}.",
            )


def _refuse_taken(local: LocalFile, target: Path, *, ours: bool) -> None:
    if not os.path.lexists(target):
        return
    there = "another file of the model" if ours else "something"
    raise BuildError(
        f"`model-in-context` would put {local.file.uri} at {target}, where {there} is",
        do=f"{'Name' if ours else 'Remove it, or name'} the file otherwise:"
        " `model: SOURCE => /folder/NAME`.",
    )


def _place(local: LocalFile, target: Path) -> None:
    try:
        target.hardlink_to(local.path)
    except OSError:  # another file system, or one without links
        shutil.copyfile(local.path, target)
    target.chmod(0o644)  # COPY keeps the mode, and an app that is not root must read it
