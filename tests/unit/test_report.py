from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import PurePosixPath

import pytest

from modelferry.artifacts import (
    FetchedFile,
    Model,
    ModelFile,
    PushedImage,
    ResolvedModel,
    Rollout,
    RolloutState,
    as_pushed,
)
from modelferry.errors import (
    Fault,
    InputError,
    ModelNotFound,
    RegistryError,
    RollbackError,
    RolloutFailed,
    Several,
)
from modelferry.report import Mark, RunReport, StageResult, outputs, summary, to_json, verdict_line
from modelferry.values import Digest, ImageRef

DIGEST = Digest("sha256:" + "a" * 64)
REF = ImageRef(registry="r.example", repository="team/score", digest=DIGEST)


def model_file(name: str, etag: str) -> ModelFile:
    return ModelFile(
        uri=f"azblob://acct/models/{name}",
        image_path=PurePosixPath("/model") / name,
        size_bytes=3,
        etag=etag,
        version_id=None,
        modified=None,
        source_line=1,
    )


def with_model(*names: str) -> RunReport:
    files = tuple(model_file(name, f"etag-{name}") for name in names)
    resolved = ResolvedModel(files=files, version="v3", reasons=("{latest}: v3 of 3 versions",))
    fetched = tuple(FetchedFile(file=f, sha256=f"sha-{f.uri}") for f in files)
    return RunReport(resolved=resolved, model=Model(resolved=resolved, files=fetched))


def rolled_back() -> RolloutFailed:
    error = RolloutFailed("x")
    error.rolled_back = True
    return error


def stage(name: str, mark: Mark = "passed", **facts: object) -> StageResult:
    return StageResult(
        name=name, mark=mark, started_s=1.0, seconds=2.0, **{"figure": "fig", **facts}
    )


PUSHED = PushedImage(ref=REF, digest=DIGEST, tags=("sha-1", "main"), model_version="v3")
ROLLOUT = Rollout(
    state=RolloutState.SUCCEEDED,
    objects=("deployment/score", "service/score"),
    previous_image="r.example/team/score@sha256:old",
    url="http://10.0.0.1/",
)


def test_outputs_of_a_whole_run() -> None:
    values = outputs(RunReport(pushed=PUSHED, rollout=ROLLOUT), "modelferry-report.json")
    assert values["image"] == f"r.example/team/score@{DIGEST}"
    assert values["digest"] == DIGEST
    assert values["tags"] == "sha-1\nmain"
    assert values["rollout"] == "succeeded"
    assert values["previous-image"] == "r.example/team/score@sha256:old"
    assert values["url"] == "http://10.0.0.1/"
    assert values["failed-stage"] == ""
    assert values["report"] == "modelferry-report.json"


def test_a_rollback_by_hand_tells_what_runs_now() -> None:
    back = replace(ROLLOUT, state=RolloutState.ROLLED_BACK, release=7, of=3, image=str(REF))
    report = RunReport(rollout=back, pushed=as_pushed(str(REF), "3"))
    values = outputs(report, "r")
    assert values["model-version"] == "3"
    assert (values["image"], values["digest"], values["tags"]) == (str(REF), DIGEST, "")
    assert values["rollout"] == "rolled-back"
    text = summary(report)
    assert "| release | 7, as release 3 |" in text
    assert f"| image | `{REF}` |" in text
    assert "| tags |" not in text
    assert json.loads(to_json(report))["rollout"]["release"] == 7
    assert as_pushed("r.example/team/score:v1") is None


def test_one_file_gives_its_own_sha256_and_etag() -> None:
    values = outputs(with_model("m.onnx"), "r")
    assert values["model-sha256"] == "sha-azblob://acct/models/m.onnx"
    assert values["model-etag"] == "etag-m.onnx"
    assert values["model-version"] == "v3"


def test_several_files_give_the_sha256_of_their_list_in_any_order() -> None:
    one, other = outputs(with_model("a", "b"), "r"), outputs(with_model("b", "a"), "r")
    listing = b"etag-a azblob://acct/models/a\netag-b azblob://acct/models/b\n"
    assert one["model-etag"] == hashlib.sha256(listing).hexdigest()
    assert one == other


def test_a_run_that_did_nothing_has_empty_outputs_and_a_skipped_rollout() -> None:
    values = outputs(RunReport(), "r")
    assert {name: value for name, value in values.items() if value} == {
        "rollout": "skipped",
        "report": "r",
    }


@pytest.mark.parametrize("stage", ["deploy", "rollback"])
def test_a_stage_of_the_cluster_that_raised_is_a_failed_rollout(stage: str) -> None:
    failed = RunReport(error=RolloutFailed("pod crashed"), failed_stage=stage)
    assert outputs(failed, "r")["rollout"] == "failed"
    assert outputs(failed, "r")["failed-stage"] == stage
    assert failed.status == 8


def test_a_release_that_there_is_not_leaves_the_rollout_alone() -> None:
    error = InputError(Fault(name="to", given="99", allowed="there are: 1, 2"))
    told = outputs(RunReport(error=error, failed_stage="rollback"), "r")
    assert told["rollout"] == "skipped"


@pytest.mark.parametrize(
    ("error", "rollout", "status"),
    [
        (RolloutFailed("x"), "failed", 8),
        (rolled_back(), "rolled-back", 8),
        (RollbackError("x"), "rollback-failed", 9),
    ],
    ids=["failed", "rolled back", "rollback failed"],
)
def test_a_failed_rollout_says_what_came_of_the_way_back(
    error: RolloutFailed | RollbackError, rollout: str, status: int
) -> None:
    error.previous_image = "r.example/team/score@sha256:old"
    report = RunReport(error=error, failed_stage="deploy")
    assert report.status == status
    told = outputs(report, "")
    assert told["rollout"] == rollout
    assert told["previous-image"] == "r.example/team/score@sha256:old"


def test_the_summary_of_a_failed_rollout_says_what_changed_and_what_is_back() -> None:
    error = rolled_back()
    error.previous_image, error.diff = "r.example/team/score@sha256:old", "~ deployment/score"
    text = summary(RunReport(error=error, failed_stage="deploy", stages=(stage("deploy"),)))
    assert "deploy failed; what was there before is back" in text
    assert "~ deployment/score" in text
    assert "| before | `r.example/team/score@sha256:old` |" in text
    worse = RunReport(error=RollbackError("x"), failed_stage="deploy")
    assert "deploy failed, and so did the way back" in summary(worse)


@pytest.mark.parametrize(
    ("changed", "told"), [(True, "true"), (False, "false"), (None, "")], ids=str
)
def test_whether_the_model_changed_is_told_where_it_is_known(
    changed: bool | None, told: str
) -> None:
    assert outputs(RunReport(model_changed=changed), "")["model-changed"] == told


def test_a_reused_release_is_told_as_such() -> None:
    pushed = replace(PUSHED, reused=True, image_id="sha256:config")
    told = outputs(RunReport(pushed=pushed), "")
    assert (told["image-reused"], told["imageid"]) == ("true", "sha256:config")
    assert outputs(RunReport(pushed=PUSHED), "")["image-reused"] == "false"
    text = summary(RunReport(pushed=pushed, stages=(stage("build", "reused"),)))
    assert "nothing changed, the last release is reused" in text
    assert "↺ build" in text


def test_of_several_errors_the_first_gives_the_status() -> None:
    both = Several((ModelNotFound("no blob"), RegistryError("no registry")))
    assert RunReport(error=both).status == 4
    text = summary(RunReport(error=both, failed_stage="preflight"))
    assert "no blob" in text
    assert "no registry" in text


def test_an_input_error_is_status_2() -> None:
    error = InputError(Fault(name="port", given="x", allowed="must be a number"))
    assert RunReport(error=error).status == 2


def test_the_summary_has_verdict_table_and_timeline() -> None:
    text = summary(
        RunReport(
            stages=(stage("fetch", moved_bytes=2048), stage("deploy", "not run")),
            pushed=PUSHED,
            rollout=ROLLOUT,
        )
    )
    assert text.startswith("## ✓ Modelferry: deployed\n")
    assert "| ✓ fetch | fig | 2.0 s | 2.0 KiB |" in text
    assert "| · deploy | fig |  |  |" in text
    assert "  fetch 2.0 s :1000, 3000" in text
    assert "deploy 2.0 s :" not in text
    assert "| url | http://10.0.0.1/ |" in text


def test_a_dry_run_says_so_and_what_would_happen() -> None:
    text = summary(RunReport(dry_run="deploy:\n  would update deployment/score"))
    assert text.startswith("## ✓ Modelferry: dry run, nothing was changed\n")
    assert "  would update deployment/score\n```" in text


def test_an_untested_image_is_said_to_be_untested() -> None:
    text = summary(RunReport(stages=(stage("test", "not tested"),), pushed=PUSHED))
    assert text.startswith("## ✓ Modelferry: pushed, not tested\n")


def test_what_failed_stands_first_and_cannot_break_the_page() -> None:
    error = RolloutFailed("pod <b>x</b> crashed", seen="log with ``` in it", do="look at | it")
    text = summary(
        RunReport(error=error, failed_stage="deploy", stages=(stage("deploy", "failed"),))
    )
    assert text.startswith("## ✗ Modelferry: deploy failed\n\n**pod &lt;b>x&lt;/b> crashed**")
    assert "````text\nlog with ``` in it\n````" in text
    assert "→ look at | it" in text
    assert ":crit, 1000, 3000" in text


def test_the_json_report_says_it_all() -> None:
    report = with_model("m.onnx")
    body = json.loads(to_json(report))
    assert body["verdict"] == "passed"
    assert body["model"]["files"][0]["sha256"] == "sha-azblob://acct/models/m.onnx"
    failed = json.loads(
        to_json(RunReport(error=RolloutFailed("crashed", do="look"), failed_stage="deploy"))
    )
    assert failed["exit-status"] == 8
    assert failed["error"] == [
        {"class": "RolloutFailed", "what": "crashed", "seen": "", "do": "look"}
    ]


def test_the_verdict_line_is_short() -> None:
    assert verdict_line(stage("fetch", figure="1.2 GiB")) == "✓ fetch     1.2 GiB in 2.0 s"
    assert verdict_line(stage("test", "failed", figure="")) == "✗ test      failed in 2.0 s"
