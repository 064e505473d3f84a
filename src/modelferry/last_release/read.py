"""What was released last, as far as the registry tells: read before the build, so that what did
not change is neither built, read nor sent again.

Nothing here is an error: a tag that is locked, purged, somebody else's or broken costs speed. No
blob is relied on that the registry did not say it has.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

from modelferry.artifacts import Descriptor
from modelferry.errors import FerryError, RegistryError
from modelferry.image.released import (
    IMAGE,
    MODELS,
    Released,
    ReleasedApp,
    ReleasedImage,
    ReleasedLayer,
    read_entries,
    read_layers,
)
from modelferry.plan.spec import PushPlan
from modelferry.registry.manifests import (
    IndexEntry,
    StoredManifest,
    is_index,
    read_image,
    read_index,
)
from modelferry.values import Digest, ImageRef

if TYPE_CHECKING:
    from modelferry.registry.client import Registry

log = logging.getLogger("modelferry.released")

_ASKED_AT_ONCE = 8
_UNREADABLE = (FerryError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    repository: str
    reference: str
    manifest: StoredManifest
    config: Descriptor
    config_bytes: bytes
    layers: tuple[Descriptor, ...]
    annotations: Mapping[str, str]


def read_released(
    registry: Registry,
    push: PushPlan,
    *,
    others: Sequence[ImageRef] = (),
    platform: str | None = None,
) -> Released:
    """`others`: images that this run knows of (its base, its caches); those on the same registry
    may have blobs that are mounted rather than sent. `platform`: which image of an index."""
    tags = push.managed
    elsewhere = tuple(image for image in dict.fromkeys(others) if image.registry == registry.host)
    pool = ThreadPoolExecutor(_ASKED_AT_ONCE, thread_name_prefix="released")
    try:
        asked = [
            pool.submit(_find, registry, push.repository, names, platform)
            for names in (
                (tags.image,) if tags else (),
                (tags.fallback_image,) if tags else (),
                (tags.app, tags.fallback_app) if tags else (),
            )
        ]
        more = [
            pool.submit(
                _find,
                registry,
                image.repository,
                (image.digest or image.tag or "latest",),
                platform,
            )
            for image in elsewhere
        ]
        (own, why), (default, _), (app, _) = (future.result() for future in asked)
        released = _read(own, default, app, [future.result()[0] for future in more])
        if released.image is None:
            released = replace(released, unreadable=why or _no_release(own))
        return _with_present(released, registry, pool)
    except BaseException:
        registry.stop()  # a cancel does not wait for a network
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def read_pushed_app(
    registry: Registry, repository: str, digest: Digest
) -> tuple[bytes, tuple[ReleasedLayer, ...]]:
    """The config and the layers of an app that a builder pushed; RegistryError without them."""
    try:
        found = _get(registry, repository, digest, None)
        if found:
            return found.config_bytes, read_layers(found.layers, found.config_bytes, repository)
        seen = "there is no such manifest, or it is an index"
    except (ValueError, KeyError, TypeError) as error:
        seen = str(error)
    raise RegistryError(
        f"The app that the builder pushed to {registry.host}/{repository}@{digest} cannot be read",
        seen=seen,
        do="Look at what `builder` is: it must push one OCI image for one platform.",
    )


def read_image_layers(
    registry: Registry, image: ImageRef, platform: str | None
) -> tuple[ReleasedLayer, ...]:
    """Bottom first; none where there is no such image, or it cannot be read. FerryError from a
    registry that does not answer or refuses us."""
    try:
        found = _get(registry, image.repository, image.digest or image.tag or "latest", platform)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.info("%s tells us nothing: %s", image, error)
        return ()
    return _layers(found)


def _read(
    own: _Found | None,
    default: _Found | None,
    app: _Found | None,
    others: Iterable[_Found | None],
) -> Released:
    """A branch without a release of its own starts from the default branch's."""
    found = [image for each in (own, default) if each and (image := _image(each, app))]
    app_layers = _layers(app)
    return Released(
        image=found[0] if found else None,
        default=found[1] if len(found) > 1 else None,
        app=ReleasedApp(
            tag=app.reference,
            config=app.config_bytes,
            config_digest=app.config.digest,
            layers=app_layers,
            annotations=app.annotations,
        )
        if app and app_layers
        else None,
        others=tuple(chain.from_iterable(_layers(other) for other in others)),
        records=read_entries(app.annotations) if app else {},
    )


def _image(found: _Found, app: _Found | None) -> ReleasedImage | None:
    if IMAGE in found.annotations:
        return None  # branch `web-app` finds what branch `web` left as its app: no image at all
    models = app.annotations.get(MODELS) if app and _is_of(app, found) else None
    layers = _layers(found, models)
    if not layers:
        return None
    return ReleasedImage(
        digest=found.manifest.digest,
        manifest=found.manifest.data,
        config=found.config,
        layers=layers,
        annotations=found.annotations,
    )


def _no_release(found: _Found | None) -> str:
    return f"{found.repository}:{found.reference} is there, and no release of ours" if found else ""


def _is_of(app: _Found, image: _Found) -> bool:
    return app.annotations.get(IMAGE) == image.manifest.digest


def _layers(found: _Found | None, models: str | None = None) -> tuple[ReleasedLayer, ...]:
    if found is None:
        return ()
    try:
        return read_layers(found.layers, found.config_bytes, found.repository, models)
    except (ValueError, KeyError, TypeError) as error:
        log.info("%s@%s tells us nothing: %s", found.repository, found.manifest.digest, error)
        return ()


def _find(
    registry: Registry, repository: str, references: Sequence[str | None], platform: str | None
) -> tuple[_Found | None, str]:
    """The first of these that there is; else, if there is one that cannot be read, why."""
    why = ""
    for reference in references:
        if reference is None:
            continue
        try:
            if found := _get(registry, repository, reference, platform):
                return found, ""
        except _UNREADABLE as error:
            why = f"{repository}:{reference} cannot be read as a release: {error}"
            log.info("%s", why)
    return None, why


def _get(
    registry: Registry, repository: str, reference: str, platform: str | None
) -> _Found | None:
    stored = registry.get_manifest(repository, reference)
    if stored is not None and is_index(stored):
        digest = of_platform(read_index(stored), platform or "")
        if digest is None:
            raise ValueError(f"it is an index without an image for {platform or 'one platform'}")
        stored = registry.get_manifest(repository, digest)
    if stored is None or is_index(stored):
        return None
    manifest = read_image(stored)
    return _Found(
        repository=repository,
        reference=reference,
        manifest=stored,
        config=manifest.config,
        config_bytes=registry.read_blob(repository, manifest.config.digest),
        layers=manifest.layers,
        annotations=dict(manifest.annotations),
    )


def of_platform(entries: Iterable[IndexEntry], platform: str) -> Digest | None:
    """The very one, else one whose variant is told by one side alone: `linux/arm64` is what others
    call `linux/arm64/v8`."""
    found = {each.platform: each.manifest.digest for each in entries if each.platform}
    if platform in found or not platform:
        return found.get(platform)
    longer = (name for name in found if name.startswith(f"{platform}/"))
    shorter = (name for name in found if platform.startswith(f"{name}/"))
    name = next(chain(longer, shorter), None)
    return found[name] if name else None


def _with_present(released: Released, registry: Registry, pool: ThreadPoolExecutor) -> Released:
    wanted: dict[Digest, str] = {
        layer.descriptor.digest: layer.repository for layer in released.others
    }
    for part in (released.app, *reversed(released.images)):
        wanted |= (
            {layer.descriptor.digest: layer.repository for layer in part.layers} if part else {}
        )
    answers = pool.map(lambda item: _has(registry, item[1], item[0]), wanted.items())
    present = {digest for digest, there in zip(wanted, answers, strict=True) if there}
    present |= {image.config.digest for image in released.images}  # they were read
    return replace(released, present=frozenset(present))


def _has(registry: Registry, repository: str, digest: Digest) -> bool:
    try:
        return registry.has_blob(repository, digest)
    except FerryError as error:
        log.info("%s: %s", digest, error)
        return False
