"""What a release says of itself in its manifests' annotations, for the next run. Pure.

Two manifests: the image's, and the app's alone (its config as the builder gave it, so that a
builder finds its inline cache there). What is missing or unreadable is left out: it costs speed.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

from modelferry.artifacts import Descriptor
from modelferry.image.compose import (
    AppImage,
    Composition,
    ModelLayer,
    Pairs,
    compose_as_built,
    describe,
    diff_ids_of,
)
from modelferry.image.layer_entries import Record, read_records, records_json
from modelferry.image.model_record import ModelRecord, read_model
from modelferry.image.seam import ReleasedStack
from modelferry.values import Digest, parse_digest

BUILD_KEY = "modelferry.build-key"
IMAGE_ID = "modelferry.app.image-id"  # on the app's manifest, as the engine calls it
ENTRIES = "modelferry.app.entries"
IMAGE = "modelferry.image"  # on the app's manifest: the digest of the image made of it
MODELS = "modelferry.models"  # on the app's manifest: all that is told of the model layers; the
# image's, which every node pulls, tells of few files, and may have been written before

_MOST_SAID = 3 << 20  # by one manifest; registries take up to 4 MiB
_LARGEST_UNPACKED = 64 << 20


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
    def blobs(self) -> set[Digest]:
        return {self.config.digest, *(layer.descriptor.digest for layer in self.layers)}

    @property
    def model_layers(self) -> frozenset[Digest]:
        """By diff id."""
        return frozenset(layer.diff_id for layer in self.layers if layer.model)

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
    default: ReleasedImage | None = None  # the default branch's, where this one has its own
    unreadable: str = ""  # why there is no image although there is its tag

    def blobs(self) -> dict[Digest, ReleasedLayer]:
        """Where the registry has a layer, by diff id; this repository's own first."""
        own = (*self.images, self.app) if self.app else self.images
        layers = chain.from_iterable(part.layers for part in own)
        return {
            layer.diff_id: layer
            for layer in reversed((*layers, *self.others))
            if layer.descriptor.digest in self.present
        }

    def and_others(self, layers: Sequence[ReleasedLayer]) -> Released:
        """With these, which are there or on their way."""
        present = self.present.union(layer.descriptor.digest for layer in layers)
        return replace(self, others=(*self.others, *layers), present=present)

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

    @property
    def images(self) -> tuple[ReleasedImage, ...]:
        return tuple(image for image in (self.image, self.default) if image)

    def made_by(self, build_key: str) -> ReleasedImage | None:
        """The image that came of this build key, if all of it is there."""
        for image in self.images:
            keys = (image.annotations.get(BUILD_KEY), self.said_of(image).get(BUILD_KEY))
            if build_key in keys and image.blobs <= self.present:
                return image
        return None

    def said_of(self, image: ReleasedImage) -> Mapping[str, str]:
        """Its annotations; the app's are newer, where the same content was released again."""
        newer = self.app and self.app.annotations.get(IMAGE) == image.digest
        return self.app.annotations if self.app and newer else image.annotations

    @property
    def stack(self) -> ReleasedStack | None:
        return self.image.stack if self.image else None


def compose_app(
    app: AppImage,
    *,
    image: Composition,
    models: Iterable[ModelLayer],
    image_id: str | None,
    records: Mapping[Digest, Record],
    key: Pairs,
) -> Composition:
    """The app's own manifest. `models`: the image's, each with all that is to be told of it.
    `image_id`: None where no engine has the app. `key`: the build key's annotations. Of what is
    too long for a manifest, the next run reads the layers again."""
    told = (part.layer.descriptor for part in models)
    annotations = {
        IMAGE: image.manifest.digest,
        IMAGE_ID: image_id or "",
        **dict(key),
        MODELS: _packed({layer.digest: dict(layer.annotations) for layer in told}),
        ENTRIES: _packed(records_json(records)),
    }
    said: list[tuple[str, str]] = []
    left = _MOST_SAID
    for name, value in annotations.items():
        if value and (size := len(value.encode())) <= left:
            said.append((name, value))
            left -= size
    return compose_as_built(app, tuple(said))


def keep_released(image: Composition, released: Iterable[ReleasedImage]) -> Composition:
    """The same content keeps its released manifest, and so its digest: no pod starts anew because
    of another commit, run or branch in an annotation."""
    for known in released:
        if _is_same(image, known):
            return replace(
                image,
                manifest=describe(known.manifest, image.manifest.media_type),
                manifest_bytes=known.manifest,
            )
    return image


def _is_same(image: Composition, known: ReleasedImage) -> bool:
    ours = [layer.descriptor.digest for layer in image.layers]
    theirs = [layer.descriptor.digest for layer in known.layers]
    kept = json.loads(known.manifest).get("mediaType")
    return (image.config.digest, ours, image.manifest.media_type) == (
        known.config.digest,
        theirs,
        kept,
    )


def read_layers(
    layers: Sequence[Descriptor], config: bytes, repository: str, models: str | None = None
) -> tuple[ReleasedLayer, ...]:
    """Raises ValueError, KeyError or TypeError when manifest and config do not fit together."""
    diff_ids = [parse_digest(given) for given in diff_ids_of(config)]
    newer = _model_annotations(models)
    return tuple(
        ReleasedLayer(
            descriptor=replace(layer, annotations=newer.get(layer.digest, layer.annotations)),
            diff_id=diff_id,
            repository=repository,
            model=read_model(newer.get(layer.digest, layer.annotations)),
        )
        for layer, diff_id in zip(layers, diff_ids, strict=True)
    )


def read_entries(annotations: Mapping[str, str]) -> Mapping[Digest, Record]:
    try:
        return read_records(_unpacked(annotations[ENTRIES]).decode())
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _model_annotations(text: str | None) -> dict[str, Pairs]:
    try:
        found: dict[str, dict[str, str]] = json.loads(_unpacked(text)) if text else {}
        return {digest: tuple(sorted(pairs.items())) for digest, pairs in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def _packed(value: object) -> str:
    """In ASCII: a file's name need not be UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode())).decode()


def _unpacked(text: str) -> bytes:
    """ValueError for what `_packed` did not make, or what is too large."""
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(base64.b64decode(text, validate=True), _LARGEST_UNPACKED)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if not unpacking.eof:
        raise ValueError("it is cut off, or too large")
    return data
