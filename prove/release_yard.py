"""A namespace with a release in it, and runs that deploy it, each in a process of its own."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from modelferry.cluster.resources import PODS, Resource
from prove import kube_workloads as workloads
from prove import kube_yard
from prove.kube_yard import Body, Yard
from prove.release_run import Answer, Orders

DEPLOYMENTS = Resource(
    api_version="apps/v1", kind="Deployment", plural="deployments", namespaced=True
)
CONFIG_MAPS = Resource(api_version="v1", kind="ConfigMap", plural="configmaps", namespaced=True)
KILLED = -9


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that was started. `answer` waits; None: it was killed."""

    process: subprocess.Popen[str]
    number: str

    def answer(self, timeout_s: float = 400) -> Answer | None:
        out, errors = self.process.communicate(timeout=timeout_s)
        if self.process.returncode == KILLED:
            return None
        lines = out.strip().splitlines()
        if not lines:
            raise AssertionError(f"run {self.number} gave no answer:\n{errors[-3000:]}")
        return Answer(**json.loads(lines[-1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    yard: Yard
    namespace: str
    folder: Path
    _count: list[int] = field(default_factory=lambda: [0])

    def start(self, bodies: list[Body], run: str, **orders: Any) -> Run:
        self._count[0] += 1
        workspace = self.folder / str(self._count[0])
        workspace.mkdir()
        (workspace / "app.yaml").write_text(yaml.safe_dump_all(bodies))
        own: dict[str, Any] = {"kubeconfig": str(self.yard.kubeconfig), "image": self.yard.image}
        given = Orders(**own | orders, workspace=str(workspace), namespace=self.namespace, run=run)
        process = subprocess.Popen(
            [sys.executable, "-m", "prove.release_run"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        if process.stdin is None:
            raise AssertionError("a pipe was asked for")
        process.stdin.write(json.dumps(asdict(given)))
        process.stdin.close()
        process.stdin = None  # communicate() would flush it again
        return Run(process=process, number=run)

    def deploy(self, bodies: list[Body], run: str, **orders: Any) -> Answer:
        answer = self.start(bodies, run, **orders).answer()
        if answer is None:
            raise AssertionError(f"run {run} was killed")
        return answer

    def data(self, name: str) -> Mapping[str, str] | None:
        found = self.yard.cluster.get(CONFIG_MAPS, name, self.namespace)
        return found["data"] if found else None

    def live(self, name: str = "score") -> Mapping[str, Any]:
        return self.yard.cluster.get(DEPLOYMENTS, name, self.namespace) or {}

    def pod(self, name: str) -> Mapping[str, Any]:
        return self.yard.cluster.get(PODS, name, self.namespace) or {}


@contextmanager
def ground(env: Mapping[str, str]) -> Iterator[Ground]:
    with (
        kube_yard.opened(env) as yard,
        yard.namespace() as namespace,
        tempfile.TemporaryDirectory() as folder,
    ):
        yield Ground(yard=yard, namespace=namespace, folder=Path(folder))


def release(said: str, script: str = workloads.READY, *, name: str = "score") -> list[Body]:
    """Settings, a bare Pod and a Deployment, all of which say the same word."""
    env = {"env": [{"name": "SAID", "value": said}]}
    spec = workloads.pod_spec("$IMAGE", script, container=env)
    lone = workloads.pod_spec("$IMAGE", workloads.READY, container=env)
    return [
        workloads.of("v1", "ConfigMap", f"{name}-settings", data={"said": said}),
        workloads.pod(lone, name=f"{name}-lone"),
        workloads.workload("Deployment", spec, name=name),
    ]
