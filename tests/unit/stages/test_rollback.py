from __future__ import annotations

from modelferry.cluster.resources import NAMESPACES, SERVICES, Resource
from modelferry.rollout.changes import Placed
from modelferry.rollout.manifests import ManifestObject
from modelferry.rollout.rollback import removals
from modelferry.stages.rollback import shown

CLAIMS = Resource(
    api_version="v1", kind="PersistentVolumeClaim", plural="persistentvolumeclaims", namespaced=True
)


def placed(resource: Resource, name: str) -> Placed:
    body = {"apiVersion": "v1", "kind": resource.kind, "metadata": {"name": name}}
    manifest = ManifestObject(body=body, file="a.yaml", line=1, lines={})
    return Placed(manifest=manifest, resource=resource, namespace="n")


def test_what_is_shown_to_go_is_what_goes() -> None:
    brought = [placed(NAMESPACES, "shop"), placed(CLAIMS, "data"), placed(SERVICES, "web")]
    assert shown((), removals(brought)).splitlines() == [
        "- service/web: remove",
        "= persistentvolumeclaim/data: stays, others may have put something into it",
        "= namespace/shop: stays, others may have put something into it",
    ]
