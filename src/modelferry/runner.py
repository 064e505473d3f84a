"""The only writer to the person or the runner: log, groups, annotations, masks, outputs, summary.

`Runner` speaks the workflow commands of GitHub Actions over actions-toolkit's core; `Terminal` is
for people. Every log line of the package comes through here, redacted, and on a runner between
stop-commands tokens: no text, whoever wrote it, can run a workflow command.
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from modelferry.errors import FerryError, Several
from modelferry.progress import Meter, log_meter, shown_by
from modelferry.redact import Redactor
from modelferry.values import Secret

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

# Limits of the runner (github.com/actions/runner: ExecutionContext.cs, FileCommandManager.cs).
ANNOTATIONS_A_TYPE = 10
MESSAGE_CHARACTERS = 4096
SUMMARY_BYTES = 900 * 1024  # above 1 MiB the whole summary is dropped
OUTPUT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

Level = Literal["error", "warning", "notice"]


class Output(Protocol):
    """What the pipeline says to the outside, whoever listens."""

    def mask(self, secrets: Iterable[Secret]) -> None: ...

    def redact(self, text: str) -> str: ...

    def group(self, title: str) -> contextlib.AbstractContextManager[None]: ...

    def say(self, line: str) -> None: ...

    def annotate(
        self, level: Level, message: str, *, title: str, file: str | None, line: int | None
    ) -> None: ...

    def outputs(self, values: Mapping[str, str]) -> None: ...

    def summary(self, markdown: str) -> None: ...

    def metered(
        self, label: str, total_bytes: int | None
    ) -> contextlib.AbstractContextManager[Meter]: ...


class Runner:
    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        self._stream = stream
        self._environ = environ
        self._redactor = Redactor()
        self._lock = threading.RLock()
        self._stopped_by: str | None = None  # the token that lets commands run again
        self._said: Counter[str] = Counter()

    def mask(self, secrets: Iterable[Secret]) -> None:
        from actions_toolkit.command import issue_command  # core loads an HTTP client for OIDC

        with self._commands():
            for value in self._redactor.add(secrets):
                issue_command("add-mask", {}, value)

    def redact(self, text: str) -> str:
        return self._redactor(text)

    @contextmanager
    def group(self, title: str) -> Generator[None]:
        from actions_toolkit.command import issue_command

        with self._commands():
            issue_command("group", {}, _one_line(self.redact(title)))
        try:
            yield
        finally:
            with self._commands():
                issue_command("endgroup", {}, "")

    def say(self, line: str) -> None:
        with self._lock:
            if self._stopped_by is None:
                self._stopped_by = f"modelferry-{secrets.token_hex(16)}"
                self._stream.write(f"::stop-commands::{self._stopped_by}\n")
            for part in self.redact(line).splitlines() or [""]:
                # the web page renders ##[…] even where the runner does not obey it
                self._stream.write(part.replace("##[", "# #[") + "\n")
            self._stream.flush()

    def annotate(
        self, level: Level, message: str, *, title: str, file: str | None, line: int | None
    ) -> None:
        from actions_toolkit.command import issue_command  # core.error writes empty properties

        self._said[level] += 1
        if self._said[level] > ANNOTATIONS_A_TYPE:
            self.say(f"{level}: {message}")
            return
        properties = {"title": self.redact(title), "file": file, "line": line if file else None}
        with self._commands():
            issue_command(
                level,
                {name: value for name, value in properties.items() if value},
                _cut(self.redact(message)),
            )

    def outputs(self, values: Mapping[str, str]) -> None:
        from actions_toolkit import core

        path = self._environ.get("GITHUB_OUTPUT")
        if not path:
            return
        Path(path).touch()
        for name, value in values.items():
            if not OUTPUT_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no output name")
            core.set_output(name, self.redact(value))

    def summary(self, markdown: str) -> None:
        path = self._environ.get("GITHUB_STEP_SUMMARY")
        if not path:
            return
        data = self.redact(markdown).encode()
        if len(data) > SUMMARY_BYTES:
            data = data[:SUMMARY_BYTES].decode(errors="ignore").encode()
            data += b"\n\n_cut here: the summary was too long; the log has the rest_\n"
        with Path(path).open("ab") as file:
            file.write(data)

    def metered(
        self, label: str, total_bytes: int | None
    ) -> contextlib.AbstractContextManager[Meter]:
        return log_meter(label, total_bytes)

    @contextmanager
    def _commands(self) -> Generator[None]:
        """Let commands run, and let actions-toolkit, which writes to sys.stdout, write to us."""
        with self._lock:
            if self._stopped_by is not None:
                self._stream.write(f"::{self._stopped_by}::\n")
                self._stopped_by = None
            with contextlib.redirect_stdout(self._stream):
                yield
            self._stream.flush()


class Terminal:
    """Bars where the stream is a terminal, lines where it is a file or a pipe."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bars: Progress | None = None
        self._redactor = Redactor()
        self._lock = threading.RLock()

    def mask(self, secrets: Iterable[Secret]) -> None:
        self._redactor.add(secrets)

    def redact(self, text: str) -> str:
        return self._redactor(text)

    @contextmanager
    def group(self, title: str) -> Generator[None]:
        self.say(f"── {title}")
        yield

    def say(self, line: str) -> None:
        with self._lock:
            if self._bars is not None:  # lines go above the bars that are being drawn
                self._bars.console.out(self.redact(line), highlight=False)
                return
            self._stream.write(self.redact(line) + "\n")
            self._stream.flush()

    def annotate(
        self, level: Level, message: str, *, title: str, file: str | None, line: int | None
    ) -> None:
        where = f" at {file}:{line or 1}" if file else ""
        self.say(f"{level}: {title}{where}: {message}")

    def outputs(self, values: Mapping[str, str]) -> None:
        width = max(map(len, values), default=0)
        for name, value in values.items():
            if value:
                self.say(f"{name:>{width}}  {value}")

    def summary(self, markdown: str) -> None:
        """A terminal has the log; the summary is for the job's page."""

    @contextmanager
    def metered(self, label: str, total_bytes: int | None) -> Generator[Meter]:
        if not self._stream.isatty():
            with log_meter(label, total_bytes) as meter:
                yield meter
            return
        with self._lock:
            bars = self._bars = self._bars or _bars(self._stream)
            bars.start()
        task = bars.add_task(label, total=total_bytes)
        try:
            yield _Bar(bars, task)
        finally:
            with self._lock:
                bars.remove_task(task)
                if not bars.tasks:
                    bars.stop()
                    self._bars = None


class _Bar:
    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def add(self, count: int) -> None:
        self._bars.advance(self._task, count)


def _bars(stream: TextIO) -> Progress:
    from rich import progress
    from rich.console import Console

    return progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.DownloadColumn(binary_units=True),
        progress.TransferSpeedColumn(),
        progress.TimeRemainingColumn(compact=True),
        console=Console(file=stream),
        transient=True,
    )


class LogHandler(logging.Handler):
    """Carries the package's log lines to the one writer."""

    def __init__(self, output: Output) -> None:
        super().__init__()
        self._output = output
        self._started = time.monotonic()

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        if record.levelno >= logging.WARNING:
            text = f"{record.levelname.lower()}: {text}"
        self._output.say(f"{self._clock()}  {text}")

    def _clock(self) -> str:
        minutes, seconds = divmod(time.monotonic() - self._started, 60)
        return f"{int(minutes):02d}:{seconds:04.1f}"


@contextmanager
def logging_to(output: Output, *, debug: bool) -> Generator[None]:
    log = logging.getLogger("modelferry")
    handler = LogHandler(output)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG if debug else logging.INFO)
    log.propagate = False
    try:
        with shown_by(output.metered):
            yield
    finally:
        log.removeHandler(handler)


def report_error(output: Output, error: FerryError) -> None:
    """One error annotation a run, at the first place it knows; further places as warnings."""
    places = error.annotations
    first = error.errors[0] if isinstance(error, Several) else error
    output.annotate(
        "error",
        "\n".join(filter(None, (error.what, error.do))) if error.is_told else str(error),
        title=f"Modelferry: {type(first).__name__}",
        file=places[0].file if places else None,
        line=places[0].line if places else None,
    )
    for place in places[1:]:
        output.annotate(
            "warning", place.message, title=place.title, file=place.file, line=place.line
        )


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _cut(message: str) -> str:
    if len(message) <= MESSAGE_CHARACTERS:
        return message
    return message[: MESSAGE_CHARACTERS - 40] + "\n… (cut; the job summary has it all)"
