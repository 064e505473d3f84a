"""What a person reads while a rollout is followed."""

from __future__ import annotations

import logging
import math
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.rollout.watching.board import Board
from modelferry.rollout.watching.findings import Applied, Outcome
from modelferry.rollout.watching.running_image import container_statuses
from modelferry.rollout.watching.states import Done, Failed, Figure, State

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]

_NAMED = 5  # of what is waited for
_SAYINGS_S = 10.0  # without a step; in a short start probes fail, too
_LOG_S = 30.0
_LINES = 10
_NUMBERS = re.compile(r"\d+")


@dataclass(slots=True)
class Teller:
    """Writes a line for each change, and none for what stayed as it was; of what stays unready
    for long, what its probes and its program say."""

    last_lines: LastLines
    waiting_for: str = "the cluster's answer"
    _figures: dict[str, tuple[Figure, ...]] = field(default_factory=dict)
    _lines: dict[str, str] = field(default_factory=dict)
    _troubles: set[str] = field(default_factory=set)
    _silence: str = ""
    _unchanged_since: dict[str, float] = field(default_factory=dict)
    _said: set[tuple[str, str]] = field(default_factory=set)

    def tell_silence(self, why: str) -> None:
        if why and not self._silence:
            log.warning("%s; the rollout goes on, and is looked at again when it does", why)
        if self._silence and not why:
            log.info("the cluster answers again")
        self._silence = why

    def tell(self, outcome: Outcome, board: Board, now: float) -> None:
        waiting: list[str] = []
        for target, state in outcome.states:
            if not target.is_watched:
                continue
            line = _line(state, self._figures.get(target.key, ()))
            plain = _line(state, state.figures)
            if plain != self._lines.get(target.key):
                log.info("%s: %s", target.label, line)
                self._unchanged_since[target.key] = now
            self._lines[target.key] = plain
            self._figures[target.key] = state.figures
            if not isinstance(state, Done):
                waiting.append(f"{target.label} ({plain})")
                if len(waiting) <= _NAMED:
                    self._explain(target, board, now)
        more = f" and {len(waiting) - _NAMED} more" if waiting[_NAMED:] else ""
        self.waiting_for = ", ".join(waiting[:_NAMED]) + more
        for finding in outcome.findings:
            if not finding.is_final and finding.cause not in self._troubles:
                self._troubles.add(finding.cause)
                log.warning("%s", finding.cause)

    def _explain(self, target: Applied, board: Board, now: float) -> None:
        stands_s = now - self._unchanged_since.get(target.key, now)
        if stands_s < _SAYINGS_S:
            return
        for pod, probe in board.unready(target):
            said = probe or waits_for(pod)
            what = (target.key, _NUMBERS.sub("", said))  # replicas say the same of their addresses
            if said and what not in self._said:
                self._said.add(what)
                log.info("pod %s (%s): %s", pod["metadata"]["name"], target.label, said)
        if stands_s >= _LOG_S:
            for pod, _ in board.unready(target)[:1]:
                self.last_lines.show(pod, target.label, now)


class LastLines:
    """What a program says that runs and does not get ready. Asked for beside the watch, which
    must not wait for it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._asked_at = dict[str, float]()  # by the object's label
        self._shown = dict[str, tuple[str, ...]]()

    def show(self, pod: Object, label: str, now: float) -> None:
        """Once, and again when there is more."""
        container = _unready_container(pod)
        if container is None or now - self._asked_at.get(label, -math.inf) < _LOG_S:
            return
        self._asked_at[label] = now
        about = (pod["metadata"]["name"], pod["metadata"]["namespace"], container)
        threading.Thread(target=self._show, args=(*about, label), daemon=True).start()

    def _show(self, pod: str, namespace: str, container: str, label: str) -> None:
        lines = self._cluster.try_logs(pod, namespace, container, lines=_LINES)
        if lines != self._shown.get(label):
            self._shown[label] = lines
            shown = [f"  | {line}" for line in lines] or ["  | (it has said nothing so far)"]
            head = f"pod {pod} ({label}): container {container} is not ready; its last words:"
            log.info("%s", "\n".join((head, *shown)))


def waits_for(pod: Object) -> str:
    """What a pod says that has no trouble, and goes no further."""
    for status in pod.get("status", {}).get("initContainerStatuses") or ():
        if "running" in status.get("state", {}) and not status.get("ready"):
            return f"init container {status['name']} still runs"
    reasons = [
        f"container {status['name']}: {waiting['reason']}"
        for status in container_statuses(pod)
        if (waiting := status.get("state", {}).get("waiting")) and waiting.get("reason")
    ]
    return ", ".join(reasons)


def _unready_container(pod: Object) -> str | None:
    for status in container_statuses(pod):
        if not status.get("ready") and "running" in status.get("state", {}):
            return str(status["name"])
    return None


def _line(state: State, before: Sequence[Figure]) -> str:
    earlier = {figure.name: figure.value for figure in before}
    figures = ", ".join(_figure(figure, earlier) for figure in state.figures)
    match state:
        case Done():
            return "ready" + "".join(f", {part}" for part in (figures, state.notice) if part)
        case Failed():
            return f"failed: {state.reason}"
        case _:
            return ", ".join(filter(None, (figures, state.message)))


def _figure(figure: Figure, earlier: Mapping[str, int]) -> str:
    before = earlier.get(figure.name, figure.value)
    value = f"{before}→{figure.value}" if before != figure.value else str(figure.value)
    return f"{figure.name} {value} of {figure.of}"
