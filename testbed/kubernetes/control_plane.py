"""etcd, the API server, the controllers and the scheduler."""

from testbed import layout, processes
from testbed.kubernetes import components, credentials, settings
from testbed.kubernetes.api import Client

NAMES = ("kube-etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_PORTS = ("kube-etcd", "kube-etcd-peer", "kube-apiserver")


def claim_ports() -> None:
    """Before anything is written that names them."""
    for name in _PORTS:
        layout.claim_port(name)


def start() -> None:
    start_etcd()
    start_api_server()
    start_controllers()


def stop() -> None:
    """What they keep goes too, so they get no time to say goodbye to one another."""
    for name in reversed(NAMES):
        processes.stop(name, timeout_s=3)


def start_etcd() -> None:
    clients, peers = _loopback("kube-etcd"), _loopback("kube-etcd-peer")
    command = [
        "etcd",
        f"--data-dir={settings.data('etcd')}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",  # nothing in it outlives `down`
    ]
    health = f"{clients}/health"
    processes.start("kube-etcd", command, ready=lambda: components.healthy(health), timeout_s=30)


def start_api_server() -> None:
    client = Client()
    flags = api_server_flags(layout.port("kube-apiserver"))
    components.start("kube-apiserver", flags, ready=lambda: client.answers("/readyz"))


def api_server_flags(port: int) -> dict[str, object]:
    """A second one on the same store takes a port of its own."""
    return {
        "advertise-address": settings.NODE_IP,
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "bind-address": settings.NODE_IP,
        "client-ca-file": settings.config("ca.crt"),
        "enable-admission-plugins": "NodeRestriction",
        "etcd-servers": _loopback("kube-etcd"),
        "kubelet-certificate-authority": settings.config("ca.crt"),
        "kubelet-client-certificate": settings.config("api-to-kubelet.crt"),
        "kubelet-client-key": settings.config("api-to-kubelet.key"),
        "kubelet-preferred-address-types": "InternalIP",
        "secure-port": port,
        "service-account-issuer": f"https://kubernetes.default.svc.{settings.DOMAIN}",
        "service-account-key-file": settings.config("service-accounts.pub"),
        "service-account-signing-key-file": settings.config("service-accounts.key"),
        "service-cluster-ip-range": settings.SERVICES,
        "tls-cert-file": settings.config("api-server.crt"),
        "tls-private-key-file": settings.config("api-server.key"),
        # "authentication-config" comes here with the identity provider.
    }


def start_controllers() -> None:
    """Both have no port of their own; what they do is seen in the API."""
    client = Client()
    manager_flags = {
        "cluster-signing-cert-file": settings.config("ca.crt"),
        "cluster-signing-key-file": settings.config("ca.key"),
        "kubeconfig": settings.config(credentials.CONTROLLER_MANAGER),
        "leader-elect": "false",
        "root-ca-file": settings.config("ca.crt"),
        "secure-port": 0,
        "service-account-private-key-file": settings.config("service-accounts.key"),
        "use-service-account-credentials": "true",
    }
    scheduler_flags = {
        "kubeconfig": settings.config(credentials.SCHEDULER),
        "leader-elect": "false",
        "secure-port": 0,
    }
    components.start("kube-scheduler", scheduler_flags, ready=lambda: True)
    components.start(
        "kube-controller-manager",
        manager_flags,
        # Pods are refused until the controllers have made this account.
        ready=lambda: client.answers("/api/v1/namespaces/default/serviceaccounts/default"),
    )


def _loopback(port_name: str) -> str:
    return f"http://127.0.0.1:{layout.port(port_name)}"
