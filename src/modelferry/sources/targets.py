"""Where each object goes in the image, and which names from storage are refused. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from urllib.parse import unquote

from modelferry.artifacts import ModelFile
from modelferry.errors import Fault, InputError, ModelError
from modelferry.sources.source import StoredObject, uri_of
from modelferry.sources.spec import ModelLine, SourceKind
from modelferry.values import WHITEOUT, is_utf8, mounted_over

_LONGEST_NAME = 255  # bytes; what Linux file systems take


def place(line: ModelLine, listed: str, root: str, found: StoredObject) -> ModelFile:
    """The object under its name relative to `root`. Raises ModelError for what the source
    refuses, and for a hostile name: all below `listed` was named by whoever writes to the storage,
    not by the user.
    """
    decoded = unquote if line.kind is SourceKind.HTTPS else str
    name, foreign = decoded(found.key.removeprefix(root)), decoded(found.key.removeprefix(listed))
    uri = uri_of(line, found.key)
    if reason := unsafe(foreign):
        raise ModelError(
            f"The name {foreign!r} cannot become a path in the image: it {reason}",
            seen=f"It is that of {uri!r}.",
            do="Rename or remove the object, or name the wanted files one by one in `model`.",
        )
    if found.refused:
        raise found.refused
    return ModelFile(
        uri=uri,
        image_path=line.target / name if line.target_is_folder else line.target,
        size_bytes=found.size_bytes,
        etag=found.etag,
        version_id=found.version_id,
        modified=found.modified,
        source_line=line.line,
    )


def unsafe(name: str) -> str:
    """Why a name from storage must not become a path; "" where it may."""
    if name.startswith("/"):
        return "is absolute"
    if not is_utf8(name):
        return "is not UTF-8"
    if "\\" in name:
        return "holds a backslash"
    if control := next((each for each in name if ord(each) < 32 or ord(each) == 127), ""):
        return "holds a newline" if control == "\n" else f"holds the control character {control!r}"
    return next(filter(None, map(_unsafe_segment, name.split("/"))), "")


def _unsafe_segment(segment: str) -> str:
    if not segment:
        return "has an empty segment"
    if segment in (".", ".."):
        return f"has {segment!r} as a segment, by which it could leave the model's folder"
    if segment.startswith(WHITEOUT):
        return f"has {segment!r} as a segment, which deletes other files in an image"
    if len(segment.encode()) > _LONGEST_NAME:
        return f"has a segment longer than {_LONGEST_NAME} bytes"
    return ""


def refuse_places(files: Sequence[ModelFile]) -> None:
    """Two files on one path, a file where another needs a folder, or one that no container would
    see. Raises InputError."""
    taken: dict[PurePosixPath, ModelFile] = {}
    faults: list[Fault] = []
    for file in files:
        other = taken.setdefault(file.image_path, file)
        if other is not file:
            both = (
                f"{other.uri} (line {other.source_line}) and {file.uri} (line {file.source_line})"
            )
            text = f"two files go to {file.image_path}: {both}"
            faults.append(Fault(name="model", given=None, allowed=text))
    for file in files:
        for parent in file.image_path.parents:
            if parent in taken:
                text = f"{taken[parent].uri} goes to {parent}, where {file.uri} needs a folder"
                faults.append(Fault(name="model", given=None, allowed=text))
        if mount := mounted_over(file.image_path):
            text = f"{file.uri} goes to {file.image_path}, where containers have a mount: {mount}"
            faults.append(Fault(name="model", given=None, allowed=text))
    if faults:
        raise InputError(*faults)
