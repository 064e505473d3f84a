"""The images that a build takes from elsewhere: which they are, what each is now, which layers the
base has. Each is asked where the build would take it from."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from modelferry.apptest.spec import AppTests
from modelferry.errors import FerryError
from modelferry.image.recipe.dockerfile import Recipe, read_recipe
from modelferry.image.spec import BuildSpec
from modelferry.registry.access import RegistryAccess
from modelferry.values import Digest, ImageRef

if TYPE_CHECKING:
    from modelferry.engine import Engine

log = logging.getLogger("modelferry.base-images")

DigestOf = Callable[[ImageRef], str | None]

_CACHE_REF = re.compile(r"(?:^|,)ref=([^,]+)")


def recipe_of(build: BuildSpec, tests: AppTests | None) -> Recipe:
    target = tests.test_target if tests else None
    return read_recipe(
        build.file.read_text(),
        (build.target, target) if target else (build.target,),
        build_args=dict(build.build_args),
        contexts=[name for name, _ in build.build_contexts],
    )


def known_images(build: BuildSpec) -> tuple[ImageRef, ...]:
    """Whose blobs the registry may have already: the bases, and the caches that are named."""
    try:
        named = recipe_of(build, None).images
    except (OSError, UnicodeDecodeError):
        named = ()
    caches = (found[1] for line in build.cache_from if (found := _CACHE_REF.search(line)))
    return tuple(image for text in (*named, *caches) if (image := _parsed(text)))


def _parsed(text: str) -> ImageRef | None:
    try:
        return ImageRef.parse(text)
    except ValueError:
        return None


def current_digests(
    build: BuildSpec, own: RegistryAccess | None, engine: Engine | None
) -> DigestOf:
    """What each image is now, asked where the build would take it from: the engine, for its own
    builds without `pull`, else its registry. `own` is how this run reaches its own registry."""
    from modelferry.image.recipe.base import digest_in_engine
    from modelferry.registry.client import Registry

    local = _local(build, engine)

    def ask(image: ImageRef) -> str | None:
        if local and (found := digest_in_engine(local, image)):
            return found
        try:
            return Registry(_access(image, own)).head_manifest(
                image.repository, image.tag or "latest"
            )
        except FerryError as error:
            log.debug("%s: %s", image, error)
            return None

    return ask


def base_layers(
    build: BuildSpec, own: RegistryAccess | None, engine: Engine | None, platform: str
) -> Sequence[Digest] | None:
    """The base image's diff ids, bottom first; None where nobody tells. A builder that pulls a base
    keeps it to itself: its registry is asked where the engine does not have what it took."""
    from modelferry.image.recipe.base import diff_ids_in_engine
    from modelferry.last_release.read import read_diff_ids
    from modelferry.registry.client import Registry

    try:
        base = recipe_of(build, None).base
    except (OSError, UnicodeDecodeError):
        return None
    image = _parsed(base) if base else None
    if image is None:
        return None if base else ()
    in_engine = diff_ids_in_engine(engine, image) if engine else None
    if in_engine and _local(build, engine):
        return in_engine
    try:
        registry = Registry(_access(image, own))
    except FerryError as error:
        log.debug("%s: %s", image, error)
        return in_engine
    return read_diff_ids(registry, image, platform) or in_engine


def _local(build: BuildSpec, engine: Engine | None) -> Engine | None:
    """The engine, if a build takes its images from there."""
    return engine if build.builder == "docker" and not build.pull else None


def _access(image: ImageRef, own: RegistryAccess | None) -> RegistryAccess:
    """The run's own registry as the inputs say, another as Docker's configuration knows it."""
    if own and own.host == image.registry:
        return own
    return RegistryAccess(host=image.registry, username=None, password=None, plain_http=False)
