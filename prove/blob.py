"""A blob, as the registry client takes it."""

from modelferry.values import Digest, digest_of


class Bytes:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self._digest = digest_of(data)

    @property
    def digest(self) -> Digest:
        return self._digest

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read(self, start: int, stop: int, /) -> bytes:
        return self.data[start:stop]
