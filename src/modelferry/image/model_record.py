"""What a model layer was made of, in its descriptor's annotations: the same files and folders give
the same layer, so that a later run need not read them. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from modelferry.artifacts import ModelFile
from modelferry.image.compose import Pairs, canonical_json
from modelferry.image.layer import Folder

FILES = "modelferry.model.files"
FOLDERS = "modelferry.model.folders"

SumOf = Callable[[ModelFile], str | None]  # hex; None where that is not known


def nobody_knows(_: ModelFile) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One model file of a released layer."""

    uri: str
    path: PurePosixPath  # as asked for
    place: PurePosixPath  # with its parents' symlinks resolved
    etag: str | None
    version_id: str | None
    size_bytes: int
    sha256: str

    def is_of(self, file: ModelFile, place: PurePosixPath, sum_of: SumOf = nobody_knows) -> bool:
        """Whether the source still has the very bytes: by its mark, else by their SHA-256."""
        return (
            (self.uri, self.path, self.place) == (file.uri, file.image_path, place)
            and self.size_bytes == file.size_bytes
            and (self._is_marked(file) or self.sha256 == sum_of(file))
        )

    def _is_marked(self, file: ModelFile) -> bool:
        known = (self.version_id, self.etag) == (file.version_id, file.etag)
        return known and bool(file.version_id or file.etag)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    files: tuple[FileRecord, ...]
    folders: tuple[Folder, ...]


def model_annotations(record: ModelRecord) -> Pairs:
    """For the descriptor of a model layer."""
    files = [
        {
            "uri": file.uri,
            "path": str(file.path),
            "place": str(file.place),
            "etag": file.etag,
            "versionId": file.version_id,
            "size": file.size_bytes,
            "sha256": file.sha256,
        }
        for file in record.files
    ]
    folders = [
        [str(folder.path), folder.mode, folder.uid, folder.gid, folder.mtime_s]
        for folder in record.folders
    ]
    return ((FILES, _json(files)), (FOLDERS, _json(folders)))


def read_model(annotations: Pairs) -> ModelRecord | None:
    said = dict(annotations)
    if FILES not in said:
        return None
    try:
        return ModelRecord(
            files=tuple(_read_file(file) for file in json.loads(said[FILES])),
            folders=tuple(_read_folder(*given) for given in json.loads(said.get(FOLDERS, "[]"))),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return ModelRecord(files=(), folders=())  # a model layer still, that equals no other


def _read_file(file: Mapping[str, Any]) -> FileRecord:
    return FileRecord(
        uri=file["uri"],
        path=PurePosixPath(file["path"]),
        place=PurePosixPath(file.get("place") or file["path"]),
        etag=file["etag"],
        version_id=file["versionId"],
        size_bytes=int(file["size"]),
        sha256=file["sha256"],
    )


def _read_folder(path: str, mode: int, uid: int, gid: int, mtime_s: int) -> Folder:
    return Folder(path=PurePosixPath(path), mode=mode, uid=uid, gid=gid, mtime_s=mtime_s)


def _json(value: object) -> str:
    return canonical_json(value).decode()
