"""What a tag means now: an image that was deployed by it may have been another one."""

from __future__ import annotations

import logging

from modelferry.artifacts import PushedImage
from modelferry.errors import FerryError
from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry
from modelferry.values import ImageRef

log = logging.getLogger("modelferry.registry")


def meaning(image: str, pushed: PushedImage, access: RegistryAccess | None) -> str | None:
    """The digest of an image by tag, of the repository that was pushed to; None where nobody can
    tell."""
    tag = ImageRef.parse(image).tag or "latest"
    if tag in pushed.tags:
        return pushed.digest
    if access is None:
        return None
    try:
        return Registry(access).head_manifest(pushed.ref.repository, tag)
    except FerryError as error:
        log.warning("what %s means now is not known: %s", image, error.what)
        return None
