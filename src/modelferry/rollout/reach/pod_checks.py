"""`checks`, sent to the new pods themselves: no route from the runner to them is needed."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modelferry.check_run import CheckResult, run_checks
from modelferry.checks import Check
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import PODS
from modelferry.errors import Annotation, Fault, InputError, RolloutFailed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.objects.fields import at, mappings
from modelferry.rollout.objects.podspec import containers, pod_labels
from modelferry.rollout.reach import new_pods
from modelferry.rollout.reach.new_pods import Way
from modelferry.rollout.watching.findings import Applied
from modelferry.rollout.watching.trouble import of_pod

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]

_SERVING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod")
_PODS = 3  # of one workload: its pods are alike
_LOG_LINES = 30
# by Go, and by socat
_REFUSED = re.compile(r":(\d+)(?:: connect|, \d+\)): connection refused", re.IGNORECASE)


def ports(
    objects: Sequence[ManifestObject], image: str, given: int | None
) -> tuple[tuple[ManifestObject, int], ...]:
    """The workloads that run `image` and serve, with the port to ask. Raises InputError when the
    manifests name none. Pure."""
    running = [
        found
        for found in objects
        if found.kind in _SERVING and any(c.image == image for c in containers(found.body))
    ]
    declared = [(found, port) for found in running if (port := _declared(found, image, objects))]
    if given is None and declared:
        return tuple(declared)
    if given is not None and running:
        chosen = [found for found, port in declared if port == given] or running
        return tuple((found, given) for found in chosen)
    if not running:
        allowed = f"no manifest runs {image} in a workload that stays: there is no pod to check"
        raise InputError(Fault(name="checks", given=None, allowed=allowed))
    labels = ", ".join(found.label for found in running)
    raise InputError(
        Fault(
            name="port",
            given=None,
            allowed=f"is needed to reach the new pods: {labels} names no containerPort, and no"
            " Service leads to it",
        )
    )


def _declared(found: ManifestObject, image: str, objects: Sequence[ManifestObject]) -> int | None:
    """What a Service leads to, else the container's first port."""
    declared: dict[str | int, int] = {}  # by name and by number
    for container in containers(found.body):
        for _, port in mappings(container.body.get("ports") if container.image == image else None):
            number = port.get("containerPort")
            if port.get("protocol", "TCP") == "TCP" and isinstance(number, int):
                declared |= {number: number, str(port.get("name", number)): number}
    wanted = list(_service_ports(pod_labels(found.body), objects))
    if declared:
        return declared[next((port for port in wanted if port in declared), next(iter(declared)))]
    return next((port for port in wanted if isinstance(port, int)), None)


def _service_ports(labels: Object, objects: Sequence[ManifestObject]) -> Iterator[str | int]:
    for service in objects:
        selector = at(service.body, ("spec", "selector")) if service.kind == "Service" else None
        if isinstance(selector, Mapping) and selector and selector.items() <= labels.items():
            for _, port in mappings(at(service.body, ("spec", "ports"))):
                target = port.get("targetPort", port.get("port"))
                if port.get("protocol", "TCP") == "TCP" and isinstance(target, int | str):
                    yield target


def run(
    cluster: Cluster,
    chosen: Sequence[tuple[Applied, int]],
    checks: tuple[Check, ...],
    *,
    workspace: Path,
    start_timeout_s: float,
    heed: Callable[[], None],
) -> list[str]:
    """What is told of those that have no pod. Raises RolloutFailed naming the first check that
    failed, or TunnelError without a channel."""
    unasked: list[str] = []

    def look(target: Applied, pod: Object, way: Way) -> None:
        heed()
        _see_it_runs(cluster, target, pod, way)
        way.last_error = ""  # what counts is why the last one of these got no answer

    for target, port in chosen:

        def ask(pod: Object, way: Way, target: Applied = target, port: int = port) -> None:
            log.info("checks on pod %s (%s), port %d", _name(pod), target.label, port)
            for is_last in (False, True):
                results = run_checks(
                    checks,
                    way.url,
                    workspace=workspace,
                    start_timeout_s=start_timeout_s,
                    still_up=lambda: look(target, pod, way),
                )
                failed = [result for result in results if not result.passed]
                if not failed:
                    return
                refused = is_refused(way.last_error, port)
                if refused or is_last or all(result.status for result in failed):
                    raise _failure(
                        cluster, target, pod, failed, way, refused=port if refused else 0
                    )
                with new_pods.way(cluster, pod, port):  # raises where it is the way's fault
                    log.info("no answer may have been the way's fault: asking once more")

        if not new_pods.visit(cluster, target, port, ask, most=_PODS, heed=heed):
            unasked.append(f"no checks on {target.label}: it has no pod of this release")
    return unasked


def _see_it_runs(cluster: Cluster, target: Applied, pod: Object, way: Way) -> None:
    """Raises what ends the wait for the first answer: the pod has gone, or will not come up."""
    live = new_pods.now(cluster, pod)
    if live is None:
        raise RolloutFailed(f"pod {_name(pod)} went away while it was checked")
    trouble = of_pod(live)
    has_ended = live.get("status", {}).get("phase") in ("Failed", "Succeeded")
    if has_ended or (trouble and trouble.grace_s == 0):
        raise _failure(cluster, target, pod, (), way)


def _failure(
    cluster: Cluster,
    target: Applied,
    pod: Object,
    failed: Sequence[CheckResult],
    way: Way,
    *,
    refused: int = 0,
) -> RolloutFailed:
    """`refused` is the port where nobody listens."""
    crash = _crash(cluster.get(PODS, _name(pod), pod["metadata"]["namespace"]) or pod)
    if crash or not failed:
        what = f"pod {_name(pod)} ({target.label}): {crash or 'it ended'} while it was checked"
        do = "Correct the app: its last words are above."
    elif refused:
        what = (
            f"pod {_name(pod)} ({target.label}): nothing in it listens on port {refused}:"
            f" {failed[0].check.method} {failed[0].check.path} → connection refused"
        )
        do = "Correct `port`, or the containerPort in the manifest, to where the program listens."
    else:
        more = f" (and {len(failed) - 1} more)" if failed[1:] else ""
        why = f" ({way.last_error})" if way.last_error and failed[0].status is None else ""
        what = f"a check failed on pod {_name(pod)} ({target.label}): {failed[0]}{why}{more}"
        do = "Correct the app or the line in `checks`; the pod runs, and is ready by its probes."
    seen = [f"- {result}" for result in failed]
    if way.last_error:
        seen.append(f"the way to the pod said: {way.last_error}")
    return RolloutFailed(
        what,
        seen="\n".join((*seen, *last_words(cluster, pod))),
        do=do,
        annotations=(annotation(target, "Check failed", what),),
    )


def is_refused(said: str, port: int) -> bool:
    """The node has reached the pod, and no program there listens: no fault of the way."""
    return str(port) in _REFUSED.findall(said)


def last_words(cluster: Cluster, pod: Object) -> Iterator[str]:
    name, namespace = _name(pod), pod["metadata"]["namespace"]
    for container in containers(pod):
        lines = cluster.try_logs(name, namespace, container.name, lines=_LOG_LINES)
        yield from ("", f"log of {name} container {container.name}:")
        yield from (f"  | {line}" for line in lines)


def annotation(target: Applied, title: str, message: str) -> Annotation:
    manifest = target.placed.manifest
    return Annotation(file=manifest.file, line=manifest.line, title=title, message=message)


def _crash(pod: Object) -> str:
    """How a container ended last, if one did; a check that got no answer is only the symptom."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        ended = status.get("state", {}).get("terminated") or (
            status.get("lastState", {}).get("terminated")
        )
        if ended:
            return f"container {status['name']} ended with exit code {ended.get('exitCode')}"
    return ""


def _name(pod: Object) -> str:
    return str(pod["metadata"]["name"])
