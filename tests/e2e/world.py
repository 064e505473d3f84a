"""What the tests see of the world outside the action, through other eyes than the action's own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.runner_sim import Step, read_log, read_outputs

ROOT = Path(__file__).parents[2]
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
SHA256_OF = "import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], 'rb').read()).hexdigest())"


class Cluster:
    def __init__(self, kubeconfig: str, namespace: str) -> None:
        from kubernetes import client, config

        self.api = client.CoreV1Api(config.new_client_from_config(kubeconfig))
        self.namespace = namespace

    def make_namespace(self) -> None:
        self.api.create_namespace({"metadata": {"name": self.namespace}})  # pyright: ignore[reportArgumentType]
        deadline = time.monotonic() + 20
        while not self.api.list_namespaced_service_account(self.namespace).items:
            assert time.monotonic() < deadline, "the namespace got no service account"
            time.sleep(0.1)

    def remove_namespace(self) -> None:
        self.api.delete_namespace(self.namespace, grace_period_seconds=0)
        self.api.api_client.rest_client.pool_manager.clear()

    def pods(self) -> list[Any]:
        """Those that are not on their way out."""
        pods = self.api.list_namespaced_pod(self.namespace).items
        return [pod for pod in pods if pod.metadata.deletion_timestamp is None]

    def images(self) -> set[str]:
        """What the pods were told to run; a digest leaves the node no choice."""
        return {container.image for pod in self.pods() for container in pod.spec.containers}

    def sha256_in_pod(self, path: str) -> str:
        from kubernetes.stream import stream

        command = ["python3", "-c", SHA256_OF, path]
        name = self.pods()[0].metadata.name
        session = stream(
            self.api.connect_get_namespaced_pod_exec,
            name,
            self.namespace,
            command=command,
            stdout=True,
            stderr=True,
            _preload_content=False,
        )
        session.run_forever(timeout=30)
        session.sock.shutdown()  # which the SDK leaves to the garbage collector
        return session.read_all().strip()


class RegistryView:
    """Asks the registry as any client does: 401, token, again."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.url = f"http://{env['TESTBED_REGISTRY']}/v2"
        self._login = env["TESTBED_REGISTRY_USERNAME"], env["TESTBED_REGISTRY_PASSWORD"]

    def tags(self, repository: str) -> list[str]:
        answer = self._get(f"{repository}/tags/list")
        return [] if answer.status_code == 404 else answer.json()["tags"] or []

    def manifest(self, repository: str, reference: str) -> dict[str, Any]:
        answer = self._get(f"{repository}/manifests/{reference}")
        answer.raise_for_status()
        if reference.startswith("sha256:"):
            assert hashlib.sha256(answer.content).hexdigest() == reference.removeprefix("sha256:")
        return json.loads(answer.content)

    def digest(self, repository: str, tag: str) -> str:
        return self._get(f"{repository}/manifests/{tag}").headers["Docker-Content-Digest"]

    def _get(self, path: str) -> requests.Response:
        headers = {"Accept": ", ".join(MANIFESTS)}
        answer = requests.get(f"{self.url}/{path}", headers=headers, timeout=10)
        if answer.status_code == 401:
            wanted = answer.headers["WWW-Authenticate"].removeprefix("Bearer ")
            fields = {k: v.strip('"') for k, _, v in (f.partition("=") for f in wanted.split(","))}
            token = requests.get(
                fields.pop("realm"), params=fields, auth=self._login, timeout=10
            ).json()["access_token"]
            headers["Authorization"] = f"Bearer {token}"
            answer = requests.get(f"{self.url}/{path}", headers=headers, timeout=10)
        return answer


def container(env: Mapping[str, str], name: str) -> Any:
    from azure.storage.blob import BlobServiceClient

    service = BlobServiceClient(env["TESTBED_BLOB_ENDPOINT"], credential=env["TESTBED_BLOB_KEY"])
    return service.get_container_client(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    status: int
    step: Step  # what the runner makes of the log
    log: str
    outputs: dict[str, str]
    summary: str
    left_over: str  # what still carries the run's label in the engine

    @property
    def report(self) -> dict[str, Any]:
        return json.loads(self.outputs["report"])


def run_entrypoint(
    workspace: Path,
    temp: Path,
    inputs: Mapping[str, str],
    *,
    seconds: float = 180,
    environ: Mapping[str, str] | None = None,
) -> Finished:
    """`python entrypoint.py` as on a runner, by a python that lacks the action's packages."""
    run_id = str(time.time_ns())
    output, summary = temp / "output", temp / "summary"
    output.touch()
    summary.touch()
    env = {
        **{n: v for n, v in os.environ.items() if not n.startswith(("GITHUB_", "INPUT_"))},
        **{f"INPUT_{name.upper()}": value for name, value in inputs.items()},
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(workspace),
        "GITHUB_REPOSITORY": "example/app",
        "GITHUB_SHA": hashlib.sha1(run_id.encode(), usedforsecurity=False).hexdigest(),
        "GITHUB_REF_NAME": "main",
        "GITHUB_RUN_ID": run_id,
        "GITHUB_RUN_ATTEMPT": "1",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(summary),
        "RUNNER_TEMP": str(temp),
        **(environ or {}),
    }
    env.pop("KUBECONFIG", None)
    command = [getattr(sys, "_base_executable", sys.executable), str(ROOT / "entrypoint.py")]
    done = subprocess.run(
        command,
        cwd=workspace,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
        check=False,
    )
    outputs = read_outputs(output.read_text())
    if written := outputs.get("report"):
        outputs["report"] = (workspace / written).read_text()
    return Finished(
        status=done.returncode,
        step=read_log(done.stdout),
        log=done.stdout,
        outputs=outputs,
        summary=summary.read_text(),
        left_over=_labelled(run_id),
    )


def _labelled(run_id: str) -> str:
    """Containers, networks and volumes of this run; its label ends in a random part."""
    found = ""
    for kind in (("ps", "--all"), ("network", "ls"), ("volume", "ls")):
        form = '{{.Label "modelferry.run"}} {{.Name}}'.replace(
            ".Name", ".Names" if kind[0] == "ps" else ".Name"
        )
        command = ["docker", *kind, "--filter", "label=modelferry.run", "--format", form]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found += "".join(f"{line}\n" for line in listing.splitlines() if run_id in line)
    return found
