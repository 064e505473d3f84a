"""Plain tars of layers → layers that travel: compressed side by side by ISA-L."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from modelferry.artifacts import Descriptor, Layer
from modelferry.errors import BuildError
from modelferry.image.compose import GZIP_LAYER_TYPE, LAYER_TYPE
from modelferry.image.file_range import FileRange
from modelferry.image.workers import Stop, side_by_side
from modelferry.values import Digest

_STEP = 1 << 20
_LEVEL = 2  # of ISA-L's four: its usual one

OnLayer = Callable[[Layer], object]


class Content(Protocol):
    @property
    def size_bytes(self) -> int: ...
    def read(self, start: int, stop: int, /) -> bytes: ...


def pack_layers(
    tars: Mapping[Digest, FileRange], folder: Path | None, stop: Stop, on_new: OnLayer
) -> dict[Digest, Layer]:
    if folder is None:
        return {diff_id: _plain(diff_id, tar) for diff_id, tar in tars.items()}

    def pack(diff_id: Digest, tar: FileRange) -> Layer:
        layer = _compress(diff_id, tar, folder, stop)
        on_new(layer)
        return layer

    calls = [partial(pack, diff_id, tar) for diff_id, tar in tars.items()]
    layers = side_by_side(calls, "gzip", stop, most=os.cpu_count() or 1)
    return dict(zip(tars, layers, strict=True))


def _plain(diff_id: Digest, tar: FileRange) -> Layer:
    descriptor = Descriptor(media_type=LAYER_TYPE, digest=diff_id, size_bytes=tar.size_bytes)
    return app_layer(descriptor, diff_id, tar)


def _compress(diff_id: Digest, tar: FileRange, folder: Path, stop: Stop) -> Layer:
    """No name and no time in the gzip header, so the same tar gives the same blob."""
    from isal import isal_zlib

    target = folder / f"{diff_id.removeprefix('sha256:')}.tar.gz"
    packer = isal_zlib.compressobj(_LEVEL, isal_zlib.DEFLATED, 31)  # 31: a gzip header around it
    plain, packed = hashlib.sha256(), hashlib.sha256()
    with target.open("xb") as file:

        def write(data: bytes) -> None:
            packed.update(data)
            file.write(data)

        for start in range(0, tar.size_bytes, _STEP):
            stop.check()
            chunk = tar.read(start, start + _STEP)
            plain.update(chunk)
            write(packer.compress(chunk))
        write(packer.flush())
        size = file.tell()
    if plain.hexdigest() != diff_id.removeprefix("sha256:"):
        raise BuildError(
            f"The engine gave other bytes for layer {diff_id} than it built",
            seen=f"sha256:{plain.hexdigest()}",
            do="Its storage is damaged; build with `no-cache: true`, or clean it.",
        )
    descriptor = Descriptor(
        media_type=GZIP_LAYER_TYPE, digest=Digest(f"sha256:{packed.hexdigest()}"), size_bytes=size
    )
    return app_layer(descriptor, diff_id, FileRange(path=target, start=0, size_bytes=size))


def app_layer(descriptor: Descriptor, diff_id: Digest, content: Content) -> Layer:
    return Layer(descriptor=descriptor, diff_id=diff_id, origin="app", read=content.read)
