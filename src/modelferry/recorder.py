"""What happens, as it happens: log groups, times, and the RunReport that tells of it afterwards."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from modelferry.errors import Cancelled, FerryError, RunCancelled
from modelferry.report import Mark, RunReport, StageResult, verdict_line
from modelferry.runner import Output


@dataclass(slots=True)
class StageNote:
    """What a stage wants said of it."""

    figure: str = ""
    moved_bytes: int | None = None
    mark: Mark = "passed"


class Recorder:
    """Groups the log by stage, times each, and gathers the report."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._started = time.monotonic()
        self.report = RunReport()

    def note(self, **values: object) -> None:
        self.report = replace(self.report, **values)  # pyright: ignore[reportArgumentType]

    @contextmanager
    def stage(self, name: str) -> Generator[StageNote]:
        began = time.monotonic() - self._started
        note = StageNote()
        try:
            with self._output.group(name):
                yield note
        except FerryError as error:
            self._failed(name, note, error)
            raise
        except Cancelled as error:
            told = "\n".join(getattr(error, "__notes__", ()))
            self._failed(name, note, RunCancelled(str(error), seen=told))
            raise
        except Exception as error:
            note.mark, note.figure = "failed", f"{type(error).__name__}: {error}"
            raise
        finally:
            result = StageResult(
                name=name,
                mark=note.mark,
                started_s=began,
                seconds=time.monotonic() - self._started - began,
                figure=note.figure,
                moved_bytes=note.moved_bytes,
            )
            self.note(stages=(*self.report.stages, result))
            self._output.say(verdict_line(result))  # after the group: seen while it is folded

    def reused(self, stage: str) -> None:
        """A stage that has nothing to do, as the last release did it."""
        result = StageResult(
            name=stage,
            mark="reused",
            started_s=time.monotonic() - self._started,
            seconds=0.0,
            figure="as in the last release",
        )
        self.note(stages=(*self.report.stages, result))

    def amend(self, name: str, *, figure: str, moved_bytes: int, seconds: float) -> None:
        """What is known of a stage only now, as its work went on beside the next one's."""
        results = {each.name: each for each in self.report.stages}
        result = replace(results[name], figure=figure, moved_bytes=moved_bytes, seconds=seconds)
        self.note(stages=tuple((results | {name: result}).values()))
        self._output.say(verdict_line(result))

    @property
    def failed_stage(self) -> str:
        """Also where a bug of ours ended it, which no stage tells; empty when none has failed."""
        failed = (each.name for each in self.report.stages if each.mark == "failed")
        return next(failed, "")

    def _failed(self, name: str, note: StageNote, error: FerryError) -> None:
        note.mark, note.figure = "failed", " ".join(error.what.split())
        self._failed_beside(error.stage, note)
        self.fail(error.stage or name, error)

    def _failed_beside(self, stage: str, note: StageNote) -> None:
        """A stage that seemed over, and went on beside the one that it made fail."""
        results = {each.name: each for each in self.report.stages}
        if result := results.get(stage):
            result = replace(result, mark="failed", figure=note.figure)
            self.note(stages=tuple((results | {stage: result}).values()))

    def fail(self, stage: str, error: FerryError) -> None:
        """The first failure stays the one that is told."""
        if self.report.error is None:
            self.note(error=error, failed_stage=stage)
