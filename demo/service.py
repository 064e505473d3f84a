"""The deployed service, as its users and kubectl see it."""

import shlex
import subprocess
from pathlib import Path
from typing import Any

import requests


def testbed_env(root: Path) -> dict[str, str]:
    printed = subprocess.run(
        [root / "scripts/testbed", "env"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    words = shlex.split(printed)
    return dict(word.split("=", 1) for word in words if word != "export")


def score(url: str, sample: Path) -> tuple[str, float]:
    body = _ask("POST", f"{url}/score", sample.read_bytes())
    return body["label"], body["score"]


def version(url: str) -> dict[str, str]:
    return _ask("GET", f"{url}/version")


def _ask(method: str, url: str, body: bytes | None = None) -> Any:
    with requests.Session() as session:
        session.trust_env = False  # the service is on this machine: no proxy leads to it
        answer = session.request(method, url, data=body, timeout=10)
    answer.raise_for_status()
    return answer.json()


def ensure_namespace(kubeconfig: str, name: str) -> None:
    _kind(kubeconfig, "Namespace").server_side_apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
        field_manager="demo",
    )


def running_pods(kubeconfig: str, namespace: str) -> list[tuple[str, str]]:
    """Pod and image, of those that run and are not going."""
    pods = _kind(kubeconfig, "Pod").get(namespace=namespace).to_dict()["items"]
    return [
        (pod["metadata"]["name"], pod["spec"]["containers"][0]["image"])
        for pod in pods
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]


def _kind(kubeconfig: str, kind: str) -> Any:
    from kubernetes import config
    from kubernetes.dynamic import DynamicClient

    client = DynamicClient(config.new_client_from_config(kubeconfig))
    return client.resources.get(api_version="v1", kind=kind)
