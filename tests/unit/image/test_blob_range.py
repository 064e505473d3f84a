import os

import pytest

from modelferry.image.blob_range import BlobRange
from modelferry.values import Digest

MIB = 1 << 20
DATA = os.urandom(9 * MIB + 7)
DIGEST = Digest("sha256:" + "0" * 64)


def blob(asked: list[tuple[int, int]]) -> BlobRange:
    def read_range(repository: str, digest: Digest, start: int, stop: int) -> bytes:
        assert (repository, digest) == ("team/app", DIGEST)
        asked.append((start, stop))
        return DATA[start:stop]

    return BlobRange(read_range, "team/app", DIGEST, len(DATA))


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        (0, 1),
        (0, len(DATA)),
        (4 * MIB - 1, 4 * MIB + 1),
        (9 * MIB, 10 * MIB),
        (len(DATA), 10 * MIB),
    ],
)
def test_any_range_is_as_the_blob_has_it(start: int, stop: int) -> None:
    assert blob([]).read(start, stop) == DATA[start:stop]


def test_small_steps_are_few_requests() -> None:
    asked: list[tuple[int, int]] = []
    content = blob(asked)
    step = MIB // 2
    read = b"".join(content.read(at, at + step) for at in range(0, len(DATA), step))
    assert read == DATA
    assert asked == [(0, 4 * MIB), (4 * MIB, 8 * MIB), (8 * MIB, len(DATA))]
