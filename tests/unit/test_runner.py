from __future__ import annotations

import io
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.errors import Annotation, TestsFailed
from modelferry.progress import metered
from modelferry.runner import Runner, Terminal, logging_to, report_error
from modelferry.values import Secret
from tests.runner_sim import Step, read_log, read_outputs


class Job:
    """A runner, the stream it writes to, and what GitHub's runner makes of it."""

    def __init__(self, folder: Path) -> None:
        self.stream = io.StringIO()
        self.output_file = folder / "output"
        self.summary_file = folder / "summary"
        self.environ = {
            "GITHUB_OUTPUT": str(self.output_file),
            "GITHUB_STEP_SUMMARY": str(self.summary_file),
        }
        self.runner = Runner(self.stream, self.environ)

    def step(self) -> Step:
        return read_log(self.stream.getvalue())


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    job = Job(tmp_path)
    for name, value in job.environ.items():
        monkeypatch.setenv(name, value)
    return job


def test_a_secret_is_masked_and_never_written_after(job: Job) -> None:
    job.runner.mask([Secret("hunter2+/key==")])
    job.runner.say("the key is hunter2+/key== or hunter2%2B%2Fkey%3D%3D")
    written = job.stream.getvalue()
    assert written.index("::add-mask::hunter2+/key==") < written.index("the key is")
    assert "the key is *** or ***" in written
    assert job.step().masks >= {"hunter2+/key=="}


def test_a_secret_of_several_lines_is_masked_line_by_line(job: Job) -> None:
    job.runner.mask([Secret("-----BEGIN KEY-----\nabcdefgh\n-----END KEY-----")])
    job.runner.say("read abcdefgh")
    assert "read ***" in job.stream.getvalue()
    assert "abcdefgh" in job.step().masks


def test_short_values_are_not_masked(job: Job) -> None:
    job.runner.mask([Secret("abc"), Secret("")])
    assert job.step().masks == set()


HOSTILE = (
    "::error::forged",
    "   ::set-output name=digest::forged",
    "text ##[error]forged",
    "::stop-commands::x",
    "##[add-mask]a",
    "one\n::warning::forged\rtwo",
)


@pytest.mark.parametrize("line", HOSTILE)
def test_text_runs_no_command(job: Job, line: str) -> None:
    job.runner.say(line)
    job.runner.annotate("notice", "ours", title="t", file=None, line=None)
    step = job.step()
    assert step.obeyed == ["stop-commands", "notice"]
    assert [issue.message for issue in step.issues] == ["ours"]


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_text_at_all_runs_a_command(first: str, second: str) -> None:
    stream = io.StringIO()
    runner = Runner(stream, {})
    runner.say(first)
    runner.say("::" + second)
    runner.say("##[" + second)
    assert read_log(stream.getvalue()).obeyed == ["stop-commands"]


def test_groups_and_annotations_work_between_text(job: Job) -> None:
    with job.runner.group("fetch\nmodel"):
        job.runner.say("bytes")
    job.runner.annotate("error", "a: b, 100%\nsecond", title="x,y:z", file="k8s/a.yaml", line=7)
    step = job.step()
    assert step.groups == ["fetch model"]
    assert step.obeyed == ["group", "stop-commands", "endgroup", "error"]
    assert step.issues[0].message == "a: b, 100%\nsecond"
    assert step.issues[0].properties["file"] == "k8s/a.yaml"
    assert step.issues[0].properties["line"] == "7"
    assert step.issues[0].properties["title"] == "x,y:z"


def test_the_eleventh_annotation_becomes_a_log_line(job: Job) -> None:
    for number in range(12):
        job.runner.annotate("warning", f"w{number}", title="", file=None, line=None)
    step = job.step()
    assert len(step.issues) == 10
    assert [line for line in step.log if "w11" in line] == ["warning: w11"]


def test_a_long_message_is_cut_with_a_pointer(job: Job) -> None:
    job.runner.annotate("error", "x" * 5000, title="", file=None, line=None)
    message = job.step().issues[0].message
    assert len(message) <= 4096
    assert message.endswith("(cut; the job summary has it all)")


def test_an_error_is_one_annotation_and_its_other_places_are_warnings(job: Job) -> None:
    places = tuple(
        Annotation(file=f"t{n}.py", line=n, title="failed", message=f"m{n}") for n in (1, 2)
    )
    report_error(job.runner, TestsFailed("2 tests failed", do="mend them", annotations=places))
    step = job.step()
    assert [(i.level, i.properties["file"]) for i in step.issues] == [
        ("error", "t1.py"),
        ("warning", "t2.py"),
    ]
    assert step.errors()[0].message == "2 tests failed\nmend them"


def test_what_stands_in_the_log_already_is_not_told_again(job: Job) -> None:
    error = TestsFailed("2 tests failed", seen="a hundred lines", do="mend them")
    error.is_told = True
    report_error(job.runner, error)
    assert job.step().errors()[0].message == "2 tests failed\nmend them"


@given(st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]*", fullmatch=True), st.text()))
def test_outputs_round_trip(tmp_path_factory: pytest.TempPathFactory, values: dict) -> None:
    values = {name: value.replace("\r", "") for name, value in values.items()}
    path = tmp_path_factory.mktemp("out") / "output"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_OUTPUT", str(path))
        Runner(io.StringIO(), {"GITHUB_OUTPUT": str(path)}).outputs(values)
    assert read_outputs(path.read_bytes().decode()) == values


@pytest.mark.parametrize("name", ["a=b", "a<<b", "a\nb", "", "1a"])
def test_a_name_that_would_inject_an_output_is_refused(job: Job, name: str) -> None:
    with pytest.raises(ValueError, match="no output name"):
        job.runner.outputs({name: "v"})


def test_a_summary_stays_below_what_the_runner_drops(job: Job) -> None:
    job.runner.summary("é" * 1024 * 1024)
    data = job.summary_file.read_bytes()
    assert len(data) < 1024 * 1024
    assert data.decode().endswith("the log has the rest_\n")


def test_outside_a_job_nothing_is_written_but_the_stream() -> None:
    runner = Runner(io.StringIO(), {})
    runner.outputs({"digest": "d"})
    runner.summary("text")


def test_log_lines_of_the_package_reach_the_writer(job: Job) -> None:
    job.runner.mask([Secret("canary-value")])
    with logging_to(job.runner, debug=False):
        logging.getLogger("modelferry.fetch").info("got %s", "canary-value")
        logging.getLogger("modelferry.fetch").debug("unseen")
        logging.getLogger("modelferry.fetch").warning("slow")
    log = "\n".join(job.step().log)
    assert "got ***" in log
    assert "warning: slow" in log
    assert "unseen" not in log


def test_a_terminal_gets_words_not_commands() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.mask([Secret("canary-value")])
    with terminal.group("fetch"):
        terminal.say("canary-value")
    terminal.annotate("error", "broken", title="Modelferry", file="a.yaml", line=3)
    terminal.outputs({"digest": "sha256:1", "url": ""})
    assert stream.getvalue().splitlines() == [
        "── fetch",
        "***",
        "error: Modelferry at a.yaml:3: broken",
        "digest  sha256:1",
    ]


def test_work_at_a_terminal_is_shown_as_a_bar_with_the_log_above_it() -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Tty()
    terminal = Terminal(stream)
    with logging_to(terminal, debug=False), metered("fetch model.onnx", 2048) as meter:
        meter.add(1024)
        terminal.say("a line")
    terminal.say("after")
    written = stream.getvalue()
    assert "fetch model.onnx" in written
    assert "/2.0 KiB" in written
    assert written.endswith("after\n")
    assert "a line\n" in written


def test_work_in_a_pipe_is_shown_as_lines() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    with logging_to(terminal, debug=False), metered("fetch", 2) as meter:
        meter.add(1)
    assert stream.getvalue() == ""
