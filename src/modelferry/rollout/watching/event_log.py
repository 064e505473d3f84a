"""What the cluster's events say that the objects themselves do not. Pure: events in, facts out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from modelferry.rollout.watching import claims, condemned, trouble
from modelferry.rollout.watching.condemned import Kill
from modelferry.rollout.watching.trouble import Trouble

Object = Mapping[str, Any]
_Name = tuple[str, str]  # namespace and name

# Events about these are told apart by uid or by state; a controller's may be of an earlier rollout.
_TELLING = ("Pod", "PersistentVolumeClaim")

# What a controller does in every rollout, the earlier ones as well.
_ROUTINE = ("ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete")


@dataclass(slots=True)
class EventLog:
    old_pods: AbstractSet[str] = frozenset()  # what they pulled was before the apply
    pulled: set[tuple[str, str]] = field(default_factory=set)  # (node, image)
    _versions: dict[str, str] = field(default_factory=dict)  # of every event heard
    _newest: dict[str, Object] = field(default_factory=dict)  # trouble, by the uid it is about
    _claims: dict[_Name, Object] = field(default_factory=dict)  # the last, by the claim's name
    _probes: dict[str, str] = field(default_factory=dict)  # what they said last, by the pod's uid
    _kills: dict[str, dict[str, Kill]] = field(default_factory=dict)  # pod → container → last one
    _doubts: dict[str, dict[str, datetime]] = field(default_factory=dict)  # pod → container → last
    _hooks: set[str] = field(default_factory=set)  # pods whose postStart hook has failed
    _autoscaled: set[str] = field(default_factory=set)
    _listed: set[str | None] = field(default_factory=set)  # namespaces

    def replace(self, namespace: str | None, listed: Iterable[Object]) -> None:
        """The first list is mostly history; of a later one, what is new in it has been missed."""
        is_first = namespace not in self._listed
        self._listed.add(namespace)
        for event in sorted(listed, key=moment):
            metadata = event["metadata"]
            if self._versions.get(metadata.get("uid", "")) == metadata.get("resourceVersion", ""):
                continue
            if is_first and event.get("involvedObject", {}).get("kind") not in _TELLING:
                self._remember(event)
            else:
                self.put(event)

    def put(self, event: Object) -> None:
        self._remember(event)
        about = event.get("involvedObject", {})
        uid = about.get("uid", "")
        pulled = trouble.pulled_image(event)
        if pulled and uid not in self.old_pods:
            self.pulled.add(pulled)
        if event.get("reason") == "Unhealthy":
            self._probes[uid] = " ".join(event.get("message", "").split())[:300].rstrip(" :")
        if (container := condemned.doubted(event)) and (last := moment(event)):
            self._doubts.setdefault(uid, {})[container] = datetime.fromisoformat(last)
        if event.get("reason") == "FailedPostStartHook":
            self._hooks.add(uid)
        if kill := condemned.kill_of(event, moment(event)):
            self._kills.setdefault(uid, {})[kill.container] = kill
        if trouble.is_autoscaled(event):
            self._autoscaled.add(uid)
        elif about.get("kind") == "PersistentVolumeClaim":
            self._claims[about.get("namespace", ""), about.get("name", "")] = event
        elif trouble.of_event(event):
            self._newest[uid] = event
        elif trouble.is_healed_by(event):
            self._newest.pop(uid, None)

    def trouble_of(self, uid: str) -> Trouble | None:
        event = self._newest.get(uid)
        return trouble.of_event(event) if event else None

    def probe_of(self, uid: str) -> str:
        """What a probe of the pod said last; empty when none has failed."""
        return self._probes.get(uid, "")

    def kills_of(self, uid: str) -> Mapping[str, Kill]:
        """By a probe of the pod, by its container's name."""
        return self._kills.get(uid, {})

    def doubts_of(self, uid: str) -> Mapping[str, datetime]:
        """When a liveness probe of the pod failed last, by its container's name."""
        return self._doubts.get(uid, {})

    def has_failed_hook(self, uid: str) -> bool:
        """Kubernetes kills a container whose postStart hook fails."""
        return uid in self._hooks

    def is_autoscaled(self, uid: str) -> bool:
        """A node is on its way for this pod."""
        return uid in self._autoscaled

    def of_claims(self, pod: Object) -> Mapping[str, Object]:
        """The last one of each claim of the pod of which something was said, by its name."""
        namespace = pod["metadata"].get("namespace", "")
        found = {name: self._claims.get((namespace, name)) for name in claims.names(pod)}
        return {name: event for name, event in found.items() if event}

    def _remember(self, event: Object) -> None:
        metadata = event["metadata"]
        self._versions[metadata.get("uid", "")] = metadata.get("resourceVersion", "")


def telling(events: Iterable[Object]) -> list[Object]:
    """Those that may explain a failure, oldest first."""
    told = (event for event in events if event.get("reason") not in _ROUTINE)
    return sorted(told, key=moment)


def moment(event: Object) -> str:
    """When it happened last, in a form that sorts."""
    return str(
        event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp", "")
    )
