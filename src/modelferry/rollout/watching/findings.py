"""An object that was applied, what is found wrong with it, and what is made of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelferry.cluster.resources import PODS, Resource
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.objects.conditions import observed_generation
from modelferry.rollout.objects.podspec import pod_spec
from modelferry.rollout.watching.readiness import watched
from modelferry.rollout.watching.states import State
from modelferry.rollout.watching.trouble import Trouble

Object = Mapping[str, Any]
_Key = tuple[str, str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """An object that was applied, and what the API server made of it."""

    placed: Placed
    body: Object
    is_changed: bool = True  # by the apply

    @property
    def label(self) -> str:
        return self.placed.label

    @property
    def key(self) -> str:
        return self.placed.key

    @property
    def name(self) -> str:
        return self.body["metadata"]["name"]

    @property
    def resource(self) -> Resource:
        return self.placed.resource

    @property
    def namespace(self) -> str | None:
        return self.placed.namespace

    @property
    def runs_pods(self) -> bool:
        return bool(pod_spec(self.body)) and self.resource.kind != "CronJob"

    @property
    def is_watched(self) -> bool:
        return watched(self.resource.api_version, self.resource.kind)

    @property
    def ran_before(self) -> bool:
        """The apply found it as it should be, at work already."""
        status = self.body.get("status", {})
        generation = self.body["metadata"].get("generation", 1)
        return "startTime" in status or (observed_generation(status) or 0) >= generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A trouble and the object that has it."""

    target: Applied
    trouble: Trouble
    pod: Object | None  # None: it is the target's own
    is_final: bool = False  # it has stood for its grace

    @property
    def key(self) -> _Key:
        """What makes it the same trouble, whatever its message says of the moment."""
        about = self.pod["metadata"]["uid"] if self.pod else self.target.key
        return about, self.trouble.container or "", self.trouble.grace_s

    @property
    def cause(self) -> str:
        if self.pod is None or self.target.resource == PODS:
            return f"{self.target.label}: {self.trouble.cause}"
        return f"pod {self.pod['metadata']['name']} ({self.target.label}): {self.trouble.cause}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Of one object; stands until something of it is heard, or until `until`."""

    state: State
    findings: tuple[Finding, ...] = ()
    first_seen: Mapping[_Key, float] = field(default_factory=dict)
    until: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`ready`, or `findings` (something failed), or neither: the time was up."""

    ready: bool
    findings: tuple[Finding, ...]
    states: tuple[tuple[Applied, State], ...]
    unseen: str = ""  # the cluster did not answer in the end, and how
