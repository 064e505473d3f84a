"""The models' bytes: the same everywhere, as hard to compress as said, and never repeated soon."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from bench.data import KINDS, ModelData, block, chunks

SIZE = 1024 * 1024


@pytest.mark.parametrize("kind", KINDS)
def test_a_block_is_the_same_each_time(kind: str) -> None:
    assert block(kind, SIZE) == block(kind, SIZE)
    assert len(block(kind, SIZE)) == SIZE


def test_random_bytes_do_not_compress() -> None:
    assert len(gzip.compress(block("random", SIZE))) > SIZE


def test_fp16_like_bytes_compress_as_weights_do() -> None:
    assert 0.90 < len(gzip.compress(block("fp16", SIZE))) / SIZE < 0.94


def test_names_tell_a_blob_from_a_folder_of_them() -> None:
    one = ModelData(kind="fp16", size_bytes=80, seed=3)
    eight = ModelData(kind="fp16", size_bytes=80, files=8, seed=3)
    assert one.blobs == ("fp16-80-3",)
    assert eight.blobs[7] == "fp16-80-3-8/part-7"
    assert eight.blob_bytes == 10


def test_chunks_are_the_block_turned_and_repeated(tmp_path: Path) -> None:
    (tmp_path / "fp16.block").write_bytes(bytes(range(256)))
    turn = 1_000_003 % 256
    content = b"".join(chunks(tmp_path, ModelData(kind="fp16", size_bytes=600, seed=1), 0))
    assert content == bytes((turn + index) % 256 for index in range(600))


def test_seeds_and_parts_differ(tmp_path: Path) -> None:
    (tmp_path / "random.block").write_bytes(block("random", SIZE))
    models = [ModelData(kind="random", size_bytes=80, files=2, seed=seed) for seed in (0, 1)]
    sums = {
        hashlib.sha256(b"".join(chunks(tmp_path, model, part))).digest()
        for model in models
        for part in (0, 1)
    }
    assert len(sums) == 4


def test_said_for_people() -> None:
    assert str(ModelData(kind="fp16", size_bytes=2 * 1024**3)) == "2 GiB fp16, one file"
    assert str(ModelData(kind="random", size_bytes=1024**3, files=8)) == "1 GiB random, 8 files"
    assert str(ModelData(kind="fp16", size_bytes=1024**3 // 2)) == "512 MiB fp16, one file"
