"""Manifests as registries hand them out: OCI and Docker, images and indexes. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from modelferry.artifacts import Descriptor
from modelferry.errors import RegistryError
from modelferry.values import Digest, parse_digest

IMAGE_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
ACCEPT = ", ".join((*IMAGE_TYPES, *INDEX_TYPES))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredManifest:
    """A manifest's own bytes: its digest is theirs, whatever a header says."""

    media_type: str
    digest: Digest
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageManifest:
    config: Descriptor
    layers: tuple[Descriptor, ...]
    annotations: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexEntry:
    manifest: Descriptor
    platform: str  # os/arch[/variant]; empty where none is given


def is_index(manifest: StoredManifest) -> bool:
    return manifest.media_type in INDEX_TYPES


def read_image(manifest: StoredManifest) -> ImageManifest:
    """RegistryError names the field that is not as the format says."""
    content = _object(manifest)
    return ImageManifest(
        config=_descriptor(content.get("config"), "config", manifest),
        layers=_descriptors(content, "layers", manifest),
        annotations=_annotations(content, "annotations", manifest),
    )


def read_index(manifest: StoredManifest) -> tuple[IndexEntry, ...]:
    content = _object(manifest)
    descriptors = _descriptors(content, "manifests", manifest)
    platforms = (_platform(entry.get("platform")) for entry in content["manifests"])
    return tuple(
        IndexEntry(manifest=descriptor, platform=platform)
        for descriptor, platform in zip(descriptors, platforms, strict=True)
    )


def _object(manifest: StoredManifest) -> dict[str, Any]:
    try:
        content = json.loads(manifest.data)
    except ValueError as error:
        raise _wrong(manifest, f"it is not JSON ({error})") from error
    if not isinstance(content, dict):
        raise _wrong(manifest, "it is not an object")
    if content.get("schemaVersion") != 2:  # 1 is Docker's before 2015
        raise _wrong(manifest, f"schemaVersion is {content.get('schemaVersion')!r}, not 2")
    return content


def _descriptors(
    content: dict[str, Any], name: str, manifest: StoredManifest
) -> tuple[Descriptor, ...]:
    given = content.get(name)
    if not isinstance(given, list):
        raise _wrong(manifest, f"{name} is not a list")
    return tuple(
        _descriptor(value, f"{name}[{place}]", manifest) for place, value in enumerate(given)
    )


def _descriptor(value: object, place: str, manifest: StoredManifest) -> Descriptor:
    if not isinstance(value, dict):
        raise _wrong(manifest, f"{place} is not an object")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not isinstance(media_type, str):
        raise _wrong(manifest, f"{place}.mediaType is {media_type!r}")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _wrong(manifest, f"{place}.size is {size!r}")
    try:
        parsed = parse_digest(str(digest))
    except ValueError as error:
        raise _wrong(manifest, f"{place}.digest: {error}") from error
    annotations = _annotations(value, f"{place}.annotations", manifest)
    return Descriptor(
        media_type=media_type, digest=parsed, size_bytes=size, annotations=annotations
    )


def _annotations(
    value: dict[str, Any], place: str, manifest: StoredManifest
) -> tuple[tuple[str, str], ...]:
    given = value.get("annotations") or {}
    if not isinstance(given, dict) or not all(isinstance(text, str) for text in given.values()):
        raise _wrong(manifest, f"{place} is not an object of strings")
    return tuple(sorted(given.items()))


def _platform(value: object) -> str:
    if not isinstance(value, dict):
        return ""
    parts = (value.get("os"), value.get("architecture"), value.get("variant"))
    return "/".join(part for part in parts if part)


def _wrong(manifest: StoredManifest, what: str) -> RegistryError:
    return RegistryError(
        f"The registry's manifest {manifest.digest} cannot be read: {what}",
        seen=f"{manifest.media_type}, {len(manifest.data)} bytes",
    )
