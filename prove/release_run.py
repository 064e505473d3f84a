"""One run of the deploy stage in a process of its own, which may kill or stop itself at a chosen
moment.

`python -m prove.release_run` reads its orders as JSON and answers in JSON on the last line.
"""

import json
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from modelferry.artifacts import PushedImage
from modelferry.cluster.access import ClusterAccess
from modelferry.cluster.transport import Transport
from modelferry.errors import FerryError, RolloutFailed
from modelferry.plan.spec import DeployPlan, RunContext
from modelferry.rollout.release import undo
from modelferry.rollout.release.turn import Turn
from modelferry.rollout.spec import DeploySpec
from modelferry.stages import deploy as stage
from modelferry.values import ImageRef

_BOOKKEEPING = re.compile(r"/leases(/|$)|/secrets/modelferry\.|/secrets$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    kubeconfig: str
    workspace: str  # holds app.yaml
    namespace: str
    image: str  # by digest
    run: str
    release: str = "app"
    attempt: int = 1
    timeout_s: float = 180.0
    deploy_by: Literal["digest", "tag"] = "digest"
    tags: Sequence[str] = ()  # that mean the image now
    # `write` is any, `rollback` any in there; `send` is before one of the set's own, `apply` after
    die: Literal["", "write", "send", "apply", "watch", "verdict", "rollback"] = ""
    die_at: int = 0  # after so many of them
    by: Literal["SIGKILL", "SIGSTOP"] = "SIGKILL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    what: str
    rolled_back: bool
    writes: Sequence[float]  # moments at which something of the set was written
    started: float
    ended: float


def plan_of(orders: Orders) -> DeployPlan:
    spec = DeploySpec(
        manifests=("app.yaml",),
        namespace=orders.namespace,
        release=orders.release,
        images=(),
        variables=(("RUN", orders.run),),
        deploy_by=orders.deploy_by,
        timeout_s=orders.timeout_s,
        image_pull_secrets=(),
        force=False,
        checks=(),
        port=None,
        start_timeout_s=15,
    )
    access = ClusterAccess(path=orders.kubeconfig)
    return DeployPlan(cluster=access, spec=spec, image=None, tags=tuple(orders.tags))


def context_of(orders: Orders) -> RunContext:
    return RunContext(
        workspace=Path(orders.workspace),
        temp=Path(orders.workspace) / "temp",
        run_id=orders.run,
        run_attempt=orders.attempt,
        repository=None,
        commit=None,
        branch=None,
        server_url=None,
    )


def deploy(orders: Orders) -> None:
    image = ImageRef.parse(orders.image)
    digest = image.digest
    if digest is None:
        raise ValueError(f"{image} has no digest")
    plan, context = plan_of(orders), context_of(orders)
    name = ImageRef(registry=image.registry, repository=image.repository)
    target = stage.prepare(plan, built=name, context=context)
    pushed = PushedImage(ref=image, digest=digest, tags=tuple(orders.tags))
    stage.deploy(plan, pushed, target, context=context)


class Observed:
    """Counts the writes of this process; kills it when the orders say so."""

    def __init__(self, orders: Orders) -> None:
        self.writes: list[float] = []
        self._orders, self._counted, self._phase = orders, 0, "write"
        self._send, self._heed, self._undo = Transport.json, Turn.heed, undo.undo
        Transport.json = self._observe_write()  # pyright: ignore[reportAttributeAccessIssue]
        Turn.heed = self._observe_look()  # pyright: ignore[reportAttributeAccessIssue]
        undo.undo = self._enter_rollback

    def _observe_write(self) -> Any:
        def call(transport: Transport, method: str, path: str, **how: Any) -> Any:
            dry = ("dryRun", "All") in how.get("query", ()) or "dryRun" in (how.get("body") or {})
            writes = method != "GET" and not dry and "/selfsubject" not in path
            of_the_set = writes and not _BOOKKEEPING.search(path)
            if of_the_set:
                self._count("send")
            answer = self._send(transport, method, path, **how)
            if of_the_set:
                self.writes.append(time.time())
                self._count("apply")
            if writes:
                self._count(self._phase)
            return answer

        return call

    def _observe_look(self) -> Any:
        def look(turn: Turn) -> None:
            self._heed(turn)
            self._count("watch")

        return look

    def _enter_rollback(self, *arguments: Any, **named: Any) -> tuple[str, ...]:
        self._phase = "rollback"
        self._count("verdict")
        return self._undo(*arguments, **named)

    def _count(self, phase: str) -> None:
        if phase != self._orders.die:
            return
        self._counted += 1
        if self._counted == self._orders.die_at:
            os.kill(os.getpid(), signal.Signals[self._orders.by])


def main() -> int:
    orders = Orders(**json.load(sys.stdin))
    observed = Observed(orders)
    started = time.time()
    status, what, rolled_back = 0, "", False
    try:
        deploy(orders)
    except FerryError as error:
        status, what = error.status, error.what
        rolled_back = isinstance(error, RolloutFailed) and error.rolled_back
    answer = Answer(
        status=status,
        what=what,
        rolled_back=rolled_back,
        writes=observed.writes,
        started=started,
        ended=time.time(),
    )
    sys.stdout.write(f"\n{json.dumps(asdict(answer))}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
