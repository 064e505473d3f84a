"""`check-url`: the checks once more as a user's request goes: name, load balancer, pod."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from modelferry.check_run import run_checks
from modelferry.checks import Check
from modelferry.cluster.client import Cluster
from modelferry.errors import Fault, InputError, RolloutFailed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.reach import url
from modelferry.rollout.reach.pod_checks import annotation
from modelferry.rollout.watching.findings import Applied

log = logging.getLogger("modelferry.rollout")


def require(objects: Sequence[ManifestObject]) -> None:
    """Raises InputError where no address can come of these. Pure."""
    if not url.may_have(objects):
        allowed = (
            "the manifests have nothing that gets an address: no Ingress, no Gateway or HTTPRoute,"
            " no Service of type LoadBalancer"
        )
        raise InputError(Fault(name="check-url", given="true", allowed=allowed))


def run(
    cluster: Cluster,
    applied: Sequence[Applied],
    image: str,
    checks: tuple[Check, ...],
    *,
    workspace: Path,
    start_timeout_s: float,
    heed: Callable[[], None],
) -> str:
    """The url that was asked. Raises RolloutFailed."""
    found = url.find_address(cluster, applied, image, wait_s=start_timeout_s)
    if found is None:
        raise _no_address(applied, start_timeout_s)
    log.info("checks through %s (%s)", found.base, found.target.label)
    results = run_checks(
        checks,
        found.base,
        workspace=workspace,
        start_timeout_s=start_timeout_s,
        as_user=True,
        still_up=heed,
    )
    failed = [result for result in results if not result.passed]
    if failed:
        more = f" (and {len(failed) - 1} more)" if failed[1:] else ""
        what = f"a check failed through {found.base} ({found.target.label}): {failed[0]}{more}"
        raise RolloutFailed(
            what,
            seen="\n".join(f"- {result}" for result in failed),
            do="The new pods answered these checks: look at the name, the load balancer and the"
            " rules between. `start-timeout` is how long they may take.",
            annotations=(annotation(found.target, "Check failed", what),),
        )
    return found.url


def _no_address(applied: Sequence[Applied], waited_s: float) -> RolloutFailed:
    giving = url.candidates(applied)
    what = f"{', '.join(entry.label for entry in giving)} got no address in {waited_s:.0f} s"
    return RolloutFailed(
        what,
        do="`check-url` needs one: see that a load balancer or an ingress controller serves this"
        " cluster, or raise `start-timeout`.",
        annotations=tuple(annotation(entry, "No address", what) for entry in giving),
    )
