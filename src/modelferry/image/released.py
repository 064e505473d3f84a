"""What a release says of itself in its manifests' annotations, for the next run. Pure.

Two manifests: the image's, and the app's alone (its config as the builder gave it, so that a
builder finds its inline cache there). What is missing or unreadable is left out: it costs speed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from modelferry.artifacts import Descriptor, ModelFile
from modelferry.image.compose import (
    AppImage,
    Composition,
    Pairs,
    canonical_json,
    compose_as_built,
    describe,
)
from modelferry.image.layer import Folder
from modelferry.image.layer_entries import Record, read_records, records_json
from modelferry.image.seam import ReleasedStack
from modelferry.values import Digest, parse_digest

COMMIT = "org.opencontainers.image.revision"
RUN = "modelferry.run"  # id/attempt
BUILD_KEY = "modelferry.build-key"
FILES = "modelferry.model.files"  # on a model layer: where its bytes came from
FOLDERS = "modelferry.model.folders"
IMAGE_ID = "modelferry.app.image-id"  # on the app's manifest, as the engine calls it
ENTRIES = "modelferry.app.entries"
IMAGE = "modelferry.image"  # on the app's manifest: the digest of the image made of it
MODELS = "modelferry.models"  # the model layers' annotations, when the image's were written before

_LONGEST_ANNOTATION = 1 << 20  # registries take manifests up to 4 MiB


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

    def is_of(self, file: ModelFile, place: PurePosixPath) -> bool:
        """Whether the source still has the very bytes; without a mark of its own, nobody knows."""
        return (
            (self.uri, self.path, self.place) == (file.uri, file.image_path, place)
            and (self.version_id, self.etag) == (file.version_id, file.etag)
            and self.size_bytes == file.size_bytes
            and bool(file.version_id or file.etag)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """What a model layer was made of: the same files and folders give the same layer."""

    files: tuple[FileRecord, ...]
    folders: tuple[Folder, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedLayer:
    descriptor: Descriptor
    diff_id: Digest
    repository: str  # of the registry that the run pushes to
    model: ModelRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedImage:
    digest: Digest
    manifest: bytes
    config: Descriptor
    layers: tuple[ReleasedLayer, ...]
    annotations: Mapping[str, str]

    @property
    def stack(self) -> ReleasedStack | None:
        """None where there is no model, or its layers do not lie together."""
        places = [place for place, layer in enumerate(self.layers) if layer.model]
        if not places or places[-1] - places[0] + 1 != len(places):
            return None
        app = tuple(layer.diff_id for layer in self.layers if not layer.model)
        return ReleasedStack(app=app, below_model=places[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedApp:
    tag: str  # where it was found
    config: bytes
    config_digest: Digest
    layers: tuple[ReleasedLayer, ...]
    annotations: Mapping[str, str]

    @property
    def image_id(self) -> str | None:
        return self.annotations.get(IMAGE_ID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """Of this repository, and of others on the same registry that this run may read."""

    image: ReleasedImage | None = None
    app: ReleasedApp | None = None
    others: tuple[ReleasedLayer, ...] = ()
    present: frozenset[Digest] = frozenset()  # blobs that the registry said it has
    records: Mapping[Digest, Record] = field(default_factory=dict)  # by an app layer's diff id

    def blobs(self) -> dict[Digest, ReleasedLayer]:
        """Where the registry has a layer, by diff id; this repository's own first."""
        own = (*(self.image.layers if self.image else ()), *(self.app.layers if self.app else ()))
        return {
            layer.diff_id: layer
            for layer in reversed((*own, *self.others))
            if layer.descriptor.digest in self.present
        }

    def elsewhere(self, repository: str) -> dict[Digest, str]:
        """The other repositories of the registry that have a blob."""
        return {
            layer.descriptor.digest: layer.repository
            for layer in self.blobs().values()
            if layer.repository != repository
        }

    def models(self) -> tuple[ReleasedLayer, ...]:
        """Model layers whose blob is there, to be taken as they are for the same files."""
        return tuple(layer for layer in self.blobs().values() if layer.model)

    def whole_app(self) -> ReleasedApp | None:
        """The app, if the registry has each of its layers."""
        if self.app is None:
            return None
        known = all(layer.descriptor.digest in self.present for layer in self.app.layers)
        return self.app if known else None

    def made_by(self, build_key: str) -> ReleasedImage | None:
        """The image, if it came of this build key and all of it is there."""
        if self.image is None:
            return None
        blobs = {
            self.image.config.digest,
            *(layer.descriptor.digest for layer in self.image.layers),
        }
        keys = [self.image.annotations.get(BUILD_KEY)]
        if self.app and self.app.annotations.get(IMAGE) == self.image.digest:
            keys.append(self.app.annotations.get(BUILD_KEY))
        return self.image if build_key in keys and blobs <= self.present else None

    @property
    def stack(self) -> ReleasedStack | None:
        return self.image.stack if self.image else None


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


def compose_app(
    app: AppImage,
    *,
    image: Composition,
    image_id: str | None,
    records: Mapping[Digest, Record],
    build_key: str | None,
) -> Composition:
    """The app's own manifest. `image_id`: None where no engine has the app."""
    models = {
        layer.descriptor.digest: dict(layer.descriptor.annotations)
        for layer in image.layers
        if layer.origin == "model"
    }
    annotations = {
        IMAGE: image.manifest.digest,
        IMAGE_ID: image_id or "",
        BUILD_KEY: build_key or "",
        ENTRIES: _json(records_json(records)),
        MODELS: _json(models),
    }
    said = ((key, value) for key, value in annotations.items() if value)
    return compose_as_built(
        app, tuple(pair for pair in said if len(pair[1].encode()) <= _LONGEST_ANNOTATION)
    )


def keep_released(image: Composition, released: ReleasedImage | None) -> Composition:
    """The same content keeps its released manifest, and so its digest: no pod starts anew because
    of another commit or run in an annotation."""
    if released is None:
        return image
    ours = [layer.descriptor.digest for layer in image.layers]
    theirs = [layer.descriptor.digest for layer in released.layers]
    if (image.config.digest, ours) != (released.config.digest, theirs):
        return image
    kept = json.loads(released.manifest).get("mediaType")
    if kept != image.manifest.media_type:
        return image
    return replace(
        image,
        manifest=describe(released.manifest, image.manifest.media_type),
        manifest_bytes=released.manifest,
    )


def read_layers(
    layers: Sequence[Descriptor], config: bytes, repository: str, models: str | None = None
) -> tuple[ReleasedLayer, ...]:
    """Raises ValueError, KeyError or TypeError when manifest and config do not fit together."""
    diff_ids = [parse_digest(given) for given in json.loads(config)["rootfs"]["diff_ids"]]
    newer = _model_annotations(models)
    return tuple(
        ReleasedLayer(
            descriptor=replace(layer, annotations=newer.get(layer.digest, layer.annotations)),
            diff_id=diff_id,
            repository=repository,
            model=_read_model(newer.get(layer.digest, layer.annotations)),
        )
        for layer, diff_id in zip(layers, diff_ids, strict=True)
    )


def read_entries(annotations: Mapping[str, str]) -> Mapping[Digest, Record]:
    try:
        return read_records(annotations[ENTRIES])
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _model_annotations(text: str | None) -> dict[str, Pairs]:
    try:
        found: dict[str, dict[str, str]] = json.loads(text or "{}")
        return {digest: tuple(sorted(pairs.items())) for digest, pairs in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _read_model(annotations: Pairs) -> ModelRecord | None:
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
