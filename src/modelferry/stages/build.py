"""build: the user's Dockerfile and the model become one image.

The app is built as its Dockerfile says and never sees the model. Beside that the model is read
once, into layers of its own, which go to the registry and the engine as they come. The image's
bytes are fixed here: what is tested is what will be pushed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from modelferry.artifacts import AppManifest, Image, LocalFile, Model, ModelFile
from modelferry.errors import ModelChanged
from modelferry.image.app.buildx import NO_CACHE, Cache, build_app, push_app, registry_cache
from modelferry.image.app.in_context import files_in_context
from modelferry.image.app.layers import SavedApp, app_in_engine, app_in_registry
from modelferry.image.compose import (
    MANIFEST_TYPE,
    Composition,
    compose,
    model_labels,
    platform_of,
)
from modelferry.image.layer_entries import Record
from modelferry.image.model_layers import Placements, guess_placements
from modelferry.image.placement import Fit
from modelferry.image.released import Released, compose_app, keep_released
from modelferry.image.run_images import RunImages
from modelferry.image.spec import BuildSpec
from modelferry.image.stack import fit_app
from modelferry.image.stream import ReadInOrder
from modelferry.image.transfer import Transfer
from modelferry.image.workers import Stop
from modelferry.last_release.destination import Destination
from modelferry.last_release.read import read_pushed_app
from modelferry.registry.transport import is_loopback
from modelferry.sources.open_model import OpenModel
from modelferry.values import Digest, format_bytes

log = logging.getLogger("modelferry.build")

Pairs = tuple[tuple[str, str], ...]
Base = Callable[[str], Sequence[Digest] | None]  # of an image of which platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    image: Image
    model: Model | None
    fetched_bytes: int
    fetch_s: float  # some of it beside the app's build


@dataclass(frozen=True, slots=True, kw_only=True)
class _App:
    saved: SavedApp
    image_id: str | None  # None where no engine has it


def build_image(
    spec: BuildSpec,
    model: OpenModel | None,
    *,
    images: RunImages | None,
    annotations: Pairs,
    load: bool,
    destination: Destination | None,
    base: Base = lambda _: None,
    temp: Path,
    workspace: Path,
) -> Built:
    """`temp` is private to this run; the app's layers are read from it until the push is over.

    `images`: None without an engine, which a `builder` of its own needs for tests alone. `load`:
    into the engine, for its tests. Without a destination nothing will travel, so the app's layers
    are not compressed. `base` tells the base image's diff ids, for a first release. A model that
    changes meanwhile is read anew, at most twice.
    """
    folder = temp / "image"
    folder.mkdir(mode=0o700)
    carrier = _Carrier(model, images if load else None, destination)
    try:
        carrier.begin_early()
        with files_in_context(model.on_disk if model else (), spec.context, spec.file):
            app = _make_app(spec, images, destination, folder, workspace)
        while True:
            try:
                return carrier.carry(app, base, annotations)
            except ModelChanged as error:
                carrier.begin_anew(error)
    except BaseException:
        carrier.abandon()
        raise


def build_target(
    spec: BuildSpec,
    *,
    images: RunImages,
    temp: Path,
    workspace: Path,
    in_context: tuple[LocalFile, ...] = (),
) -> str:
    """The image ID of another stage of the same Dockerfile (`test-target`), for the tests only."""
    folder = temp / f"target-{spec.target}"
    folder.mkdir(mode=0o700)
    with files_in_context(in_context, spec.context, spec.file):
        return build_app(spec, images, "target", temp=folder, workspace=workspace)


def _make_app(
    spec: BuildSpec,
    images: RunImages | None,
    destination: Destination | None,
    folder: Path,
    workspace: Path,
) -> _App:
    """A builder of its own pushes the app to where the image goes; all else is in the engine."""
    cache = _cache(destination)
    if destination and spec.builder != "docker":
        access = destination.push.access
        digest = push_app(
            spec,
            destination.push.name,
            plain_http=access.plain_http or is_loopback(access.host),
            temp=folder,
            workspace=workspace,
            cache=cache,
        )
        registry = destination.registry
        config, layers = read_pushed_app(registry, destination.push.repository, digest)
        return _App(saved=app_in_registry(config, layers, registry.read_range), image_id=None)
    if images is None:
        raise AssertionError("preflight has an engine where one is needed")
    image_id = build_app(spec, images, "app", temp=folder, workspace=workspace, cache=cache)
    saved = app_in_engine(
        images.engine,
        image_id,
        folder,
        released=destination.released if destination else Released(),
        read_range=destination.registry.read_range if destination else None,
        travels=destination is not None,
        run_label=images.run_label,
        stop=Stop(),
    )
    return _App(saved=saved, image_id=image_id)


def _cache(destination: Destination | None) -> Cache:
    """What the last release left beside its image, and where this one leaves its own."""
    if destination is None or destination.push.managed is None:
        return NO_CACHE
    app = destination.released.app
    return registry_cache(destination.push.name, app.tag if app else None)


class _Carrier:
    """Has the model carried to where the image goes: begun on a guess of its place while the app
    is built, and begun anew where the guess was wrong or the model changed."""

    def __init__(
        self,
        model: OpenModel | None,
        load_into: RunImages | None,
        destination: Destination | None,
    ) -> None:
        self._model, self._load_into, self._to = model, load_into, destination
        self._released = destination.released if destination else Released()
        self._key = destination.key if destination else None
        self._transfer: Transfer | None = None
        self._uploaded_bytes = 0

    def begin_early(self) -> None:
        guess = guess_placements(self._paths, self._released.models())
        if guess:
            self._begin(guess)

    def carry(
        self,
        app: _App,
        base: Base,
        annotations: Pairs,
    ) -> Built:
        fit = self._fit(app.saved, base)
        placements = fit.placements if fit else {}
        transfer = self._transfer
        if transfer is None or transfer.placements != placements:
            transfer = self._begin(placements)
        layers, files = transfer.layers()
        model = self._model.check(files) if self._model else None
        composed = compose(
            app.saved.image,
            layers,
            seam=fit.seam if fit else None,
            labels=model_labels(model) if model else (),
            annotations=(*annotations, *self._key_annotations),
        )
        composed = keep_released(composed, self._released.images)
        engine_id = transfer.finish(composed) or composed.config.digest
        return Built(
            image=_image(
                composed,
                engine_id,
                self._uploaded_bytes + transfer.uploaded_bytes,
                self._app_manifest(app, composed, fit.records if fit else {}),
            ),
            model=model,
            fetched_bytes=self._model.fetched_bytes if self._model else 0,
            fetch_s=transfer.seconds,
        )

    def begin_anew(self, error: ModelChanged) -> None:
        """With what the storage has now; raises `error` when that was done often enough."""
        if self._model is None:
            raise error
        self.abandon()
        self._key = None  # it is that of the model before
        self._model = self._model.again(error)

    def abandon(self) -> None:
        if self._transfer:
            self._transfer.abandon()
            self._uploaded_bytes += self._transfer.uploaded_bytes
            self._transfer = None

    @property
    def _key_annotations(self) -> Pairs:
        return self._key.annotations if self._key else ()

    @property
    def _files(self) -> tuple[ModelFile, ...]:
        return self._model.resolved.files if self._model else ()

    @property
    def _paths(self) -> list[PurePosixPath]:
        return [file.image_path for file in self._files]

    def _begin(self, placements: Placements) -> Transfer:
        self.abandon()
        to = self._to
        self._transfer = Transfer(
            self._files,
            placements,
            self._model.reader if self._model else _nothing_to_read,
            released=self._released.models(),
            upload=partial(to.registry.upload_blob, to.push.repository) if to else None,
            load_into=self._load_into,
        )
        return self._transfer

    def _fit(self, app: SavedApp, base: Base) -> Fit | None:
        if not self._files:
            return None
        is_first = self._released.stack is None  # later ones go by the release before
        return fit_app(
            app,
            self._paths,
            records=self._released.records,
            released=self._released.stack,
            base=base(platform_of(app.image.config)) if is_first else None,
            stop=Stop(),
        )

    def _app_manifest(
        self, app: _App, image: Composition, records: Mapping[Digest, Record]
    ) -> AppManifest | None:
        if self._to is None or self._to.push.managed is None:
            return None
        own = compose_app(
            app.saved.image,
            image=image,
            image_id=app.image_id,
            records=records,
            key=self._key_annotations,
        )
        return AppManifest(config=own.config_bytes, manifest=own.manifest_bytes)


def _nothing_to_read(*_: object) -> ReadInOrder:
    raise AssertionError("a transfer without files reads nothing")


def _image(
    composed: Composition, engine_id: str, uploaded_bytes: int, app: AppManifest | None
) -> Image:
    image = Image(
        config=composed.config_bytes,
        manifest=composed.manifest_bytes,
        manifest_media_type=MANIFEST_TYPE,
        digest=composed.manifest.digest,
        engine_id=engine_id,
        layers=composed.layers,
        app=app,
        uploaded_bytes=uploaded_bytes,
    )
    count, size = len(image.layers), format_bytes(image.size_bytes)
    log.info("image %s: %d layers, %s", engine_id, count, size)
    return image
