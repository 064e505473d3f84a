"""What a set brings itself is not missed: the messages are Kubernetes' own."""

from __future__ import annotations

import pytest

from modelferry.cluster.resources import Resource
from modelferry.cluster.transport import Refused
from modelferry.rollout.changes.decide import Action, Change
from modelferry.rollout.changes.dry_run import comes_with
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.changes.refusals import Refusal
from modelferry.rollout.manifests.load import ManifestObject


def placed(kind: str, name: str) -> Placed:
    body = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}}
    resource = Resource(api_version="v1", kind=kind, plural="x", namespaced=True)
    manifest = ManifestObject(body=body, file="a.yaml", line=1, lines={})
    return Placed(manifest=manifest, resource=resource, namespace="n")


def refusal(message: str) -> Refusal:
    refused = Refused(message, code=403, status={"message": message})
    return Refusal(placed=placed("Pod", "p"), refused=refused)


def new(kind: str, name: str) -> Change:
    return Change(placed=placed(kind, name), action=Action.CREATE, live=None)


ACCOUNT = (
    'pods "p" is forbidden: error looking up service account n/robot:'
    ' serviceaccount "robot" not found'
)
PRIORITY = 'pods "p" is forbidden: no PriorityClass with name high was found'


@pytest.mark.parametrize(
    ("message", "kind", "name", "comes"),
    [
        (ACCOUNT, "ServiceAccount", "robot", True),
        (ACCOUNT, "ServiceAccount", "rob", False),
        (ACCOUNT, "ConfigMap", "robot", False),
        (PRIORITY, "PriorityClass", "high", True),
        ('roles.rbac.authorization.k8s.io "reader" not found', "Role", "reader", True),
        ('pods "p" is forbidden: violates PodSecurity "restricted"', "ConfigMap", "p", False),
    ],
)
def test_comes_with(message: str, kind: str, name: str, *, comes: bool) -> None:
    found = comes_with(refusal(message), [new("Secret", "other"), new(kind, name)])
    assert (found is not None) is comes


def test_what_is_there_already_is_no_excuse() -> None:
    there = Change(placed=placed("ServiceAccount", "robot"), action=Action.UPDATE, live={"a": 1})
    assert comes_with(refusal(ACCOUNT), [there]) is None
