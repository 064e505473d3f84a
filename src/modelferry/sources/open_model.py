"""A pinned model, open for reading: parts in parallel, given in order to whoever needs them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from itertools import chain

from modelferry.artifacts import FetchedFile, LocalFile, Model, ModelFile, ResolvedModel
from modelferry.errors import ChecksumMismatch, Fault, FerryError, InputError, ModelChanged
from modelferry.sources.pace import Pace
from modelferry.sources.ranges import in_order, parts_of
from modelferry.sources.source import Source
from modelferry.values import format_bytes

log = logging.getLogger("modelferry.fetch")

RESTARTS = 2  # of a model that changes while it is read

Stretch = tuple[ModelFile, int, int]  # of its content, [start, stop)
Bodies = Generator[memoryview, None, None]
ReadInOrder = Callable[[Iterable[Stretch]], Bodies]
OpenLine = Callable[[int], Source]  # the storage behind a line of `model`, counted from 1


class OpenModel:
    """A pinned model that can be read. `fetched_bytes` counts what was."""

    def __init__(
        self,
        resolved: ResolvedModel,
        open_line: OpenLine,
        *,
        sha256: Sequence[tuple[str | None, str]] = (),
        resolve: Callable[[], ResolvedModel],
        on_disk: tuple[LocalFile, ...] = (),
    ) -> None:
        """`sha256`: as in `model-sha256`; InputError where one names no file of the model."""
        self.resolved, self.on_disk = resolved, on_disk
        self.fetched_bytes = self._restarts = 0
        self._given_sums, self._sums = sha256, expected_sums(sha256, resolved.files)
        self._open_line, self._resolve = open_line, resolve
        self._shared: dict[int, Source] = {}
        self._pace = Pace()
        self._lock = threading.Lock()

    def again(self, error: ModelChanged) -> OpenModel:
        """What is there now; raises `error` when that was asked often enough."""
        if self._restarts == RESTARTS:
            raise error
        log.warning("%s", error)
        log.warning(
            "Starting again with what is there now (%d of %d)", self._restarts + 1, RESTARTS
        )
        try:
            model = OpenModel(
                self._resolve(), self._open_line, sha256=self._given_sums, resolve=self._resolve
            )
        except FerryError as problem:
            problem.stage = "fetch"  # whatever stage reads
            raise
        model.fetched_bytes, model._restarts = self.fetched_bytes, self._restarts + 1
        return model

    def copied(self, copies: Source, files: tuple[LocalFile, ...]) -> OpenModel:
        """The same model, read from the files' copies on disk from now on."""
        model = OpenModel(
            self.resolved, lambda _: copies, resolve=lambda: self.resolved, on_disk=files
        )
        model.fetched_bytes = self.fetched_bytes
        return model

    def reader(self, on_read: Callable[[int], None], window_bytes: int) -> ReadInOrder:
        """Each reading asks the storage anew; `window_bytes` bounds what it holds in memory."""

        def read(stretches: Iterable[Stretch]) -> Bodies:
            try:
                for body in self._read(tuple(stretches), window_bytes):
                    with self._lock:
                        self.fetched_bytes += len(body)
                    on_read(len(body))
                    yield body
            except FerryError as error:
                error.stage = "fetch"  # whatever stage reads
                raise

        return read

    def check(self, files: tuple[FetchedFile, ...]) -> Model:
        """Raises ChecksumMismatch."""
        for fetched in files:
            expected = self._sums.get(fetched.file)
            if expected is not None and fetched.sha256 != expected.lower():
                raise _mismatch(fetched, expected.lower())
            size = format_bytes(fetched.file.size_bytes)
            log.info("%s  %s (%s)", fetched.sha256, fetched.file.image_path, size)
        return Model(resolved=self.resolved, files=files)

    def _read(self, stretches: Sequence[Stretch], window_bytes: int) -> Bodies:
        lines = {file.source_line for file, _, _ in stretches}
        sources = {line: self._source(line) for line in lines}
        bodies = in_order(
            lambda file, start, stop: sources[file.source_line].read(file, start, stop),
            chain.from_iterable(parts_of(*stretch) for stretch in stretches),
            connections=min((source.connections for source in sources.values()), default=1),
            window_bytes=window_bytes,
            pace=self._pace,
        )
        with closing(bodies):
            for _, body in bodies:
                yield body

    def _source(self, line: int) -> Source:
        """A server without ranges sends from start to end: each reading has a stream of its own."""
        with self._lock:
            if line in self._shared:
                return self._shared[line]
            source = self._open_line(line)
            if source.connections > 1:
                self._shared[line] = source
            return source


def expected_sums(
    given: Sequence[tuple[str | None, str]], files: Sequence[ModelFile]
) -> dict[ModelFile, str]:
    """Which file each line of `model-sha256` means: by name, or by the end of its path."""
    sums: dict[ModelFile, str] = {}
    faults: list[Fault] = []
    names = ", ".join(sorted({str(file.image_path) for file in files}))
    for name, digest in given:
        meant = [file for file in files if name is None or _is_named(file, name)]
        if len(meant) == 1:
            sums[meant[0]] = digest
            continue
        problem = (
            f"names no file of the model ({names})"
            if not meant
            else f"must say which of {len(meant)} files is meant ({names}): HEX NAME"
        )
        faults.append(Fault(name="model-sha256", given=name, allowed=problem))
    if faults:
        raise InputError(*faults)
    return sums


def _is_named(file: ModelFile, name: str) -> bool:
    tail = "/" + name.removeprefix("./").lstrip("/")
    return str(file.image_path).endswith(tail) or file.uri.endswith(tail)


def _mismatch(fetched: FetchedFile, expected: str) -> ChecksumMismatch:
    file = fetched.file
    error = ChecksumMismatch(
        f"{file.uri} is not the file that `model-sha256` expects",
        seen=f"Expected {expected}\ngot      {fetched.sha256}"
        f" ({format_bytes(file.size_bytes)}, ETag {file.etag})",
        do="If the model was meant to change, put the new sum into `model-sha256`; "
        "else find out who replaced it.",
    )
    error.stage = "fetch"
    return error
