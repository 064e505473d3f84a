"""Model files made in memory, and what was asked for of them."""

from __future__ import annotations

import random
import threading
from collections.abc import Generator, Iterable
from pathlib import PurePosixPath

from modelferry.artifacts import ModelFile
from modelferry.errors import ModelChanged
from modelferry.image.layer import Folder, LayerFile, LayerView, make_layer
from modelferry.image.stream import Stretch

CHUNK = 1000


class Storage:
    """Contents by path; hands them out in chunks and remembers what was asked for."""

    def __init__(self, **sizes: int) -> None:
        self.data = {name: random.Random(name).randbytes(size) for name, size in sizes.items()}
        self.readings: list[list[tuple[str, int, int]]] = []
        self.open_readings = 0
        self.error_at: tuple[str, int] | None = None
        self.error: BaseException = ModelChanged("it changed")
        self.handed_out = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def view(self) -> LayerView:
        model = Folder(path=PurePosixPath("/model"))
        return make_layer(
            tuple(
                LayerFile(
                    path=PurePosixPath(f"/model/{name}"), folders=(model,), file=self.file(name)
                )
                for name in sorted(self.data)
            )
        )

    def file(self, name: str) -> ModelFile:
        return ModelFile(
            uri=f"s3://b/{name}",
            image_path=PurePosixPath(f"/model/{name}"),
            size_bytes=len(self.data[name]),
            etag=None,
            version_id=None,
            modified=None,
            source_line=1,
        )

    def read(self, stretches: Iterable[Stretch]) -> Generator[memoryview, None, None]:
        wanted = [(file.image_path.name, start, stop) for file, start, stop in stretches]
        self.readings.append(wanted)
        self.open_readings += 1
        try:
            for name, start, stop in wanted:
                for at in range(start, stop, CHUNK):
                    if self.error_at and self.error_at <= (name, at):
                        raise self.error
                    body = self.data[name][at : min(at + CHUNK, stop)]
                    self.handed_out += len(body)
                    yield memoryview(body)
        finally:
            self.open_readings -= 1

    def whole(self, view: LayerView) -> bytes:
        return b"".join(
            self.data[piece.file.image_path.name] if piece.file else piece.computed
            for piece in view.pieces()
        )
