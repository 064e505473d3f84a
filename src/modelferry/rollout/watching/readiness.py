"""One live object and the pods of its current template → is it done, does it wait, has it failed?

Pure. What "ready" means for each kind is the table in docs/exit-statuses.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelferry.rollout.objects import podspec
from modelferry.rollout.objects.conditions import condition, is_true, observed_generation, text
from modelferry.rollout.objects.fields import at
from modelferry.rollout.watching import other_kinds
from modelferry.rollout.watching.other_kinds import is_behind
from modelferry.rollout.watching.running_image import Digests, container_statuses, problem_of
from modelferry.rollout.watching.states import Done, Failed, Figure, State, Waiting

Object = Mapping[str, Any]


def state(
    applied: Object,
    live: Object | None,
    pods: Sequence[Object],
    digests: Digests,
    *,
    asked: Object | None = None,
) -> State:
    """`applied` is what the API server answered to the apply; `pods` are those of the current
    template that are not going away; `asked` is the manifest."""
    if live is None:
        return Failed(reason="it was deleted while it rolled out")
    if _uid(live) != _uid(applied):
        return Failed(reason="somebody deleted it and made it anew while it rolled out")
    if "deletionTimestamp" in live["metadata"] and not has_succeeded(live):
        return Failed(reason="it is being deleted")
    if podspec.images(live) != podspec.images(applied):
        return Failed(reason="somebody else changed its images while it rolled out")
    if _is_held(live) and not _is_held(asked or applied):
        return Waiting(message="suspended, though not by its manifest: a job queue holds it")
    return _by_rule(applied, live, pods, digests)


def _by_rule(applied: Object, live: Object, pods: Sequence[Object], digests: Digests) -> State:
    found = _RULES.get(_kind(live), _other)(live, pods, digests)
    if isinstance(found, Failed) and _deadline(live) and _deadline(live) == _deadline(applied):
        return Waiting(message="its deadline had passed before this apply", figures=found.figures)
    return found


def _deadline(deployment: Object) -> Object | None:
    """A controller that made no step since keeps the word that it gave of the generation before."""
    progressing = condition(deployment, "Progressing")
    return progressing if progressing.get("reason") == "ProgressDeadlineExceeded" else None


def watched(api_version: str, kind: str) -> bool:
    """Objects of other kinds are done once the API server took them."""
    group = api_version.rpartition("/")[0]
    if (group, kind) in _RULES:
        return _RULES[group, kind] is not _accepted
    return other_kinds.may_tell(group)


def is_known(live: Object) -> bool:
    """By a rule of its own."""
    return _kind(live) in _RULES


def _deployment(live: Object, pods: Sequence[Object], digests: Digests) -> State:
    spec, status = live["spec"], live.get("status", {})
    desired = spec.get("replicas", 1)
    if not is_observed(live):
        return Waiting(message="the controller has not seen the change yet")
    if spec.get("paused"):
        return Done(notice="it is paused: no pod is replaced before it is resumed")
    counts = _Counts(
        desired=desired,
        updated=status.get("updatedReplicas", 0),
        total=status.get("replicas", 0),
        available=status.get("availableReplicas", 0),
    )
    if exceeded := _deadline(live):
        reason = f"no progress within progressDeadlineSeconds: {text(exceeded)}"
        return Failed(reason=reason, figures=counts.figures)
    return _counted(live, counts, pods, digests)


def _stateful_set(live: Object, pods: Sequence[Object], digests: Digests) -> State:
    spec, status = live["spec"], live.get("status", {})
    desired = spec.get("replicas", 1)
    if not is_observed(live):
        return Waiting(message="the controller has not seen the change yet")
    strategy = spec.get("updateStrategy", {})
    rolling: Object = strategy.get("rollingUpdate") or {}
    partition: int = rolling.get("partition", 0)
    counts = _Counts(
        desired=desired,
        updated=status.get("updatedReplicas", 0),
        total=status.get("replicas", 0),
        # the field is younger than the kind
        available=status.get("availableReplicas", status.get("readyReplicas", 0)),
        kept=min(partition, desired),
    )
    if strategy.get("type") == "OnDelete":
        return _on_delete(counts)
    settled = partition > 0 or status.get("currentRevision") == status.get("updateRevision")
    if counts.complete and not settled:
        return Waiting(message="the last pod is being replaced", figures=counts.figures)
    return _counted(live, counts, pods, digests)


def _daemon_set(live: Object, pods: Sequence[Object], digests: Digests) -> State:
    status = live.get("status", {})
    if not is_observed(live):
        return Waiting(message="the controller has not seen the change yet")
    desired = status.get("desiredNumberScheduled", 0)
    counts = _Counts(
        desired=desired,
        updated=status.get("updatedNumberScheduled", 0),
        total=status.get("currentNumberScheduled", 0),
        available=status.get("numberAvailable", 0),
    )
    if desired == 0:
        return Done(notice="no node should run it: its selectors and tolerations fit none")
    if live["spec"].get("updateStrategy", {}).get("type") == "OnDelete":
        return _on_delete(counts)
    return _counted(live, counts, pods, digests)


def _replica_set(live: Object, pods: Sequence[Object], digests: Digests) -> State:
    """A change of its template replaces no pod, so the pods themselves are counted as updated."""
    status = live.get("status", {})
    if not is_observed(live):
        return Waiting(message="the controller has not seen the change yet")
    wanted = podspec.images(live)
    counts = _Counts(
        desired=live["spec"].get("replicas", 1),
        updated=sum(podspec.images(pod) == wanted for pod in pods),
        total=status.get("replicas", 0),
        available=status.get("availableReplicas", 0),
    )
    if counts.available == counts.desired == counts.total == len(pods) != counts.updated:
        return Failed(
            reason="its pods run the old image: this kind replaces none, use a Deployment",
            figures=counts.figures,
        )
    return _counted(live, counts, pods, digests)


def _pod(live: Object, _: Sequence[Object], digests: Digests) -> State:
    if is_behind(live.get("status", {}), live):  # before Kubernetes 1.34 it does not say
        return Waiting(message="the kubelet has not seen the change yet")
    phase = live.get("status", {}).get("phase", "Pending")
    if phase == "Failed":
        return Failed(reason=f"it failed: {_ends(live)}")
    ready = phase == "Running" and is_true(live, "Ready")
    if phase == "Succeeded" or ready:
        if problem := problem_of(live, podspec.images(live), digests):
            return Waiting(message=problem.text)
        return Done(notice="" if ready else "it has run to its end")
    scheduled = condition(live, "PodScheduled")
    waits_for = text(scheduled if scheduled.get("status") == "False" else condition(live, "Ready"))
    return Waiting(message=f"{phase.lower()}" + (f": {waits_for}" if waits_for else ""))


def _job(live: Object, _: Sequence[Object], __: Digests) -> State:
    status = live.get("status", {})
    wanted = live["spec"].get("completions") or live["spec"].get("parallelism", 1)
    figures = (Figure("succeeded", status.get("succeeded", 0), wanted),)
    if has_succeeded(live):
        return Done(figures=figures)
    for failure in ("Failed", "FailureTarget"):
        if is_true(live, failure):
            reason = f"the job failed: {text(condition(live, failure))}"
            return Failed(reason=reason, figures=figures)
    if live["spec"].get("suspend"):
        return Done(notice="it is suspended: nothing runs before it is resumed", figures=figures)
    return Waiting(message=f"{status.get('active', 0)} active", figures=figures)


def _is_held(body: Object) -> bool:
    """Where the manifest does not say so, an admission controller (Kueue) lets it wait for room."""
    return _kind(body) == ("batch", "Job") and at(body, ("spec", "suspend")) is True


def has_succeeded(live: Object) -> bool:
    """A Job that is done, and may be set to clear itself away."""
    return live.get("kind") == "Job" and is_true(live, "Complete")


def _accepted(_: Object, __: Sequence[Object], ___: Digests) -> State:
    return Done()


def _other(live: Object, _: Sequence[Object], __: Digests) -> State:
    return other_kinds.state(live)


_Rule = Callable[[Object, Sequence[Object], Digests], State]
_RULES: dict[tuple[str, str], _Rule] = {
    ("", "Pod"): _pod,
    ("", "ReplicationController"): _replica_set,
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _accepted,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    desired: int
    updated: int
    total: int
    available: int
    kept: int = 0  # a partition keeps so many pods on the old template

    @property
    def complete(self) -> bool:
        updated = self.updated >= self.desired - self.kept
        return updated and self.total == self.available == self.desired

    @property
    def figures(self) -> tuple[Figure, ...]:
        return (
            Figure("up-to-date", self.updated, self.desired - self.kept),
            Figure("available", self.available, self.desired),
        )


def _counted(live: Object, counts: _Counts, pods: Sequence[Object], digests: Digests) -> State:
    wanted = podspec.images(live)
    problems = [problem for pod in pods if (problem := problem_of(pod, wanted, digests))]
    if not counts.complete:
        message = "old pods are still there" if counts.total > counts.desired else "rolling out"
        return Waiting(message=message, figures=counts.figures)
    started = len(pods) - len(problems)
    needed = counts.desired - counts.kept
    if started < needed:  # the pods' own watch is a moment behind, or a container restarts
        return Waiting(
            message=f"{started} of {needed} pods seen with the intended image",
            figures=counts.figures,
        )
    notice = ""
    if counts.desired == 0:
        notice = "it is scaled to 0: nothing runs"
    elif counts.kept:
        notice = f"its partition keeps {counts.kept} of {counts.desired} pods as they were"
    return Done(notice=notice, figures=counts.figures)


def _on_delete(counts: _Counts) -> State:
    if counts.available < counts.desired:
        return Waiting(message="pods are not available", figures=counts.figures)
    kept = counts.desired - counts.updated
    notice = f"OnDelete: {kept} pods are not replaced until somebody deletes them" if kept else ""
    return Done(notice=notice, figures=counts.figures)


def _ends(pod: Object) -> str:
    ends = [
        f"container {status['name']} ended with exit code {ended['exitCode']}"
        f" ({ended.get('reason', 'unknown')})"
        for status in container_statuses(pod)
        if (ended := status.get("state", {}).get("terminated")) and ended["exitCode"] != 0
    ]
    status = pod["status"]
    said = " ".join(filter(None, (status.get("reason"), status.get("message"))))
    return ", ".join(ends) or said or "the cluster gives no reason"


def is_observed(live: Object) -> bool:
    """Other kinds than those of `apps` may say nothing about it: then they are taken at their
    word."""
    generation = live["metadata"].get("generation", 0)
    seen = observed_generation(live.get("status", {}))
    if seen is None:
        return generation == 0 or _kind(live)[0] != "apps"
    return seen >= generation


def _kind(live: Object) -> tuple[str, str]:
    return str(live["apiVersion"]).rpartition("/")[0], str(live["kind"])


def _uid(live: Object) -> str:
    return str(live["metadata"]["uid"])
