"""Names, addresses and folders of the cluster; every other file here takes them from this one."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from testbed import layout

NODE_NAME = "testbed-node"

# The kubelet refuses a loopback address, so the node has one of its own on an empty bridge.
BRIDGE = "kube0"
NODE_IP = IPv4Address("10.200.0.1")
LOAD_BALANCERS = IPv4Network("10.200.1.0/24")
SERVICES = IPv4Network("10.96.0.0/16")
API_SERVICE_IP = SERVICES[1]  # where pods find the API server
DNS_SERVICE_IP = SERVICES[10]  # where pods find the name server
DOMAIN = "cluster.local"
POD_NETWORK = "modelferry"
PODS = IPv4Network("10.244.0.0/16")

# Unix socket names have room for 107 bytes, and /run is empty after a reboot like all in it.
RUN = Path("/run/modelferry")
CONTAINERD_SOCKET = RUN / "containerd.sock"


def config(name: str) -> Path:
    """A file written at each start: certificates, configurations, kubeconfigs."""
    return layout.state_dir("kubernetes") / name


def data(name: str) -> Path:
    """A folder that a component fills; gone after `stop`."""
    return layout.data_dir("kubernetes") / name


def api_server_url() -> str:
    return f"https://{NODE_IP}:{layout.port('kube-apiserver')}"
