"""App layers and model layers → one image: its config and its manifest, byte for byte. Pure.

The config (and so the image ID on Docker's classic store) is a function of content alone; what
differs from run to run, commit and run, belongs to the manifest's annotations.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelferry.artifacts import Descriptor, Layer, Model
from modelferry.values import Digest, digest_of

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
GZIP_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

_BUILD_CACHE = "moby.buildkit.cache."

_LONGEST_LABEL = 4000  # containerd takes no more than 4096 bytes, the label's name among them

Pairs = tuple[tuple[str, str], ...]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppImage:
    """The image without the model: the config as the engine has it, layers bottom first."""

    config: bytes
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLayer:
    layer: Layer
    history: str  # one line for people


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    config: Descriptor
    config_bytes: bytes
    manifest: Descriptor
    manifest_bytes: bytes
    layers: tuple[Layer, ...]


def compose(
    app: AppImage,
    model: tuple[ModelLayer, ...],
    *,
    seam: int | None = None,
    labels: Pairs = (),
    annotations: Pairs = (),
) -> Composition:
    """`seam`: how many of the app's layers lie below the model's; None puts the model on top."""
    below = len(app.layers) if seam is None else seam
    layers = (*app.layers[:below], *(part.layer for part in model), *app.layers[below:])
    config = _config(app, model, layers, below, labels)
    config_descriptor = describe(config, CONFIG_TYPE)
    manifest = _manifest(config_descriptor, layers, annotations)
    return Composition(
        config=config_descriptor,
        config_bytes=config,
        manifest=describe(manifest, MANIFEST_TYPE),
        manifest_bytes=manifest,
        layers=layers,
    )


def compose_as_built(app: AppImage, annotations: Pairs = ()) -> Composition:
    """The app alone, its config to the byte: a builder reads its inline cache out of it."""
    config = describe(app.config, CONFIG_TYPE)
    manifest = _manifest(config, app.layers, annotations)
    return Composition(
        config=config,
        config_bytes=app.config,
        manifest=describe(manifest, MANIFEST_TYPE),
        manifest_bytes=manifest,
        layers=app.layers,
    )


def describe(data: bytes, media_type: str) -> Descriptor:
    return Descriptor(media_type=media_type, digest=digest_of(data), size_bytes=len(data))


def without_build_cache(config: bytes) -> Json:
    """What of a config is the image's: a builder's notes are of use beside the app's layers alone,
    and not the same in each build of the same app."""
    given: Json = json.loads(config)
    return {key: value for key, value in given.items() if not key.startswith(_BUILD_CACHE)}


def diff_ids_of(config: bytes) -> list[Digest]:
    """Bottom first. An image without layers has `null` there."""
    return json.loads(config)["rootfs"]["diff_ids"] or []


def platform_of(config: bytes) -> str:
    """os/architecture, or os/architecture/variant, as manifests' indexes have it."""
    given: Json = json.loads(config)
    named = (given.get(name) for name in ("os", "architecture", "variant"))
    return "/".join(name for name in named if name)


def model_labels(model: Model) -> Pairs:
    """What `docker inspect` tells about the model; of several files, one a line."""
    return (
        ("modelferry.model.sha256", _lines([file.sha256 for file in model.files])),
        ("modelferry.model.uri", _lines([file.file.uri for file in model.files])),
        ("modelferry.model.version", model.resolved.version),
    )


def _lines(lines: Sequence[str]) -> str:
    """Too many for a label are told by their number and the sum of what would stand there."""
    text = "\n".join(lines)
    if len(text.encode()) <= _LONGEST_LABEL:
        return text
    return f"{len(lines)} files, {digest_of(text.encode())}"


def canonical_json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _config(
    app: AppImage,
    model: tuple[ModelLayer, ...],
    layers: tuple[Layer, ...],
    below: int,
    labels: Pairs,
) -> bytes:
    config = without_build_cache(app.config)
    config["rootfs"] = {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]}
    config["history"] = _history(config.get("history") or [], model, len(app.layers), below)
    if labels:
        run: Json = config.get("config") or {}
        config["config"] = {**run, "Labels": {**(run.get("Labels") or {}), **dict(labels)}}
    return canonical_json(config)


def _history(
    recorded: list[Json], model: tuple[ModelLayer, ...], app_layers: int, below: int
) -> list[Json]:
    """The app's lines in their order, the model's where its layers are: readers pair the lines
    that are not `empty_layer` with the layers, one by one."""
    ours = [{"created_by": part.history, "comment": "modelferry"} for part in model]
    written = sum(not line.get("empty_layer") for line in recorded)
    missing = [{"created_by": "not recorded"}] * (app_layers - written)
    lines = missing + recorded
    position = _after_layers(lines, below)
    return lines[:position] + ours + lines[position:]


def _after_layers(lines: list[Json], count: int) -> int:
    """The place right after the line of the `count`-th layer; the end, if that is the last one."""
    places = [place for place, line in enumerate(lines, 1) if not line.get("empty_layer")]
    if count == 0:
        return 0
    return len(lines) if count >= len(places) else places[count - 1]


def _manifest(config: Descriptor, layers: tuple[Layer, ...], annotations: Pairs) -> bytes:
    manifest: Json = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor_json(config),
        "layers": [descriptor_json(layer.descriptor) for layer in layers],
    }
    if annotations:
        manifest["annotations"] = dict(annotations)
    return canonical_json(manifest)


def descriptor_json(descriptor: Descriptor) -> Json:
    value: Json = {
        "mediaType": descriptor.media_type,
        "digest": descriptor.digest,
        "size": descriptor.size_bytes,
    }
    if descriptor.annotations:
        value["annotations"] = dict(descriptor.annotations)
    return value
