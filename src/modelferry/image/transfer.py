"""The model on its way into one image: what the registry has already stays there, the rest is read
once, and goes to the registry and the engine as it comes."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from functools import partial

from modelferry.artifacts import FetchedFile, ModelFile
from modelferry.errors import Cancelled, FerryError
from modelferry.image.compose import Composition, ModelLayer
from modelferry.image.layer import LayerView
from modelferry.image.load import load_image
from modelferry.image.model_layers import (
    Placements,
    fetched_files,
    find_released,
    model_layer,
    plan_model,
    released_sums,
)
from modelferry.image.model_pass import WINDOW_BYTES, ModelPass, StreamedBlob
from modelferry.image.released import ReleasedLayer
from modelferry.image.run_images import RunImages
from modelferry.image.stream import Coming, Reading, ReadInOrder, open_layer
from modelferry.progress import metered
from modelferry.values import Digest

OnBytes = Callable[[int], None]
Reader = Callable[[OnBytes, int], ReadInOrder]  # counts what it reads; within bytes of memory
UploadBlob = Callable[[StreamedBlob, OnBytes], None]  # counts what it sends

_READ_AGAIN = 4  # layers at once, by a push that finds them gone


class Transfer:
    """Begins when it is made; ends with `finish` or `abandon`."""

    def __init__(
        self,
        files: Sequence[ModelFile],
        placements: Placements,
        reader: Reader,
        *,
        released: Sequence[ReleasedLayer] = (),
        sums: Mapping[str, str] | None = None,
        upload: UploadBlob | None = None,
        load_into: RunImages | None = None,
    ) -> None:
        """`released`: model layers that the registry has. `sums`: SHA-256 of files, by URI, where
        they are known before. Without `upload` or `load_into` nothing goes there."""
        self.placements, self.uploaded_bytes = placements, 0
        self._began_s = time.monotonic()
        self._reader, self._sums, self._lock = reader, sums or {}, threading.Lock()
        self._composed: Future[Composition] = Future()
        self._loading = load_into is not None
        self._on_reloaded: OnBytes | None = None
        self._views = plan_model(files, placements)
        self._known = tuple(find_released(view, released, self._sum_of) for view in self._views)
        moving = tuple(
            view for view, known in zip(self._views, self._known, strict=True) if known is None
        )
        self._meters = ExitStack()
        self._pass = ModelPass(
            moving,
            partial(reader, self._metered("fetch", moving)),
            upload=partial(self._upload, upload, self._metered("upload", moving))
            if upload
            else None,
            load=partial(load_image, load_into, composed=self._composed.result)
            if load_into
            else None,
        )

    def check(self) -> None:
        """Raises what a reading, an upload or the load has failed with by now."""
        self._pass.check()

    def layers(self) -> tuple[tuple[ModelLayer, ...], tuple[FetchedFile, ...]]:
        """Once all is read. Raises at once what a reading, an upload or the load failed with."""
        passed = iter(self._pass.sums())
        sums = [released_sums(known) if known else next(passed) for known in self._known]
        layers = tuple(
            model_layer(view, each, self._read_again(view), known)
            for view, each, known in zip(self._views, sums, self._known, strict=True)
        )
        return layers, fetched_files(self._views, sums)

    @property
    def seconds(self) -> float:
        """How long it took to read what had to be read."""
        return max(0.0, self._pass.ended_s - self._began_s)

    def finish(self, composed: Composition) -> Digest | None:
        """Once all is where it belongs. The engine's ID of the image, if it was loaded."""
        self._composed.set_result(composed)
        with self._meters:
            engine_id = self._pass.finish()
        self._loading = False
        return engine_id

    def abandon(self) -> None:
        """What is under way ends soon; it is not waited for."""
        self._pass.abandon()
        self._meters.close()
        if not self._composed.done():
            self._composed.set_exception(Cancelled("The transfer of the model was stopped"))

    def _sum_of(self, file: ModelFile) -> str | None:
        """Of a file at hand, whose mark is new with every checkout: to read it costs less than to
        send it."""
        if file.uri in self._sums or not file.uri.startswith("file:"):
            return self._sums.get(file.uri)
        total, read = hashlib.sha256(), self._reader(_unseen, WINDOW_BYTES)
        try:
            for body in read([(file, 0, file.size_bytes)]):
                total.update(body)
        except FerryError:
            return None  # the pass says what is wrong with it
        return total.hexdigest()

    def _metered(self, label: str, views: Sequence[LayerView]) -> OnBytes:
        if not views:
            return _unseen
        total = sum(view.size_bytes for view in views)
        return self._meters.enter_context(metered(label, total)).add

    def _upload(self, upload: UploadBlob, on_sent: OnBytes, blob: StreamedBlob) -> None:
        def count(sent: int) -> None:
            on_sent(sent)
            with self._lock:
                self.uploaded_bytes += sent

        try:
            upload(blob, count)
        except FerryError as error:
            error.stage = error.stage or "push"
            raise

    def _read_again(self, view: LayerView) -> Callable[[int, int], bytes]:
        """For who needs the layer after the pass: the load, which nobody reads beside, or a push
        of several."""

        def open_at(start: int) -> Coming:
            read = (
                self._reader(self._seen_by_load, WINDOW_BYTES)
                if self._loading
                else self._reader(_unseen, WINDOW_BYTES // _READ_AGAIN)
            )
            return open_layer(view, read, start)

        return Reading(open_at, view.size_bytes).read

    def _seen_by_load(self, count: int) -> None:
        """Of what was released before and the engine lacks: known only when it asks."""
        if self._on_reloaded is None:
            known = zip(self._views, self._known, strict=True)
            self._on_reloaded = self._metered("fetch", [view for view, layer in known if layer])
        self._on_reloaded(count)


def _unseen(count: int) -> None:
    """A reading that no meter shows."""
