"""The app as its Dockerfile says: built by the engine or by a builder of its own, its layers read
from there. The base's go from their registry to where the image goes while the app is built.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path

from modelferry.artifacts import Layer
from modelferry.errors import FerryError
from modelferry.image.app.base_copy import BaseCopy
from modelferry.image.app.buildx import NO_CACHE, Cache, build_app, push_app, registry_cache
from modelferry.image.app.layer_journal import read_journals
from modelferry.image.app.layers import (
    SavedApp,
    app_in_engine,
    app_in_registry,
    diff_ids_in_engine,
)
from modelferry.image.app.packing import Content
from modelferry.image.compose import platform_of
from modelferry.image.recipe.base import BaseImage
from modelferry.image.released import Released
from modelferry.image.run_images import RunImages
from modelferry.image.sending import Blob, Send, Sending
from modelferry.image.spec import BuildSpec
from modelferry.image.workers import Check, Stop, in_thread
from modelferry.last_release.destination import Destination
from modelferry.last_release.read import read_pushed_app
from modelferry.registry.access import is_loopback
from modelferry.registry.delivery import Delivery
from modelferry.stages.carrier import App
from modelferry.values import Digest

log = logging.getLogger("modelferry.build")

# The base image of a build for this platform. Given the diff ids of layers that are where the
# image goes, its registry is asked for the others; given None, its diff ids alone are wanted.
FindBase = Callable[[str, Collection[Digest] | None], BaseImage | None]
OnBase = Callable[[Sequence[tuple[Digest, Content]]], None]


class PushedByBuilder:
    """A builder of its own pushes the app to where the image goes."""

    def __init__(
        self, spec: BuildSpec, destination: Destination, base: FindBase, folder: Path
    ) -> None:
        self._spec, self._to, self._base, self._folder = spec, destination, base, folder
        self._platform = ""

    def make(self, workspace: Path, _: OnBase | None, check: Check) -> App:
        to, access = self._to, self._to.push.access
        digest = push_app(
            self._spec,
            to.push.name,
            plain_http=access.plain_http or is_loopback(access.host),
            temp=self._folder,
            workspace=workspace,
            cache=_cache(to),
            check=check,
        )
        config, layers = read_pushed_app(to.registry, to.push.repository, digest)
        self._platform = platform_of(config)
        return App(saved=app_in_registry(config, layers, to.registry.read_range), image_id=None)

    def base_diff_ids(self) -> Sequence[Digest] | None:
        found = self._base(self._platform, None)
        return found.diff_ids if found else None


class BuiltInEngine:
    """The app is built in the engine, or loaded into it; its layers come out of there, but for
    those that the image's registry has, or the base's."""

    def __init__(
        self,
        spec: BuildSpec,
        images: RunImages | None,
        destination: Destination | None,
        base: FindBase,
        folder: Path,
        sending: Sending,
    ) -> None:
        if images is None:
            raise AssertionError("preflight has an engine where one is needed")
        self._spec, self._images, self._to, self._folder = spec, images, destination, folder
        self._released = destination.released if destination else Released()
        self._find, self._sending = base, sending
        self._platform = spec.platform or images.engine.facts.platform
        ask = partial(base, self._platform)
        self._base = BaseCopy(ask, self._send_from, folder, sending) if destination else None

    def make(self, workspace: Path, on_base: OnBase | None, check: Check) -> App:
        """`on_base` is given the base's layers, if they can be read, while the app is built."""
        released = self._released
        known = released.blobs() if released.images or released.app else {}
        if self._base:
            self._base.begin(known)
        telling = (
            in_thread(partial(self._tell, self._base, on_base), "base")
            if self._base and on_base
            else None
        )
        image_id = build_app(
            self._spec,
            self._images,
            "app",
            temp=self._folder,
            workspace=workspace,
            cache=_cache(self._to),
            check=check,
        )
        if self._base and known and self._base.found() is None:
            bottom = diff_ids_in_engine(self._images.engine, image_id)[:1]
            if not known.keys() >= set(bottom):  # another base than the last release's
                self._base.begin(())
        app = App(saved=self._take(image_id), image_id=image_id)
        if telling:
            telling.result()
        return app

    def base_diff_ids(self) -> Sequence[Digest] | None:
        found = (self._base and self._base.found()) or self._find(self._platform, None)
        return found.diff_ids if found else None

    def _tell(self, copy: BaseCopy, on_base: OnBase) -> None:
        base, label = copy.found(), self._images.run_label
        if base is None:
            return
        engine, image_id = self._images.engine, base.image_id
        here = read_journals(engine, image_id, base.diff_ids, run_label=label) if image_id else {}
        layers = [(each, here.get(each) or copy.content(each)) for each in base.diff_ids]
        readable = [(diff_id, content) for diff_id, content in layers if content]
        if not layers or len(readable) < len(layers):
            return
        try:
            on_base(readable)
        except FerryError as error:
            log.info("the model waits for the app: %s", error.what)

    def _take(self, image_id: str) -> SavedApp:
        to, images, base = self._to, self._images, self._base
        return app_in_engine(
            images.engine,
            image_id,
            self._folder,
            released=self._released.and_others(base.arrived()) if base else self._released,
            read_range=base.read_range(to.registry.read_range) if to and base else None,
            travels=to is not None,
            run_label=images.run_label,
            stop=Stop(),
            on_new=self._send,
        )

    def _send(self, layer: Layer) -> None:
        blob = layer.descriptor
        if self._to:
            self._sending.begin(
                Blob(digest=blob.digest, size_bytes=blob.size_bytes, read=layer.read),
                _delivery(self._to).send,
            )

    def _send_from(self, base: BaseImage) -> Send:
        if self._to is None:
            raise AssertionError("a base is copied to where the image goes")
        return _delivery(self._to, base).send


def _delivery(to: Destination, base: BaseImage | None = None) -> Delivery:
    """A base that is in the same registry is mounted."""
    mounted = base.layers if base and base.host == to.registry.host else ()
    return Delivery(
        registry=to.registry,
        repository=to.push.repository,
        sources={layer.descriptor.digest: layer.repository for layer in mounted},
    )


def _cache(destination: Destination | None) -> Cache:
    """What the last release left beside its image, and where this one leaves its own."""
    if destination is None or destination.push.managed is None:
        return NO_CACHE
    app = destination.released.app
    return registry_cache(destination.push.name, app.tag if app else None)
