"""What happened, as values, and its three renderings: outputs, job summary, report.json. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from modelferry.artifacts import Image, Model, PushedImage, ResolvedModel, Rollout, RolloutState
from modelferry.errors import (
    BUG_STATUS,
    FerryError,
    InputError,
    RollbackError,
    RolloutFailed,
    Several,
)
from modelferry.values import Digest, format_bytes, format_duration

Mark = Literal["passed", "reused", "failed", "not run", "not tested"]

MARKS: Mapping[Mark, str] = {
    "passed": "✓",
    "reused": "↺",
    "failed": "✗",
    "not run": "·",
    "not tested": "!",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    name: str
    mark: Mark
    started_s: float  # since the run began
    seconds: float
    figure: str  # "1.2 GiB", "3 checks, 12 tests"
    moved_bytes: int | None = None  # over the network or into the engine, by this stage


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    stages: tuple[StageResult, ...] = ()
    resolved: ResolvedModel | None = None
    model: Model | None = None
    image: Image | None = None
    pushed: PushedImage | None = None
    rollout: Rollout | None = None
    model_changed: bool | None = None  # from the last release; None where nobody can tell
    dry_run: str = ""  # what would happen, in words; empty when it was no dry run
    error: FerryError | None = None
    failed_stage: str = ""
    context: Mapping[str, str] = field(default_factory=dict[str, str])  # commit, branch, run: facts

    @property
    def status(self) -> int:
        if self.error is None:
            return 0
        first = self.error.errors[0] if isinstance(self.error, Several) else self.error
        return first.status or BUG_STATUS


def verdict_line(stage: StageResult) -> str:
    return (
        f"{MARKS[stage.mark]} {stage.name:<9} {stage.figure or stage.mark}"
        f" in {format_duration(stage.seconds)}"
    )


def outputs(report: RunReport, report_path: str) -> dict[str, str]:
    """Every output, each useful alone; empty where there is nothing to say."""
    digest: Digest | str = ""
    if report.pushed:
        digest = report.pushed.digest
    rollout = report.rollout
    return {
        "image": str(report.pushed.ref) if report.pushed else "",
        "digest": digest,
        "imageid": _image_id(report),
        "tags": "\n".join(report.pushed.tags) if report.pushed else "",
        "image-reused": _truth(report.pushed and report.pushed.reused),
        "model-version": _model_version(report),
        "model-sha256": _of_all([(f.file.uri, f.sha256) for f in _fetched(report)]),
        "model-etag": _of_all([(f.uri, f.etag or "") for f in _resolved(report)]),
        "model-changed": _truth(report.model_changed),
        "rollout": (rollout.state if rollout else _rollout_without_value(report)).value,
        "previous-image": _previous_image(report),
        "url": (rollout.url or "") if rollout else "",
        "failed-stage": report.failed_stage,
        "report": report_path,
    }


def to_json(report: RunReport) -> str:
    body = {
        "verdict": "failed" if report.error else "passed",
        "exit-status": report.status,
        "failed-stage": report.failed_stage or None,
        "error": None if report.error is None else _error_json(report.error),
        "run": dict(report.context),
        "stages": [
            {
                "name": stage.name,
                "result": stage.mark,
                "started-s": round(stage.started_s, 3),
                "seconds": round(stage.seconds, 3),
                "figure": stage.figure,
                "bytes": stage.moved_bytes,
            }
            for stage in report.stages
        ],
        "model": {
            "version": _model_version(report),
            "changed": report.model_changed,
            "chosen": list(report.resolved.reasons) if report.resolved else [],
            "files": [
                {
                    "uri": file.uri,
                    "path": str(file.image_path),
                    "bytes": file.size_bytes,
                    "etag": file.etag,
                    "version-id": file.version_id,
                    "sha256": sha256,
                }
                for file, sha256 in _files_with_sha256(report)
            ],
        },
        "image": None
        if report.image is None
        else {
            "id": report.image.engine_id,
            "digest": report.image.digest,
            "bytes": report.image.size_bytes,
            "layers": [
                {
                    "digest": layer.descriptor.digest,
                    "diff-id": layer.diff_id,
                    "bytes": layer.descriptor.size_bytes,
                    "origin": layer.origin,
                }
                for layer in report.image.layers
            ],
        },
        "pushed": None
        if report.pushed is None
        else {
            "image": str(report.pushed.ref),
            "digest": report.pushed.digest,
            "tags": list(report.pushed.tags),
            "reused": report.pushed.reused,
            "uploaded-bytes": report.pushed.uploaded_bytes,
        },
        "rollout": None
        if report.rollout is None
        else {
            "state": report.rollout.state.value,
            "objects": list(report.rollout.objects),
            "previous-image": report.rollout.previous_image,
            "url": report.rollout.url,
            "release": report.rollout.release,
            "notices": list(report.rollout.notices),
        },
    }
    return json.dumps(body, indent=2, ensure_ascii=False) + "\n"


def summary(report: RunReport) -> str:
    """Markdown for the job's page: verdict, table, timeline, then what a reader may want more."""
    parts = [
        _heading(report),
        _failure(report.error) if report.error else "",
        _stage_table(report.stages),
        f"What would happen:\n\n{_fenced(report.dry_run)}" if report.dry_run else "",
        _facts(report),
        _diff(report),
        _timeline(report.stages),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(report: RunReport) -> str:
    if report.error:
        return f"## ✗ Modelferry: {report.failed_stage or 'the run'} failed{_after_failure(report)}"
    if report.dry_run:
        return "## ✓ Modelferry: dry run, nothing was changed"
    said = "done"
    if report.pushed:
        said = "nothing changed, the last release is reused" if report.pushed.reused else "pushed"
    if report.rollout:
        returned = report.rollout.state == RolloutState.ROLLED_BACK
        said = "returned to an earlier release" if returned else "deployed"
    untested = any(stage.mark == "not tested" for stage in report.stages)
    return f"## ✓ Modelferry: {said}{', not tested' if untested else ''}"


def _after_failure(report: RunReport) -> str:
    match report.error:
        case RollbackError():
            return ", and so did the way back"
        case RolloutFailed(rolled_back=True):
            return "; what was there before is back"
        case _:
            return ""


def _failure(error: FerryError) -> str:
    errors = error.errors if isinstance(error, Several) else (error,)
    return "\n\n".join(
        f"**{_inline(each.what)}**"
        + (f"\n\n{_fenced(each.seen)}" if each.seen else "")
        + (f"\n\n→ {_inline(each.do)}" if each.do else "")
        for each in errors
    )


def _stage_table(stages: Sequence[StageResult]) -> str:
    if not stages:
        return ""
    rows = [
        f"| {MARKS[stage.mark]} {stage.name} | {_cell(stage.figure or stage.mark)} |"
        f" {format_duration(stage.seconds) if stage.mark != 'not run' else ''} |"
        f" {format_bytes(stage.moved_bytes) if stage.moved_bytes is not None else ''} |"
        for stage in stages
    ]
    return "\n".join(["| stage | result | time | bytes moved |", "|---|---|--:|--:|", *rows])


def _facts(report: RunReport) -> str:
    rows: list[tuple[str, str]] = []
    if report.resolved:
        rows.append(("model version", f"`{_cell(_model_version(report))}`"))
        rows += [("model", _cell(reason)) for reason in report.resolved.reasons]
    if report.pushed:
        rows.append(("image", f"`{report.pushed.ref}`"))
        if report.pushed.tags:
            rows.append(("tags", ", ".join(f"`{tag}`" for tag in report.pushed.tags)))
    if before := _previous_image(report):
        rows.append(("before", f"`{_cell(before)}`"))
    if report.rollout:
        rows.append(("rollout", report.rollout.state.value))
        if report.rollout.release:
            like = f", as release {report.rollout.of}" if report.rollout.of else ""
            rows.append(("release", f"{report.rollout.release}{like}"))
        rows.append(("objects", ", ".join(f"`{_cell(name)}`" for name in report.rollout.objects)))
        if report.rollout.url:
            rows.append(("url", _cell(report.rollout.url)))
        rows += [("! notice", _cell(notice)) for notice in report.rollout.notices]
    if not rows:
        return ""
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _diff(report: RunReport) -> str:
    """Folded: who looks for it finds it, and nobody else has to scroll."""
    ended = report.rollout or report.error
    if not isinstance(ended, Rollout | RolloutFailed | RollbackError) or not ended.diff:
        return ""
    title = "<details><summary>What changed in the cluster</summary>"
    return f"{title}\n\n{_fenced(ended.diff, 'diff')}\n\n</details>"


def _timeline(stages: Sequence[StageResult]) -> str:
    """A mermaid gantt, which the job's page draws; milliseconds since the run began."""
    ran = [stage for stage in stages if stage.mark != "not run"]
    if not ran:
        return ""
    lines = ["```mermaid", "gantt", "  dateFormat x", "  axisFormat %M:%S", "  section run"]
    for stage in ran:
        state = "crit, " if stage.mark == "failed" else ""
        start = round(stage.started_s * 1000)
        end = max(start + 1, round((stage.started_s + stage.seconds) * 1000))
        lines.append(f"  {stage.name} {format_duration(stage.seconds)} :{state}{start}, {end}")
    return "\n".join([*lines, "```"])


def _error_json(error: FerryError) -> object:
    errors = error.errors if isinstance(error, Several) else (error,)
    return [{"class": type(e).__name__, "what": e.what, "seen": e.seen, "do": e.do} for e in errors]


def _fetched(report: RunReport):
    return report.model.files if report.model else ()


def _resolved(report: RunReport):
    return report.resolved.files if report.resolved else ()


def _files_with_sha256(report: RunReport):
    known = {fetched.file: fetched.sha256 for fetched in _fetched(report)}
    return [(file, known.get(file)) for file in _resolved(report)]


def _model_version(report: RunReport) -> str:
    if report.resolved:
        return report.resolved.version
    return report.pushed.model_version if report.pushed else ""


def _of_all(values: Sequence[tuple[str, str]]) -> str:
    """One file: its value. Several: the sha256 of the sorted lines `VALUE NAME`."""
    if len(values) <= 1:
        return values[0][1] if values else ""
    listing = "".join(f"{value} {name}\n" for name, value in sorted(values))
    return sha256(listing.encode()).hexdigest()


def _image_id(report: RunReport) -> str:
    if report.image:
        return report.image.engine_id
    return report.pushed.image_id if report.pushed else ""


def _truth(value: bool | None) -> str:
    return "" if value is None else str(value).lower()


def _rollout_without_value(report: RunReport) -> RolloutState:
    match report.error:
        case RollbackError():
            return RolloutState.ROLLBACK_FAILED
        case RolloutFailed(rolled_back=True):
            return RolloutState.ROLLED_BACK
        case InputError():  # nothing was begun
            return RolloutState.SKIPPED
        case _:
            failed = report.failed_stage in ("deploy", "rollback")
            return RolloutState.FAILED if failed else RolloutState.SKIPPED


def _previous_image(report: RunReport) -> str:
    if report.rollout:
        return report.rollout.previous_image or ""
    if isinstance(report.error, RolloutFailed | RollbackError):
        return report.error.previous_image or ""
    return ""


def _inline(text: str) -> str:
    return " ".join(text.split()).replace("<", "&lt;")


def _cell(text: str) -> str:
    return _inline(text).replace("|", "\\|")


def _fenced(text: str, language: str = "text") -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"
