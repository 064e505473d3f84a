"""Who takes part in the cluster, with which certificate, and their kubeconfigs."""

import base64
import json

from testbed import layout
from testbed.kubernetes import pki, settings

ADMIN = "kubeconfig"  # the one that `scripts/testbed env` names
CONTROLLER_MANAGER = "controller-manager.kubeconfig"
SCHEDULER = "scheduler.kubeconfig"
KUBELET = "kubelet.kubeconfig"
PROXY = "proxy.kubeconfig"

# Names that the rules built into the API server (RBAC, node authorizer) know.
_CLIENTS = {
    ADMIN: ("testbed-admin", "system:masters"),
    CONTROLLER_MANAGER: ("system:kube-controller-manager", ""),
    SCHEDULER: ("system:kube-scheduler", ""),
    KUBELET: (f"system:node:{settings.NODE_NAME}", "system:nodes"),
    PROXY: ("system:kube-proxy", ""),
}
_API_HOSTS = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    f"kubernetes.default.svc.{settings.DOMAIN}",
    "127.0.0.1",
    str(settings.NODE_IP),
    str(settings.API_SERVICE_IP),
)


def write() -> None:
    authority = pki.Authority()
    pki.save("ca", authority.pair)
    pki.save("api-server", authority.issue("kube-apiserver", hosts=_API_HOSTS))
    pki.save("api-to-kubelet", authority.issue("kube-apiserver-client", group="system:masters"))
    kubelet_hosts = (settings.NODE_NAME, str(settings.NODE_IP))
    pki.save("kubelet", authority.issue("kubelet", hosts=kubelet_hosts))
    pki.save_signing_key("service-accounts")
    for file, (user, group) in _CLIENTS.items():
        client = authority.issue(user, group=group)
        layout.write_private(
            settings.config(file), _kubeconfig(user, client, authority.pair.certificate)
        )
        if file == ADMIN:
            pki.save("admin", client)


def _kubeconfig(user: str, client: pki.Pair, authority: str) -> str:
    cluster = {
        "server": settings.api_server_url(),
        "certificate-authority-data": _base64(authority),
    }
    credentials = {
        "client-certificate-data": _base64(client.certificate),
        "client-key-data": _base64(client.key),
    }
    name = "modelferry-testbed"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": user, "user": credentials}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
        "current-context": name,
    }
    return json.dumps(content, indent=1)  # JSON is YAML


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
