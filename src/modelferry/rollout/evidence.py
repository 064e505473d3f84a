"""What can be seen of a failed rollout, gathered before anything is undone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import EVENTS
from modelferry.errors import Annotation, FerryError, RolloutFailed
from modelferry.rollout.board import Board, Finding
from modelferry.rollout.podspec import containers
from modelferry.rollout.running_image import container_statuses
from modelferry.rollout.states import Done
from modelferry.rollout.trouble import Trouble
from modelferry.rollout.watch import Outcome
from modelferry.values import format_duration

Object = Mapping[str, Any]

_LOG_LINES = 30
_PODS = 3  # shown of one object: replicas mostly fail alike
_EVENTS = 8
_OBJECTS = 5
_ERROR = re.compile(r"error|exception|fatal|panic|critical|killed", re.IGNORECASE)
_UNHEALTHY = re.compile(r"\s*event Warning Unhealthy( x\d+)?: ")
_NO_LOG = re.compile(r"\((empty|cannot be read)|unable to retrieve container logs")


def failure(cluster: Cluster, board: Board, outcome: Outcome, timeout_s: float) -> RolloutFailed:
    """The error that ends the run: object and cause first, then everything that explains it."""
    findings = [f for f in outcome.findings if f.is_final] or [*_late(board, outcome, timeout_s)]
    gathered = [_gather(cluster, board, finding) for finding in findings[:_OBJECTS]]
    left_out = len(findings) - len(gathered)
    more = f" (and {len(findings) - 1} more)" if findings[1:] else ""
    return RolloutFailed(
        f"{gathered[0].cause}{more}",
        seen="\n\n".join(entry.text for entry in gathered)
        + (f"\n\n{left_out} more failures are not shown." if left_out else ""),
        do=_advice(findings, timed_out=not any(f.is_final for f in outcome.findings)),
        annotations=tuple(
            _annotation(finding, entry.cause)
            for finding, entry in zip(findings, gathered, strict=False)
        ),
    )


@dataclass(frozen=True, slots=True)
class _Gathered:
    cause: str
    text: str


def _late(board: Board, outcome: Outcome, timeout_s: float) -> Iterator[Finding]:
    """The time is up: what is not ready, with the trouble it has so far, if any."""
    troubles = {finding.target.key: finding for finding in outcome.findings}
    for target, state in outcome.states:
        if isinstance(state, Done):
            continue
        known = troubles.get(target.key)
        figures = ", ".join(f"{f.name} {f.value} of {f.of}" for f in state.figures)
        message = getattr(state, "message", "")
        why = known.trouble.cause if known else message
        cause = f"not ready after {format_duration(timeout_s)}: " + "; ".join(
            filter(None, (figures, why))
        )
        pods = _unready(board.pods(target))
        container = known.trouble.container if known else None
        pod = known.pod if known else next(iter(pods), None)
        trouble = Trouble(cause=cause, grace_s=0, container=container)
        yield Finding(target=target, trouble=trouble, pod=pod)


def _gather(cluster: Cluster, board: Board, finding: Finding) -> _Gathered:
    target = finding.target
    others = [pod for pod in _unready(board.pods(target)) if pod is not finding.pod]
    pods = ([finding.pod] if finding.pod else []) + others
    lines = [finding.cause, *_conditions(board.live(target) or {})]
    lines += _events(cluster, board.live(target))
    said = ""
    for pod in pods[:_PODS]:
        lines += ["", *_pod_lines(cluster, pod)]
        logs = list(_logs(cluster, pod))
        for title, content in logs:
            lines += ["", title, *content]
        said = said or _last_words(pod, finding, logs)
    if not finding.is_final:  # only the time was up: the probes may know why
        said = said or _probe_words(lines)
    cause = finding.cause + (f": {said}" if said else "")
    return _Gathered(cause=cause, text="\n".join(lines))


def _unready(pods: Sequence[Object]) -> list[Object]:
    return [pod for pod in pods if not _condition_is_true(pod, "Ready")]


def _condition_is_true(pod: Object, name: str) -> bool:
    return any(
        condition["type"] == name and condition["status"] == "True"
        for condition in pod.get("status", {}).get("conditions") or ()
    )


def _pod_lines(cluster: Cluster, pod: Object) -> Iterator[str]:
    status = pod.get("status", {})
    yield f"pod {pod['metadata']['name']}: {status.get('phase', 'unknown')}"
    yield from _conditions(pod)
    for container in container_statuses(pod):
        state = _state(container.get("state"))
        last = _state(container.get("lastState"))
        yield (
            f"  container {container['name']}: {state}, restarts {container.get('restartCount', 0)}"
            + (f", before: {last}" if last else "")
        )
    yield from _events(cluster, pod)


def _conditions(body: Object) -> Iterator[str]:
    """Those that say something is wrong; ReplicaFailure is the one that is bad when True."""
    conditions = body.get("status", {}).get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        bad = "True" if condition["type"] in ("ReplicaFailure", "Failed") else "False"
        if condition.get("status") == bad:
            said = " ".join(
                filter(None, (condition.get("reason"), _one_line(condition.get("message"))))
            )
            yield f"  condition {condition['type']}={condition['status']}: {said}"


def _state(state: Mapping[str, Any] | None) -> str:
    for name, details in (state or {}).items():
        parts = [name]
        if "reason" in details:
            parts.append(details["reason"])
        if "exitCode" in details:
            parts.append(f"exit {details['exitCode']}")
        if details.get("message"):
            parts.append(_one_line(details["message"]))
        return " ".join(parts)
    return ""


def _events(cluster: Cluster, body: Object | None) -> Iterable[str]:
    if body is None:
        return ()
    metadata = body["metadata"]
    try:
        found, _ = cluster.list(
            EVENTS,
            metadata.get("namespace", "default"),
            selectors=(("fieldSelector", f"involvedObject.uid={metadata['uid']}"),),
        )
    except FerryError as error:
        return [f"  events cannot be read: {error.what}"]
    newest = sorted(found, key=_when)[-_EVENTS:]
    return [
        f"  event {event.get('type')} {event.get('reason')}"
        + (f" x{event['count']}" if event.get("count", 1) > 1 else "")
        + f": {_one_line(event.get('message'))}"
        for event in newest
    ]


def _when(event: Object) -> str:
    return str(
        event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"]["creationTimestamp"]
    )


def _logs(cluster: Cluster, pod: Object) -> Iterator[tuple[str, Sequence[str]]]:
    """The current run of each container, and the one before where it was restarted."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    for status in container_statuses(pod):
        runs = [False] if "waiting" not in status.get("state", {}) else []
        runs += [True] if status.get("lastState") else []
        for previous in runs:
            which = "before its restart" if previous else "now"
            title = f"  log of {name} container {status['name']}, {which}:"
            content = cluster.try_logs(
                name, namespace, status["name"], previous=previous, lines=_LOG_LINES
            )
            yield title, [f"  | {line}" for line in content] or ["  | (empty)"]


def _last_words(pod: Object, finding: Finding, logs: Sequence[tuple[str, Sequence[str]]]) -> str:
    """The last line that speaks of an error, else the last of all: what a program died of."""
    phase = pod.get("status", {}).get("phase")
    if not (finding.trouble.crashed or phase == "Failed" or _unhealthy(pod)):
        return ""
    for title, content in logs:
        if finding.trouble.container and f"container {finding.trouble.container}," not in title:
            continue
        words = [line.removeprefix("  | ").strip() for line in content]
        lines = [line for line in reversed(words) if line and not _NO_LOG.match(line)]
        if lines:
            return next(filter(_ERROR.search, lines), lines[0])[:300]
    return ""


def _probe_words(lines: Sequence[str]) -> str:
    probes = [_UNHEALTHY.sub("", line) for line in lines if _UNHEALTHY.match(line)]
    return probes[-1][:300] if probes else ""


def _unhealthy(pod: Object) -> bool:
    return any(
        (status.get("lastState", {}).get("terminated") or {}).get("exitCode", 0) != 0
        for status in container_statuses(pod)
    )


def _annotation(finding: Finding, cause: str) -> Annotation:
    manifest = finding.target.placed.manifest
    line = manifest.line
    for container in containers(manifest.body):
        if container.name == finding.trouble.container:
            line = manifest.line_of(*container.path, "image")
    return Annotation(file=manifest.file, line=line, title="Rollout failed", message=cause)


def _advice(findings: Sequence[Finding], *, timed_out: bool) -> str:
    names = ", ".join(dict.fromkeys(finding.target.label for finding in findings))
    if timed_out:
        return f"Look at the probes and logs of {names} above, or raise `timeout`."
    return f"Mend {names} as the evidence above says, and run again."


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
