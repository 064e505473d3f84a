"""The images that a build takes from elsewhere: which they are, what each is now, which layers the
base has. Each is asked where the build would take it from."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from modelferry.apptest.spec import AppTests
from modelferry.errors import FerryError
from modelferry.image.recipe.base import BaseImage, image_in_engine
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
    from modelferry.registry.client import Registry

    local = _local(build, engine)

    def ask(image: ImageRef) -> str | None:
        if local and (found := image_in_engine(local, image)):
            return found.digest or found.image_id
        try:
            return Registry(_access(image, own)).head_manifest(
                image.repository, image.tag or "latest"
            )
        except FerryError as error:
            log.debug("%s: %s", image, error)
            return None

    return ask


def find_base(
    build: BuildSpec,
    own: RegistryAccess | None,
    engine: Engine | None,
    platform: str,
    known: Collection[Digest] | None,
) -> BaseImage | None:
    """The base image that the build takes; None where nobody tells.

    `known`: diff ids of layers that are where the image goes. A base that the engine has is asked
    for in its registry only if it has others, and a base that the engine does not have only if
    nothing is known: else it is likely to be the last release's. With None its diff ids are enough,
    from wherever they are told.
    """
    try:
        base = recipe_of(build, None).base
    except (OSError, UnicodeDecodeError):
        return None
    image = _parsed(base) if base else None
    if image is None:
        return None if base else BaseImage(diff_ids=())
    local = _local(build, engine)
    there = image_in_engine(local, image) if local else None
    if there:
        in_engine = BaseImage(diff_ids=there.diff_ids, image_id=there.image_id)
        if there.digest is None or (known and set(there.diff_ids) <= set(known)):
            return in_engine
        named = replace(image, digest=there.digest)
        return _in_registry(named, own, platform, in_engine) or in_engine
    return None if known else _in_registry(image, own, platform, None)


def _in_registry(
    image: ImageRef, own: RegistryAccess | None, platform: str, taken: BaseImage | None
) -> BaseImage | None:
    """Asked by the digest that the engine took. None where the registry does not tell, or means
    another image now than was `taken`."""
    from modelferry.last_release.read import read_image_layers
    from modelferry.registry.client import Registry

    try:
        registry = Registry(_access(image, own), patient=False)
        layers = read_image_layers(registry, image, platform)
    except FerryError as error:
        log.info("The base image %s comes out of Docker: %s", image, error.what)
        return None
    diff_ids = tuple(layer.diff_id for layer in layers)
    if not diff_ids or (taken and diff_ids != taken.diff_ids):
        return None
    return BaseImage(
        diff_ids=diff_ids,
        layers=layers,
        host=image.registry,
        read_range=registry.read_range,
        image_id=taken.image_id if taken else None,
    )


def _local(build: BuildSpec, engine: Engine | None) -> Engine | None:
    """The engine, if a build takes its images from there."""
    return engine if build.builder == "docker" and not build.pull else None


def _access(image: ImageRef, own: RegistryAccess | None) -> RegistryAccess:
    """The run's own registry as the inputs say, another as Docker's configuration knows it."""
    if own and own.host == image.registry:
        return own
    return RegistryAccess(host=image.registry, username=None, password=None, plain_http=False)
