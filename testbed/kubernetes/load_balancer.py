"""Gives services of type LoadBalancer an address, as a cloud does; kube-proxy makes it work."""

import logging
import sys
import time
from pathlib import Path
from typing import Any

from testbed import processes
from testbed.kubernetes import api, settings

NAME = "kube-load-balancer"
_PERIOD_S = 0.5
_PROGRAM = "from testbed.kubernetes.load_balancer import serve; serve()"
_log = logging.getLogger("modelferry.testbed.load_balancer")


def start() -> None:
    root = Path(__file__).parents[2]
    processes.start(
        NAME,
        [sys.executable, "-c", _PROGRAM],
        env={"PYTHONPATH": str(root)},
        ready=lambda: True,
        timeout_s=5,
    )


def stop() -> None:
    processes.stop(NAME)


def assignments(services: list[dict[str, Any]]) -> dict[str, str | None]:
    """API path of each service that needs a change, and its address; None takes it away."""
    taken = {address for service in services if (address := _address(service))}
    free = (str(a) for a in settings.LOAD_BALANCERS.hosts() if str(a) not in taken)
    changes: dict[str, str | None] = {}
    for service in services:
        wanted = service["spec"]["type"] == "LoadBalancer"
        if wanted and not _address(service):
            if address := next(free, None):  # else it stays pending, as in a cloud
                changes[_path(service)] = address
        elif not wanted and _address(service):
            changes[_path(service)] = None
    return changes


def _address(service: dict[str, Any]) -> str | None:
    ingress = service["status"].get("loadBalancer", {}).get("ingress", [])
    return ingress[0].get("ip") if ingress else None


def _path(service: dict[str, Any]) -> str:
    metadata = service["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/services/{metadata['name']}/status"


def serve() -> None:
    """The process: runs until it is ended."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    client = api.Client()
    while True:
        try:
            for path, address in assignments(client.get("/api/v1/services")["items"]).items():
                ingress = [{"ip": address}] if address else None
                client.patch(path, {"status": {"loadBalancer": {"ingress": ingress}}})
                _log.info("%s: %s", path, address)
        except api.FAULTS as error:  # the API server restarts, or the service has just gone
            _log.warning("%s", error)
        time.sleep(_PERIOD_S)
