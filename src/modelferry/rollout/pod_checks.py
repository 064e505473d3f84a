"""`checks`, sent to the new pods themselves: no route from the runner to them is needed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelferry.check_run import CheckResult, run_checks
from modelferry.checks import Check
from modelferry.cluster.client import Cluster
from modelferry.cluster.pod_proxy import PodProxy
from modelferry.cluster.resources import PODS
from modelferry.cluster.tunnel import Tunnel, TunnelError
from modelferry.errors import Annotation, Fault, InputError, RolloutFailed
from modelferry.rollout.board import Applied, Board
from modelferry.rollout.manifests import ManifestObject
from modelferry.rollout.podspec import containers, pod_labels

log = logging.getLogger("modelferry.rollout")

Object = Mapping[str, Any]

_SERVING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Pod")
_PODS = 3  # of one workload: its pods are alike
_LOG_LINES = 30


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
            allowed=f"is needed for `checks`: {labels} names no containerPort, and no Service"
            " leads to it",
        )
    )


def _declared(found: ManifestObject, image: str, objects: Sequence[ManifestObject]) -> int | None:
    for container in containers(found.body):
        if container.image != image:
            continue
        for port in container.body.get("ports") or ():
            if port.get("protocol", "TCP") == "TCP" and isinstance(port.get("containerPort"), int):
                return port["containerPort"]
    return next(_service_ports(pod_labels(found.body), objects), None)


def _service_ports(labels: Mapping[str, str], objects: Sequence[ManifestObject]) -> Iterator[int]:
    for service in objects:
        if service.kind != "Service":
            continue
        spec = service.body.get("spec") or {}
        selector = spec.get("selector") or {}
        if selector and selector.items() <= labels.items():
            for port in spec.get("ports") or ():
                target = port.get("targetPort", port.get("port"))
                if isinstance(target, int):
                    yield target


def run(
    cluster: Cluster,
    board: Board,
    chosen: Sequence[tuple[Applied, int]],
    checks: tuple[Check, ...],
    *,
    workspace: Path,
    start_timeout_s: float,
) -> None:
    """Raises RolloutFailed naming the first check that failed, or TunnelError without a channel."""
    for target, port in chosen:
        for pod in board.pods(target)[:_PODS]:
            _check_pod(cluster, target, pod, port, checks, workspace, start_timeout_s)


def _check_pod(
    cluster: Cluster,
    target: Applied,
    pod: Object,
    port: int,
    checks: tuple[Check, ...],
    workspace: Path,
    start_timeout_s: float,
) -> None:
    name = pod["metadata"]["name"]
    log.info("checks on pod %s (%s), port %d", name, target.label, port)
    with _channel(cluster, pod, port) as channel:
        results = run_checks(
            checks, channel.url, workspace=workspace, start_timeout_s=start_timeout_s
        )
        failed = [result for result in results if not result.passed]
        if failed:
            raise _failure(cluster, target, pod, failed, channel.last_error)


@contextmanager
def _channel(cluster: Cluster, pod: Object, port: int) -> Iterator[Tunnel | PodProxy]:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    try:
        tunnel = cluster.tunnel(name, namespace, port)
    except TunnelError as error:
        log.warning("%s; asking through the API server's pod proxy", error.what)
        with cluster.pod_proxy(name, namespace, port, after=error) as proxy:
            yield proxy
        return
    with tunnel:
        yield tunnel


def _failure(
    cluster: Cluster,
    target: Applied,
    pod: Object,
    failed: Sequence[CheckResult],
    channel_said: str,
) -> RolloutFailed:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    crash = _crash(cluster.get(PODS, name, namespace) or pod)
    more = f" (and {len(failed) - 1} more)" if failed[1:] else ""
    what = (
        f"pod {name} ({target.label}): {crash} while it was checked"
        if crash
        else f"a check failed on pod {name} ({target.label}): {failed[0]}{more}"
    )
    seen = [f"- {result}" for result in failed]
    if channel_said:
        seen.append(f"the way to the pod said: {channel_said}")
    for container in containers(pod):
        lines = cluster.try_logs(name, namespace, container.name, lines=_LOG_LINES)
        seen += ["", f"log of {name} container {container.name}:", *(f"  | {li}" for li in lines)]
    manifest = target.placed.manifest
    return RolloutFailed(
        what,
        seen="\n".join(seen),
        do="Correct the app: its last words are above."
        if crash
        else "Correct the app or the line in `checks`; the pod runs, and is ready by its probes.",
        annotations=(
            Annotation(file=manifest.file, line=manifest.line, title="Check failed", message=what),
        ),
    )


def _crash(pod: Object) -> str:
    """How a container ended last, if one did; a check that got no answer is only the symptom."""
    for status in pod.get("status", {}).get("containerStatuses") or ():
        ended = status.get("state", {}).get("terminated") or (
            status.get("lastState", {}).get("terminated")
        )
        if ended:
            return f"container {status['name']} ended with exit code {ended.get('exitCode')}"
    return ""
