"""Tags put on a manifest that the registry has. A tag may be locked, or never be moved: what names
the manifest already is left alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from modelferry.errors import FerryError
from modelferry.registry.manifests import StoredManifest
from modelferry.values import Digest

if TYPE_CHECKING:
    from modelferry.registry.client import Registry

log = logging.getLogger("modelferry.registry")


def point_tags(
    registry: Registry, repository: str, tags: Iterable[str], manifest: StoredManifest
) -> None:
    """All are looked at before the first is written, and those go first that are to be moved: a
    registry that refuses that has not been given the others yet."""
    before = {tag: registry.head_manifest(repository, tag) for tag in tags}
    for tag in (tag for tag, digest in before.items() if digest == manifest.digest):
        log.info("tag %s/%s:%s is there", registry.host, repository, tag)
    wanted = [tag for tag, digest in before.items() if digest != manifest.digest]
    wanted.sort(key=lambda tag: before[tag] is None)
    for place, tag in enumerate(wanted):
        try:
            registry.put_manifest(repository, tag, manifest.data, manifest.media_type)
        except FerryError as error:
            error.seen = "\n".join(filter(None, (error.seen, *_told(before, wanted, place))))
            raise
        log.info("tag %s/%s:%s", registry.host, repository, tag)


def _told(before: dict[str, Digest | None], wanted: list[str], place: int) -> list[str]:
    others = [f"Tag {tag} is {before[tag]} until now" for tag in wanted[place:] if before[tag]]
    written = f"Already written: {', '.join(wanted[:place])}" if place else ""
    return [*others, written]
