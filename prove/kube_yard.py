"""Where rollouts are played: namespaces of the testbed's cluster, and an image nodes can pull."""

import base64
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from modelferry.cluster import connect
from modelferry.cluster.access import ClusterAccess
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import NAMESPACES
from modelferry.errors import RolloutFailed
from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry
from modelferry.rollout.changes.place import place
from modelferry.rollout.changes.placed import ordered
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.watching import evidence, watch
from modelferry.rollout.watching.board import Board
from modelferry.rollout.watching.findings import Applied
from modelferry.values import Secret
from testbed import layout

Body = dict[str, Any]

_NAME = "prove-rollouts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Yard:
    cluster: Cluster
    kubeconfig: Path
    image: str  # by digest; has a shell and Python

    def namespace(self) -> AbstractContextManager[str]:
        return own_namespace(self.cluster, f"prove-{uuid4().hex[:10]}")

    def apply(self, namespace: str, bodies: Sequence[Body]) -> tuple[Applied, ...]:
        found = [ManifestObject(body=body, file="app.yaml", line=1, lines={}) for body in bodies]
        return tuple(
            Applied(
                placed=placed,
                body=self.cluster.apply(placed.resource, placed.body, placed.namespace),
            )
            for placed in ordered(place(self.cluster, found, namespace).objects)
        )

    def through(self, url: str) -> Cluster:
        """The same cluster by another way; plain http needs no credential."""
        document = yaml.safe_load(self.kubeconfig.read_text())
        document["clusters"][0]["cluster"]["server"] = url
        if url.startswith("http://"):
            document["users"][0]["user"] = {}
        text = Secret(json.dumps(document))
        return connect(ClusterAccess(content=text))


@contextmanager
def own_namespace(cluster: Cluster, name: str) -> Iterator[str]:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    made = cluster.apply(NAMESPACES, body, None)
    try:
        _wait_for_account(cluster, name)
        yield name
    finally:
        cluster.delete(NAMESPACES, name, None, uid=made["metadata"]["uid"])


def _wait_for_account(cluster: Cluster, namespace: str) -> None:
    """Pods are refused until a controller has made it, which is busy right after the start."""
    accounts = cluster.resource("v1", "ServiceAccount")
    until = time.monotonic() + 30
    while accounts and not cluster.get(accounts, "default", namespace):
        if time.monotonic() > until:
            raise TimeoutError(f"namespace {namespace} has no service account")
        time.sleep(0.05)


@contextmanager
def opened(env: Mapping[str, str]) -> Iterator[Yard]:
    kubeconfig = env["KUBECONFIG"]
    access = ClusterAccess(path=kubeconfig)
    yield Yard(cluster=connect(access), kubeconfig=Path(kubeconfig), image=_pushed(env))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What `watch.follow` came to, and when."""

    failure: RolloutFailed | None
    seconds: float
    at: float  # Unix time

    def __str__(self) -> str:
        what = self.failure.what if self.failure else "ready"
        return f"{what} (after {self.seconds:.1f} s)"


def follow(cluster: Cluster, applied: Sequence[Applied], timeout_s: float) -> Verdict:
    began = time.monotonic()
    board = Board(targets=applied, epoch_s=time.time() - began)
    outcome = watch.follow(cluster, board, timeout_s=timeout_s)
    at, seconds = time.time(), time.monotonic() - began
    failure = None if outcome.ready else evidence.failure(cluster, board, outcome, timeout_s)
    return Verdict(failure=failure, seconds=seconds, at=at)


def _pushed(env: Mapping[str, str]) -> str:
    """The testbed's base image where the nodes can pull it, by digest."""
    host, login = env["TESTBED_REGISTRY"], env["TESTBED_REGISTRY_USERNAME"]
    login += f":{env['TESTBED_REGISTRY_PASSWORD']}"
    with layout.locked(_NAME):  # by whoever comes first of those that run side by side
        digest = registry(env).head_manifest(_NAME, "1")
        if digest is None:
            _push(env["TESTBED_BASE_IMAGE"], f"{host}/{_NAME}:1", host, login)
            digest = registry(env).head_manifest(_NAME, "1")
    return f"{host}/{_NAME}@{digest}"


def registry(env: Mapping[str, str]) -> Registry:
    access = RegistryAccess(
        host=env["TESTBED_REGISTRY"],
        username=env["TESTBED_REGISTRY_USERNAME"],
        password=Secret(env["TESTBED_REGISTRY_PASSWORD"]),
        plain_http=True,
    )
    return Registry(access, {})


def _push(image: str, name: str, host: str, login: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        auths = {host: {"auth": base64.b64encode(login.encode()).decode()}}
        Path(folder, "config.json").write_text(json.dumps({"auths": auths}))
        for arguments in (("tag", image, name), ("push", name), ("rmi", name)):
            command = ["docker", "--config", folder, *arguments]
            subprocess.run(command, check=True, capture_output=True)
