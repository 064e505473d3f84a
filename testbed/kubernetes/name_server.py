"""CoreDNS, so that pods find services by name: on the node, behind the service kube-dns."""

from typing import Any

from testbed import layout, processes
from testbed.kubernetes import components, credentials, settings
from testbed.kubernetes.api import Client
from testbed.kubernetes.programs import Program

NAME = "kube-dns"
PROGRAM = Program(name="coredns")
_HEALTH_PORT = "kube-dns-health"
_NAMESPACE = "kube-system"


def claim_ports() -> None:
    for name in (NAME, _HEALTH_PORT):
        layout.claim_port(name)


def start() -> None:
    _publish(Client())
    file = layout.write_private(settings.config("Corefile"), _configuration())
    health = f"http://127.0.0.1:{layout.port(_HEALTH_PORT)}/ready"
    processes.start(
        NAME,
        [PROGRAM.path(), "-conf", file],
        ready=lambda: components.healthy(health),
        timeout_s=30,
    )


def stop() -> None:
    processes.stop(NAME)


def _configuration() -> str:
    return f"""\
.:{layout.port(NAME)} {{
  bind {settings.NODE_IP}
  ready 127.0.0.1:{layout.port(_HEALTH_PORT)}
  errors
  cache 5
  kubernetes {settings.DOMAIN} in-addr.arpa ip6.arpa {{
    kubeconfig {settings.config(credentials.ADMIN)}
    pods insecure
    fallthrough in-addr.arpa ip6.arpa
  }}
  forward . /etc/resolv.conf
}}
"""


def _publish(client: Client) -> None:
    """A service without selector: its one endpoint is the node."""
    ports = [{"name": p.lower(), "protocol": p, "port": 53} for p in ("UDP", "TCP")]
    client.apply(
        f"/api/v1/namespaces/{_NAMESPACE}/services/{NAME}",
        _object("v1", "Service", spec={"clusterIP": str(settings.DNS_SERVICE_IP), "ports": ports}),
    )
    client.apply(
        f"/apis/discovery.k8s.io/v1/namespaces/{_NAMESPACE}/endpointslices/{NAME}",
        _object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            addressType="IPv4",
            endpoints=[{"addresses": [str(settings.NODE_IP)]}],
            ports=[{**port, "port": layout.port(NAME)} for port in ports],
        ),
    )


def _object(version: str, kind: str, **content: Any) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": NAME}
    metadata = {"name": NAME, "namespace": _NAMESPACE, "labels": labels}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}
