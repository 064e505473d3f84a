"""The model's bytes: random, which nothing compresses, and normally distributed halves, which
gzip takes to 0.92, as it does real fp16 weights.

A blob is a block of 64 MiB, turned by its seed and repeated: gzip's window is 32 KiB, so it never
sees the repetition, and no disk has to hold the source.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KINDS = ("random", "fp16")
BLOCK_BYTES = 64 * 1024 * 1024
_TURN_BYTES = 1_000_003  # as in blob_server/main.go
_SIGMA = 0.02  # of a layer's weights, about


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelData:
    kind: str
    size_bytes: int
    files: int = 1
    seed: int = 0

    @property
    def name(self) -> str:
        """The blob's name, or the folder's."""
        one = f"{self.kind}-{self.size_bytes}-{self.seed}"
        return one if self.files == 1 else f"{one}-{self.files}"

    @property
    def blobs(self) -> tuple[str, ...]:
        parts = tuple(f"{self.name}/part-{number}" for number in range(self.files))
        return parts if self.files > 1 else (self.name,)

    @property
    def blob_bytes(self) -> int:
        return self.size_bytes // self.files

    def __str__(self) -> str:
        gibibytes = self.size_bytes / 1024**3
        size = f"{gibibytes:.3g} GiB" if gibibytes >= 1 else f"{gibibytes * 1024:.0f} MiB"
        return f"{size} {self.kind}, {'one file' if self.files == 1 else f'{self.files} files'}"


def write_blocks(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for kind in KINDS:
        (folder / f"{kind}.block").write_bytes(block(kind, BLOCK_BYTES))


def block(kind: str, size: int) -> bytes:
    """The same bytes on every machine."""
    source = random.Random(kind)
    if kind == "random":
        return source.randbytes(size)
    weights = bytearray(size)
    weights[0::2] = source.randbytes(size // 2)
    weights[1::2] = source.randbytes(size // 2).translate(_high_bytes())
    return bytes(weights)


def chunks(blocks: Path, data: ModelData, part: int) -> Iterator[bytes]:
    """The bytes that blob_server gives for blob number `part`."""
    content = (blocks / f"{data.kind}.block").read_bytes()
    turn = (data.seed * data.files + part) * _TURN_BYTES % len(content)
    turned, left = content[turn:] + content[:turn], data.blob_bytes
    while left:
        chunk = turned[:left]
        left -= len(chunk)
        yield chunk


def _high_bytes() -> bytes:
    """Sign, exponent and first mantissa bits of normally distributed halves: a byte's 256 values
    stand for as many equally likely weights."""
    draw = random.Random("weights")
    found = sorted(struct.pack("<e", draw.gauss(0, _SIGMA))[1] for _ in range(256 * 64))
    return bytes(found[index * 64 + 32] for index in range(256))
