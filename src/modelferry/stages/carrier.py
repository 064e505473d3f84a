"""A build's part with the model: its layers on their way, and the image composed with them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath

from modelferry.artifacts import AppManifest, Image, Model, ModelFile
from modelferry.errors import ModelChanged
from modelferry.image.app.layers import SavedApp
from modelferry.image.app.packing import Content
from modelferry.image.compose import (
    MANIFEST_TYPE,
    Composition,
    ModelLayer,
    Pairs,
    compose,
    model_labels,
)
from modelferry.image.layer_entries import Record, Traces
from modelferry.image.model_layers import Placements, bounded, guess_placements
from modelferry.image.placement import Fit
from modelferry.image.released import MODELS, Released, compose_app, keep_released
from modelferry.image.run_images import RunImages
from modelferry.image.stack import fit_app, guess_on_base
from modelferry.image.stream import ReadInOrder
from modelferry.image.transfer import Transfer
from modelferry.image.workers import Stop
from modelferry.last_release.destination import Destination
from modelferry.sources.open_model import OpenModel
from modelferry.values import Digest, format_bytes

log = logging.getLogger("modelferry.build")


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    image: Image
    model: Model | None
    fetched_bytes: int
    fetch_s: float  # some of it beside the app's build


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    saved: SavedApp
    image_id: str | None  # None where no engine has it


class Carrier:
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
        self._scanned: Mapping[Digest, Traces] = {}  # of the base
        self._lock = threading.Lock()  # of the transfer, until the app is built
        self._ended = False

    def begin_early(self) -> bool:
        """False where the base image may tell what the last release did not."""
        guess = guess_placements(self._paths, self._released.models())
        if guess:
            self._begin(guess)
        return guess is not None or self._released.stack is not None

    def begin_on_base(self, base: Sequence[tuple[Digest, Content]]) -> None:
        """While the app is built upon it; by another thread."""
        guess, self._scanned = guess_on_base(self._paths, base, Stop())
        with self._lock:
            if guess and not self._ended:
                self._begin(guess)

    def check(self) -> None:
        """Raises what no build of the app can mend: an upload that the registry refuses, say."""
        with self._lock:
            transfer = self._transfer
        try:
            if transfer:
                transfer.check()
        except ModelChanged:
            log.debug("the model changed; it is read anew once the app is built")

    def carry(
        self,
        app: App,
        base: Callable[[], Sequence[Digest] | None],
        annotations: Pairs,
    ) -> Built:
        """`base` tells the base image's diff ids, for a first release."""
        fit = self._fit(app.saved, base)
        placements = fit.placements if fit else {}
        transfer = self._transfer
        if transfer is None or transfer.placements != placements:
            transfer = self._begin(placements)
        layers, files = transfer.layers()
        model = self._model.check(files) if self._model else None
        composed = compose(
            app.saved.image,
            bounded(layers),
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
                self._app_manifest(app, composed, layers, fit.records if fit else {}),
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

    def end(self) -> None:
        """All that is under way ends soon; nobody waits for it."""
        with self._lock:
            self._ended = True
            self.abandon()

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
            sums=self._key.sums if self._key else {},
            upload=partial(to.registry.upload_blob, to.push.repository) if to else None,
            load_into=self._load_into,
        )
        return self._transfer

    def _fit(self, app: SavedApp, base: Callable[[], Sequence[Digest] | None]) -> Fit | None:
        if not self._files:
            return None
        is_first = self._released.stack is None  # later ones go by the release before
        return fit_app(
            app,
            self._paths,
            records=self._released.records,
            released=self._released.stack,
            base=base() if is_first else None,
            scanned=self._scanned,
            stop=Stop(),
        )

    def _app_manifest(
        self,
        app: App,
        image: Composition,
        models: Sequence[ModelLayer],
        records: Mapping[Digest, Record],
    ) -> AppManifest | None:
        if self._to is None or self._to.push.managed is None:
            return None
        own = compose_app(
            app.saved.image,
            image=image,
            models=models,
            image_id=app.image_id,
            records=records,
            key=self._key_annotations,
        )
        if models and MODELS.encode() not in own.manifest_bytes:
            log.warning(
                "the model has too many files for a release to remember (%d): the next build will "
                "read and send them again",
                len(self._files),
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
