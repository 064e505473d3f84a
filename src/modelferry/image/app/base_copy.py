"""The base image's layers on their way from its registry to the image's, as they are there: what
everybody has already is neither taken out of the engine nor compressed again.

Begun before the app is built. Which of them the app is made of is told by their diff ids, which
the base's own config proves; what does not come, or is not in the app, comes out of the engine.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path

from modelferry.errors import FerryError
from modelferry.image.app.layers import is_readable
from modelferry.image.app.spool import Spool
from modelferry.image.blob_range import ReadRange
from modelferry.image.recipe.base import BaseImage
from modelferry.image.released import ReleasedLayer
from modelferry.image.sending import Blob, Send, Sending
from modelferry.image.workers import in_thread
from modelferry.values import Digest

log = logging.getLogger("modelferry.image")

_ASK_S = 15.0  # for what is only of use if it is quicker than the engine
_QUIET_S = 10.0  # without a byte
_LOOK_S = 0.02


Ask = Callable[[Collection[Digest]], BaseImage | None]  # given the diff ids that are known already


class BaseCopy:
    def __init__(
        self, ask: Ask, send_from: Callable[[BaseImage], Send], folder: Path, sending: Sending
    ) -> None:
        """`send_from`: sends a blob of that base to where the image goes."""
        self._ask, self._send_from = ask, send_from
        self._folder, self._sending = folder, sending
        self._found: Future[BaseImage | None] | None = None
        self._on_way: dict[Digest, tuple[ReleasedLayer, Spool, Future[bool]]] = {}

    def begin(self, known: Collection[Digest]) -> None:
        """`known`: diff ids of layers that are where the image goes."""
        self._found = in_thread(partial(self._begin, known), "base")

    def found(self) -> BaseImage | None:
        if self._found is None:
            return None
        if not wait([self._found], _ASK_S).done:
            log.warning("The base image's registry does not answer; its layers come out of Docker")
            return None
        return self._found.result()

    def content(self, diff_id: Digest) -> Spool | None:
        """Of a layer that is on its way."""
        found = (spool for layer, spool, _ in self._on_way.values() if layer.diff_id == diff_id)
        return next(found, None)

    def arrived(self) -> tuple[ReleasedLayer, ...]:
        """The layers that need not come out of the engine. Waits for as long as bytes come."""
        if self.found() is None:
            return ()
        return tuple(
            layer for layer, spool, sent in self._on_way.values() if _has_come(spool, sent)
        )

    def read_range(self, otherwise: ReadRange) -> ReadRange:
        """For who reads the app's layers in the registry: these are at hand."""

        def read(repository: str, digest: Digest, start: int, stop: int) -> bytes:
            if digest in self._on_way:
                return self._on_way[digest][1].read(start, stop)
            return otherwise(repository, digest, start, stop)

        return read

    def _begin(self, known: Collection[Digest]) -> BaseImage | None:
        try:
            base = self._ask(known)
        except FerryError as error:
            log.info("The base image is not asked for in its registry: %s", error.what)
            return None
        if base is None or base.read_range is None:
            return base
        send = self._send_from(base)
        for layer in base.layers:
            digest = layer.descriptor.digest
            if layer.diff_id in known or digest in self._on_way or not is_readable(layer):
                continue
            spool = Spool(
                self._folder / f"base-{digest.removeprefix('sha256:')}",
                digest,
                layer.descriptor.size_bytes,
                partial(base.read_range, layer.repository, digest),
                self._sending.stop,
            )
            blob = Blob(digest=digest, size_bytes=spool.size_bytes, read=spool.read)
            sent = self._sending.begin(blob, send)
            self._on_way[digest] = (layer, spool, sent)
        return base


def _has_come(spool: Spool, sent: Future[bool]) -> bool:
    there_bytes, since = -1, time.monotonic()
    while not spool.is_whole:
        if sent.done():
            return sent.result()
        if spool.there_bytes != there_bytes:
            there_bytes, since = spool.there_bytes, time.monotonic()
        if time.monotonic() - since > _QUIET_S:
            log.warning("The base image's registry is silent; its layers come out of Docker")
            return False
        time.sleep(_LOOK_S)
    return True
