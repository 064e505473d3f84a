"""Wires the parts and keeps the promise of an exit status: the only place that catches all."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

from modelferry import pipeline, report
from modelferry.errors import Cancelled, FerryError, RunCancelled
from modelferry.inputs import Inputs, read_environment
from modelferry.memory import keep_freed_memory
from modelferry.plan import REPORT, Plan, describe, make_plan, run_context, secrets
from modelferry.recorder import Recorder
from modelferry.runner import Output, Runner, Terminal, logging_to, report_error

_REPORTED = ("run", "rollback")  # commands that do something

Given = tuple[str, Inputs, tuple[str, ...]]  # command, inputs, warnings


class Bug(FerryError):
    """Anything that no stage expected."""


def main(environ: Mapping[str, str], stdout: TextIO) -> int:
    """One run of the action: INPUT_* in, workflow commands and an exit status out."""
    return _deliver(lambda: ("run", *read_environment(environ)), Runner(stdout, environ), environ)


def cli() -> None:
    """The command `modelferry`: the same run, for a person at a terminal."""
    from modelferry.cli import parse

    on_runner = os.environ.get("GITHUB_ACTIONS") == "true"
    output = Runner(sys.stdout, os.environ) if on_runner else Terminal(sys.stdout)
    leave(
        _deliver(
            lambda: parse(sys.argv[1:], environ=os.environ, folder=Path.cwd()), output, os.environ
        )
    )


def leave(status: int) -> None:
    """Exit at once: threads that wait for a network would hold the process, and Python takes a
    quarter of a second to take apart what the SDKs have loaded."""
    sys.stdout.flush()
    atexit._run_exitfuncs()  # noqa: SLF001 - the Kubernetes SDK removes its key files there
    os._exit(status)


def _deliver(read: Callable[[], Given], output: Output, environ: Mapping[str, str]) -> int:
    keep_freed_memory()
    recorder = Recorder(output)
    workspace: Path | None = None
    command = "run"  # until the words that say otherwise are read
    with logging_to(output, debug=environ.get("RUNNER_DEBUG") == "1"), _cancel_by_signal():
        try:
            command, inputs, warnings = read()
            output.mask(secrets(inputs))
            for warning in warnings:
                output.annotate("warning", warning, title="Modelferry", file=None, line=None)
            plan = make_plan(inputs, run_context(environ), environ=environ)
            workspace = plan.context.workspace
            if command in _REPORTED:
                (workspace / REPORT).unlink(missing_ok=True)  # an earlier step's: no build context
            recorder.note(context=_facts(plan, environ))
            _act(command, plan, recorder, output)
        except FerryError as error:
            recorder.fail("inputs", error)
        except Cancelled as error:
            recorder.fail("inputs", RunCancelled(str(error)))
        except Exception as error:  # noqa: BLE001 - the one catch-all
            recorder.fail(recorder.failed_stage or "run", _bug(error))
    if command in _REPORTED:
        try:
            _finish(recorder.report, output, workspace)
        except OSError as error:
            recorder.fail("report", _unwritten(error))
    if recorder.report.error:
        report_error(output, recorder.report.error)
    return recorder.report.status


def _act(command: str, plan: Plan, recorder: Recorder, output: Output) -> None:
    match command:
        case "plan":
            output.say(describe(plan))
        case "history":
            output.say(_history(plan))
        case "check":
            pipeline.check(plan, recorder)
        case _:
            pipeline.run(plan, recorder)


def _history(plan: Plan) -> str:
    from modelferry.stages.history import read_history, table

    if plan.rollback is None:
        raise AssertionError("the command's stage is rollback")
    spec = plan.rollback.spec
    return table(
        read_history(plan.rollback.cluster, spec.release, spec.namespace),
        spec.release,
        spec.namespace,
    )


@contextmanager
def _cancel_by_signal() -> Generator[None]:
    """SIGINT and SIGTERM raise Cancelled in the main thread, once: cleaning up is not cancelled.

    The runner sends SIGINT, SIGTERM 7.5 s later, and ends the process after 2.5 s more.
    """

    def cancel(number: int, _: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise Cancelled(f"cancelled by {signal.Signals(number).name}")

    before = {each: signal.signal(each, cancel) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _facts(plan: Plan, environ: Mapping[str, str]) -> dict[str, str]:
    context = plan.context
    facts = {
        "repository": context.repository,
        "commit": context.commit,
        "branch": context.branch,
        "run-id": context.run_id,
        "run-attempt": str(context.run_attempt),
        "workflow": environ.get("GITHUB_WORKFLOW"),
    }
    return {name: value for name, value in facts.items() if value}


def _bug(error: Exception) -> Bug:
    return Bug(
        f"a bug in Modelferry: {type(error).__name__}: {error}",
        seen="".join(traceback.format_exception(error)),
        do="please report it with this log; nothing says that your files or inputs are wrong",
    )


def _unwritten(error: OSError) -> FerryError:
    return FerryError(
        f"the outputs, the summary or the report could not be written: {error}",
        do="GITHUB_OUTPUT and GITHUB_STEP_SUMMARY must name files that can be written, and"
        " the workspace must take a file. What the stages did stands.",
    )


def _finish(result: report.RunReport, output: Output, workspace: Path | None) -> None:
    """Outputs, summary and report come on every way out of a run."""
    written = _write_report(output.redact(report.to_json(result)), workspace) if workspace else ""
    output.outputs(report.outputs(result, written))
    output.summary(report.summary(result))


def _write_report(text: str, workspace: Path) -> str:
    """The path that later steps see it under. It belongs to whoever owns the workspace: a file of
    root's would break the next checkout on a self-hosted runner."""
    path = workspace / REPORT
    path.write_text(text, encoding="utf-8")
    owner = workspace.stat()
    if os.geteuid() == 0:
        os.chown(path, owner.st_uid, owner.st_gid)
    return REPORT


if __name__ == "__main__":
    cli()
