"""A service account that may do this and no more, and the kubeconfig it logs in with."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from modelferry.cluster import connect
from modelferry.cluster.access import ClusterAccess
from modelferry.cluster.client import Cluster
from modelferry.errors import IdentityError
from modelferry.values import Secret

_PAGE = Path(__file__).parents[1] / "docs/kubernetes-role.md"
_KNOWN_S = 20.0
_RBAC = "rbac.authorization.k8s.io"


def documented_rules(*without: str) -> list[dict[str, Any]]:
    """Of the published Role, less the rules that hold one of these resources."""
    role = next(yaml.safe_load_all(_PAGE.read_text().split("```yaml\n")[1].split("```")[0]))
    return [rule for rule in role["rules"] if not {*without} & {*rule["resources"]}]


def log_in(
    cluster: Cluster,
    namespace: str,
    rules: Sequence[Mapping[str, Any]],
    kubeconfig: str,
    *,
    name: str = "ferry",
) -> str:
    """`kubeconfig` is the path of an administrator's."""
    reference = {"apiGroup": _RBAC, "kind": "Role", "name": name}
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    for body in (
        {"apiVersion": "v1", "kind": "ServiceAccount"},
        {"apiVersion": f"{_RBAC}/v1", "kind": "Role", "rules": [*rules]},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "roleRef": reference,
            "subjects": [subject],
        },
    ):
        resource = cluster.resource(body["apiVersion"], body["kind"])
        assert resource
        cluster.apply(resource, {**body, "metadata": {"name": name}}, namespace)
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = cluster._transport.json("POST", path, body=request)["status"]["token"]
    document = yaml.safe_load(Path(kubeconfig).read_text())
    document["users"][0]["user"] = {"token": token}
    text = yaml.safe_dump(document)
    _wait_until_known(text, namespace, rules)
    return text


def _wait_until_known(kubeconfig: str, namespace: str, rules: Sequence[Mapping[str, Any]]) -> None:
    """The API server learns of an account, a role and a binding a moment after they are made."""
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    wanted = {resource for rule in rules for resource in rule["resources"]}
    until = time.monotonic() + _KNOWN_S
    while True:
        try:
            login = connect(ClusterAccess(content=Secret(kubeconfig)))
            answer = login._transport.json("POST", path, body=review)
            found = {
                name for rule in answer["status"]["resourceRules"] for name in rule["resources"]
            }
        except IdentityError:
            found = set()
        if wanted <= found:
            return
        assert time.monotonic() < until, f"unknown after {_KNOWN_S:g} s: {wanted - found}"
        time.sleep(0.1)
