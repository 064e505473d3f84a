"""What can be seen of a failed rollout, gathered before anything is undone."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import EVENTS
from modelferry.errors import Annotation, FerryError, RolloutFailed
from modelferry.rollout.objects.conditions import conditions, is_true, text
from modelferry.rollout.objects.podspec import containers
from modelferry.rollout.watching import advice, claims, watch
from modelferry.rollout.watching.board import Board
from modelferry.rollout.watching.event_log import moment, telling
from modelferry.rollout.watching.findings import Finding, Outcome
from modelferry.rollout.watching.running_image import container_statuses
from modelferry.rollout.watching.states import Done
from modelferry.rollout.watching.telling import waits_for
from modelferry.rollout.watching.trouble import Trouble
from modelferry.values import format_duration

Object = Mapping[str, Any]
T = TypeVar("T")

_LOG_LINES = 30
_PODS = 3  # shown of one object: replicas mostly fail alike
_EVENTS = 8
_OBJECTS = 5
_READ_S = 10.0
_ERROR = re.compile(r"error|exception|fatal|panic|critical|killed", re.IGNORECASE)
_UNHEALTHY = re.compile(r"\s*event Warning Unhealthy( x\d+)? at \S+: ")
_NO_LOG = re.compile(r"\((empty|cannot be read)")


def until_ready(
    cluster: Cluster,
    board: Board,
    *,
    deadline: float,
    timeout_s: float,
    heed: Callable[[], None],
) -> None:
    """Watches all of `board`, and raises `failure` if it is not ready by `deadline`. `timeout_s`
    is what the user gave the whole, and is told."""
    left_s = max(0.0, deadline - time.monotonic())
    outcome = watch.follow(cluster, board, timeout_s=left_s, heed=heed)
    if not outcome.ready:
        raise failure(cluster, board, outcome, timeout_s)


def failure(cluster: Cluster, board: Board, outcome: Outcome, timeout_s: float) -> RolloutFailed:
    """The error that ends the run: object and cause first, then everything that explains it."""
    findings = [f for f in outcome.findings if f.is_final] or [*_late(board, outcome, timeout_s)]
    ask = _Ask(cluster)
    gathered = [_gather(ask, board, finding) for finding in findings[:_OBJECTS]]
    left_out = len(findings) - len(gathered)
    more = f" (and {len(findings) - 1} more)" if findings[1:] else ""
    return RolloutFailed(
        f"{gathered[0].cause}{more}",
        seen="\n\n".join(entry.text if findings[1:] else entry.details for entry in gathered)
        + (f"\n\n{left_out} more failures are not shown." if left_out else ""),
        do=advice.of(
            [(f.target.label, f.cause) for f in findings],
            timed_out=not any(f.is_final for f in outcome.findings),
        ),
        annotations=tuple(
            _annotation(finding, entry.cause)
            for finding, entry in zip(findings, gathered, strict=False)
        ),
    )


@dataclass(slots=True)
class _Ask:
    """Reads for evidence only: what cannot be read says why in its place, and a cluster that does
    not answer is not asked again and again."""

    cluster: Cluster
    _silent: str = ""

    def events(self, body: Object) -> tuple[Object, ...] | str:
        namespace = body["metadata"].get("namespace", "default")
        return self._events(namespace, f"involvedObject.uid={body['metadata']['uid']}")

    def _events(self, namespace: str, about: str) -> tuple[Object, ...] | str:
        chosen = (("fieldSelector", about),)
        return self._read(
            lambda: self.cluster.list(EVENTS, namespace, selectors=chosen, tries=2, read_s=_READ_S)[
                0
            ]
        )

    def claim_events(self, namespace: str, name: str) -> tuple[Object, ...] | str:
        kind = "involvedObject.kind=PersistentVolumeClaim"
        return self._events(namespace, f"{kind},involvedObject.name={name}")

    def logs(self, pod: Object, container: str, *, previous: bool) -> tuple[str, ...]:
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        found = self._read(
            lambda: self.cluster.logs(
                name, namespace, container, previous=previous, lines=_LOG_LINES
            )
        )
        return (found,) if isinstance(found, str) else found

    def _read(self, call: Callable[[], tuple[T, ...]]) -> tuple[T, ...] | str:
        if self._silent:
            return self._silent
        try:
            return call()
        except FerryError as error:
            said = f"(cannot be read: {error.what})"
            if error.temporary:
                self._silent = said
            return said


@dataclass(frozen=True, slots=True)
class _Gathered:
    headline: str
    cause: str  # the same, with a program's or a probe's own words
    details: str

    @property
    def text(self) -> str:
        return "\n".join(filter(None, (self.headline, self.details)))


def _late(board: Board, outcome: Outcome, timeout_s: float) -> Iterator[Finding]:
    """The time is up: what is not ready, with the trouble it has so far, if any."""
    troubles = {finding.target.key: finding for finding in outcome.findings}
    for target, state in outcome.states:
        if isinstance(state, Done):
            continue
        known = troubles.get(target.key)
        unready = sorted(board.unready(target), key=lambda entry: not entry[1])
        pod, probe = unready[0] if unready else (None, "")
        why = known.trouble.cause if known else probe or (waits_for(pod) if pod else "")
        if not why:  # the figures count old pods, too: a cause that is known comes without them
            figures = [f"{f.name} {f.value} of {f.of}" for f in state.figures]
            why = "; ".join((*figures, getattr(state, "message", "")))
        cause = f"not ready after {format_duration(timeout_s)}: " + "; ".join(
            filter(None, (why, outcome.unseen))
        )
        container = known.trouble.container if known else None
        pod = known.pod if known else pod
        trouble = Trouble(cause=cause, grace_s=0, container=container)
        yield Finding(target=target, trouble=trouble, pod=pod)


def _gather(ask: _Ask, board: Board, finding: Finding) -> _Gathered:
    target = finding.target
    others = [pod for pod in _unready(board.pods(target)) if pod is not finding.pod]
    pods = ([finding.pod] if finding.pod else []) + others
    lines = [*_conditions(board.live(target) or {})]
    lines += _events(ask, board.live(target))
    said = ""
    for pod in pods[:_PODS]:
        lines += ["", *_pod_lines(ask, pod)]
        logs = list(_logs(ask, pod))
        for title, content in logs:
            lines += ["", title, *content]
        said = said or _last_words(pod, finding, logs)
    if not finding.is_final and " probe failed" not in finding.cause:  # only the time was up
        said = said or _probe_words(lines)
    cause = finding.cause + (f": {said}" if said else "")
    return _Gathered(headline=finding.cause, cause=cause, details="\n".join(lines).strip("\n"))


def _unready(pods: Sequence[Object]) -> list[Object]:
    return [pod for pod in pods if not is_true(pod, "Ready")]


def _pod_lines(ask: _Ask, pod: Object) -> Iterator[str]:
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
    yield from _events(ask, pod)
    if "nodeName" in pod["spec"]:
        return
    for name in claims.names(pod):
        yield f"claim {name}, which it waits for:"
        found = _event_lines(ask.claim_events(pod["metadata"]["namespace"], name))
        yield from found or ["  (no events)"]


def _conditions(body: Object) -> Iterator[str]:
    """Those that say something is wrong; ReplicaFailure is one that is bad when True."""
    for condition in conditions(body):
        name = condition.get("type")
        bad = "True" if name in ("ReplicaFailure", "Failed") else "False"
        if condition.get("status") == bad:
            said = _one_line(text(condition))
            yield f"  condition {name}={bad}: {said}"


def _state(state: Mapping[str, Any] | None) -> str:
    for name, details in (state or {}).items():
        parts = [name]
        if "reason" in details:
            parts.append(details["reason"])
        if "exitCode" in details:
            parts.append(f"exit {details['exitCode']}")
        if "finishedAt" in details:
            parts.append(f"at {_clock(details['finishedAt'])}")
        elif "startedAt" in details:
            parts.append(f"since {_clock(details['startedAt'])}")
        if details.get("message"):
            parts.append(_one_line(details["message"]))
        return " ".join(parts)
    return ""


def _clock(moment: str | None) -> str:
    """The API writes moments in UTC (RFC 3339)."""
    return f"{moment[11:19]}Z" if moment else "?"


def _events(ask: _Ask, body: Object | None) -> Iterable[str]:
    return () if body is None else _event_lines(ask.events(body))


def _event_lines(found: tuple[Object, ...] | str) -> list[str]:
    if isinstance(found, str):
        return [f"  events: {found}"]
    return [
        f"  event {event.get('type')} {event.get('reason')}"
        + (f" x{event['count']}" if (event.get("count") or 1) > 1 else "")
        + f" at {_clock(moment(event))}: {_one_line(event.get('message'))}"
        for event in telling(found)[-_EVENTS:]
    ]


def _logs(ask: _Ask, pod: Object) -> Iterator[tuple[str, Sequence[str]]]:
    """Each container's current run, and the one before where it was restarted and its log is still
    there: a node may keep that of the last one only."""
    for status in container_statuses(pod):
        runs = [True] if status.get("lastState") else []
        runs += [False] if "waiting" not in status.get("state", {}) else []
        if "terminated" in status.get("state", {}):
            runs.reverse()  # the run that ended last comes first
        name, container = pod["metadata"]["name"], status["name"]
        found = [(previous, ask.logs(pod, container, previous=previous)) for previous in runs]
        for previous, content in [run for run in found if run[1]] or found[:1]:
            which = "before its restart" if previous else "now"
            title = f"  log of {name} container {container}, {which}:"
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


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
