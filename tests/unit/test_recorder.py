from __future__ import annotations

import io

import pytest

from modelferry.errors import BuildError, Cancelled, FerryError, ModelChanged
from modelferry.recorder import Recorder
from modelferry.runner import Terminal


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def recorder(stream: io.StringIO) -> Recorder:
    return Recorder(Terminal(stream))


def test_a_stage_that_ends_is_passed_with_its_figure(
    recorder: Recorder, stream: io.StringIO
) -> None:
    with recorder.stage("fetch") as note:
        note.figure, note.moved_bytes = "1.2 GiB", 5
    [result] = recorder.report.stages
    assert (result.mark, result.figure, result.moved_bytes) == ("passed", "1.2 GiB", 5)
    assert recorder.report.error is None
    assert "✓ fetch     1.2 GiB in " in stream.getvalue()


@pytest.mark.parametrize(
    ("raised", "status", "figure"),
    [
        (BuildError("no such\n stage"), 5, "no such stage"),
        (Cancelled("cancelled by SIGINT"), 130, "cancelled by SIGINT"),
    ],
)
def test_a_stage_that_raises_is_failed_and_names_the_stage(
    recorder: Recorder, raised: BaseException, status: int, figure: str
) -> None:
    with pytest.raises(type(raised)), recorder.stage("build"):
        raise raised
    assert recorder.report.failed_stage == "build"
    assert recorder.report.status == status
    assert recorder.report.stages[-1].mark == "failed"
    assert recorder.report.stages[-1].figure == figure


def test_a_bug_fails_the_stage_too(recorder: Recorder, stream: io.StringIO) -> None:
    with pytest.raises(KeyError), recorder.stage("push"):
        raise KeyError("digest")
    assert recorder.report.stages[-1].mark == "failed"
    assert recorder.failed_stage == "push"
    assert "✗ push" in stream.getvalue()


def test_the_first_failure_stays_the_one_that_is_told(recorder: Recorder) -> None:
    first = FerryError("first")
    recorder.fail("deploy", first)
    recorder.fail("inputs", FerryError("second"))
    assert recorder.report.error is first
    assert recorder.report.failed_stage == "deploy"


def test_what_failed_beside_a_stage_is_named(recorder: Recorder) -> None:
    error = ModelChanged("the model changed")
    error.stage = "fetch"
    with recorder.stage("fetch") as note:
        note.figure = "beside the build"
    with pytest.raises(ModelChanged), recorder.stage("build"):
        raise error
    assert recorder.report.failed_stage == "fetch"
    assert [(each.name, each.mark, each.figure) for each in recorder.report.stages] == [
        ("fetch", "failed", "the model changed"),
        ("build", "failed", "the model changed"),
    ]


def test_a_stage_that_was_still_to_come_is_not_told(recorder: Recorder) -> None:
    error = FerryError("no room")
    error.stage = "push"
    with pytest.raises(FerryError), recorder.stage("build"):
        raise error
    assert [each.name for each in recorder.report.stages] == ["build"]


def test_a_stage_that_went_on_beside_another_is_told_when_it_has_ended(
    recorder: Recorder, stream: io.StringIO
) -> None:
    with recorder.stage("fetch") as note:
        note.figure = "beside the build"
    with recorder.stage("build"):
        pass
    recorder.amend("fetch", figure="v7, 2.0 GiB", moved_bytes=5, seconds=8.0)
    fetch, build = recorder.report.stages
    assert (fetch.name, fetch.figure, fetch.moved_bytes) == ("fetch", "v7, 2.0 GiB", 5)
    assert build.name == "build"
    assert stream.getvalue().endswith("✓ fetch     v7, 2.0 GiB in 8.0 s\n")


def test_a_cancel_says_what_it_leaves_behind(recorder: Recorder) -> None:
    cancelled = Cancelled("cancelled by SIGINT")
    cancelled.add_note("The rollout is left half done.")
    with pytest.raises(Cancelled), recorder.stage("deploy"):
        raise cancelled
    assert recorder.report.error
    assert recorder.report.error.seen == "The rollout is left half done."
