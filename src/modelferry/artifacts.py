"""What flows from stage to stage. The types fix the order: push takes only a TestedImage,
deploy only a PushedImage.

ResolvedModel → Model ┐
                      ├→ Image → TestedImage → PushedImage → Rollout
              App ────┘
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Literal

from modelferry.values import Digest, ImageRef


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """One object of the model, pinned: every later read asks for this very version."""

    uri: str  # the user's scheme, without credentials: azblob://acct/models/v3/model.onnx
    image_path: PurePosixPath  # absolute
    size_bytes: int
    etag: str | None
    version_id: str | None
    modified: datetime | None
    source_line: int  # which `model` line it came from, counted from 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    files: tuple[ModelFile, ...]
    version: str  # label for people
    reasons: tuple[str, ...]  # one sentence a line of `model`: what was chosen and why

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedFile:
    file: ModelFile
    sha256: str  # 64 hex digits


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A copy on disk, where the build needs the file itself."""

    file: ModelFile
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The resolved model, read to its end and checked."""

    resolved: ResolvedModel
    files: tuple[FetchedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """OCI content descriptor (image-spec, descriptor.md)."""

    media_type: str
    digest: Digest
    size_bytes: int
    annotations: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AppManifest:
    """The app alone, for the next run: its config as the builder gave it, and a manifest of its
    layers. Pushed beside the image, whose layers are the app's and the model's."""

    config: bytes
    manifest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """The composed image: its bytes are fixed, and if tests will run, the engine has it.

    `config` and `manifest` are the exact bytes that will be pushed. `digest` is the manifest's.
    """

    config: bytes
    manifest: bytes
    manifest_media_type: str
    digest: Digest
    engine_id: str  # what the tests run; equals the config's or the manifest's digest
    layers: tuple[Layer, ...]  # bottom first, as in the manifest
    uploaded_bytes: int = 0  # sent to the registry while the image was made
    app: AppManifest | None = None

    @property
    def size_bytes(self) -> int:
        return sum(layer.descriptor.size_bytes for layer in self.layers)

    @property
    def model_layers(self) -> frozenset[Digest]:
        """By diff id."""
        return frozenset(layer.diff_id for layer in self.layers if layer.origin == "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    descriptor: Descriptor
    diff_id: Digest
    origin: Literal["app", "model"]
    read: Callable[[int, int], bytes] = field(repr=False, compare=False)  # start, stop


class Verdict(StrEnum):
    PASSED = "passed"
    SKIPPED = "not tested"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestedImage:
    __test__ = False

    image: Image
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class PushedImage:
    """An image that the registry has: pinned reference and the tags that point at it now."""

    ref: ImageRef  # pinned
    digest: Digest
    tags: tuple[str, ...]
    model_version: str = ""
    uploaded_bytes: int = 0
    image_id: str = ""  # its config's digest, where no engine has the image
    reused: bool = False  # a release of before, taken as it is


def as_pushed(image: str, model_version: str = "") -> PushedImage | None:
    """An image that was deployed before; None for one that is known by its tag alone."""
    ref = ImageRef.parse(image)
    if not ref.digest:
        return None
    return PushedImage(ref=ref, digest=ref.digest, tags=(), model_version=model_version)


class RolloutState(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ROLLED_BACK = "rolled-back"
    ROLLBACK_FAILED = "rollback-failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    state: RolloutState
    objects: tuple[str, ...]  # "deployment/score", as applied
    previous_image: str | None
    url: str | None
    diff: str = ""  # what was changed, for people; without secret values
    notices: tuple[str, ...] = ()  # what a person should know although all went well
    release: int | None = None  # its number in the history, if one is kept
    image: str | None = None  # of a rollback by hand: what runs now, by digest
    model_version: str = ""  # the one in it
    of: int | None = None  # the release that it returned to
