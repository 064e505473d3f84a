"""The last part of deploy: is what was applied ready, and also right by what the user asks?"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from modelferry.apptest.junit import in_workspace
from modelferry.apptest.smoke import SmokeGround, smoke_ground
from modelferry.cluster.client import Cluster
from modelferry.errors import RolloutFailed, TestsFailed
from modelferry.plan.spec import RunContext
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.reach import new_pods, no_pods, pod_checks, url, url_checks
from modelferry.rollout.reach.new_pods import Object, Way
from modelferry.rollout.release.turn import Turn
from modelferry.rollout.spec import DeploySpec
from modelferry.rollout.watching import evidence, lasting, watch
from modelferry.rollout.watching.board import Board
from modelferry.rollout.watching.findings import Applied

_LAST_LOOK_S = 60.0  # for a pod that is moved elsewhere while it is asked

log = logging.getLogger("modelferry.deploy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    url: str | None
    notices: tuple[str, ...] = ()  # of what has no pod: a Service, or what was to be checked


Chosen = Sequence[tuple[Applied, int]]


def asks_pods(spec: DeploySpec) -> bool:
    return bool(spec.checks or spec.smoke_tests)


def require(spec: DeploySpec, objects: Sequence[ManifestObject], image: str) -> None:
    """Raises InputError for what these manifests can never answer. Pure."""
    if asks_pods(spec):
        pod_checks.ports(objects, image, spec.port)
    if spec.check_url:
        url_checks.require(objects)


def chosen(spec: DeploySpec, applied: Sequence[Applied], image: str) -> Chosen:
    """The workloads that are asked, and at which port."""
    if not asks_pods(spec):
        return ()
    manifests = [entry.placed.manifest for entry in applied]
    ports = {id(found): port for found, port in pod_checks.ports(manifests, image, spec.port)}
    return [
        (entry, ports[id(entry.placed.manifest)])
        for entry in applied
        if id(entry.placed.manifest) in ports
    ]


def see_through(
    spec: DeploySpec,
    now: Turn,
    board: Board,
    image: str,
    *,
    context: RunContext,
    deadline: float,
) -> Verified:
    """Ready, right by what the user asks of it, and still ready then. `deadline` is the rollout's;
    what asks, and the last look, have time of their own."""
    evidence.until_ready(
        now.cluster, board, deadline=deadline, timeout_s=spec.timeout_s, heed=now.heed
    )
    ends = lasting.ends(pod for entry in board.targets for pod in board.pods(entry))
    cluster = now.cluster.on(until=deadline)
    verified = verify(spec, cluster, board.targets, image, context=context, heed=now.heed)
    if asks_pods(spec) or spec.check_url:
        now.check()
        _look_again(now, board, ends, chosen(spec, board.targets, image))
    return verified


def _look_again(now: Turn, board: Board, ends: lasting.Ends, asked: Chosen) -> None:
    """`ends`: how often each container had ended when all was ready."""
    log.info("asked, and looked at once more")
    board.kills = 1  # it was ready, so it has not merely started too slowly
    outcome = watch.follow(now.cluster, board, timeout_s=_LAST_LOOK_S, heed=now.heed)
    ended = [e for entry, _ in asked for e in lasting.since(ends, entry, board.pods(entry))]
    unwell = {
        entry.key
        for entry, state in outcome.states
        if not lasting.lasts(
            ends,
            state,
            board.pods(entry),
            [found for found in outcome.findings if found.target is entry],
        )
    }
    if ended or unwell:
        findings = (found for found in outcome.findings if found.target.key in unwell)
        outcome = replace(outcome, findings=(*ended, *findings))
        raise evidence.failure(now.cluster, board, outcome, _LAST_LOOK_S)


def verify(
    spec: DeploySpec,
    cluster: Cluster,
    applied: Sequence[Applied],
    image: str,
    *,
    context: RunContext,
    heed: Callable[[], None],
    environ: Mapping[str, str] = os.environ,
) -> Verified:
    """Raises RolloutFailed, or TunnelError where no pod is reached.
    `heed` raises to end it: a newer run takes over, once the suite that runs is at its end."""
    asked = chosen(spec, applied, image)
    notices = [*told(no_pods.without_pods(cluster, applied))]
    if spec.checks:
        unasked = pod_checks.run(
            cluster,
            asked,
            spec.checks,
            workspace=context.workspace,
            start_timeout_s=spec.start_timeout_s,
            heed=heed,
        )
        notices += told(unasked)
    if spec.smoke_tests:
        unasked = _smoke(spec, spec.smoke_tests, cluster, asked, context, heed, environ)
        notices += told(unasked)
    if spec.check_url:
        address = url_checks.run(
            cluster,
            applied,
            image,
            spec.checks,
            workspace=context.workspace,
            start_timeout_s=spec.start_timeout_s,
            heed=heed,
        )
    else:
        address = url.find(cluster, applied, image)
    return Verified(url=address, notices=tuple(notices))


def told(notices: Sequence[str]) -> Sequence[str]:
    for notice in notices:
        log.warning("%s", notice)
    return notices


def _smoke(
    spec: DeploySpec,
    command: str,
    cluster: Cluster,
    asked: Chosen,
    context: RunContext,
    heed: Callable[[], None],
    environ: Mapping[str, str],
) -> list[str]:
    """On one new pod of each workload: they are alike, and a suite may take long. What is told of
    those that have none."""
    unasked: list[str] = []
    with smoke_ground(
        workspace=context.workspace,
        temp=_made(context.temp),
        run_label=context.run_label,
        environ=environ,
    ) as ground:
        for target, port in asked:

            def test(pod: Object, way: Way, target: Applied = target) -> None:
                _smoke_one(spec, command, cluster, target, ground, pod, way, context)

            visited = new_pods.visit(
                cluster, target, port, test, most=1, heed=heed, listen_on=ground.listen_on
            )
            if not visited:
                unasked.append(f"no smoke tests on {target.label}: it has no pod of this release")
    return unasked


def _smoke_one(
    spec: DeploySpec,
    command: str,
    cluster: Cluster,
    target: Applied,
    ground: SmokeGround,
    pod: Object,
    way: Way,
    context: RunContext,
) -> None:
    name = pod["metadata"]["name"]
    log.info("smoke tests on pod %s (%s), at %s", name, target.label, way.url)
    try:
        ground.run(command, way.url, requirements=spec.test_requirements)
    except TestsFailed as error:
        what = f"pod {name} ({target.label}): {error.what}"
        told = f"the way to the pod said: {way.last_error}" if way.last_error else ""
        words = "\n".join(pod_checks.last_words(cluster, pod))
        workspace = context.workspace
        places = [in_workspace(place, workspace, (workspace,)) for place in error.annotations]
        raise RolloutFailed(
            what,
            seen="\n".join(filter(None, (error.seen, told, words))),
            do=error.do,
            annotations=(
                pod_checks.annotation(target, "Smoke tests failed", what),
                *(place for place in places if place is not None),
            ),
        ) from error


def _made(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
