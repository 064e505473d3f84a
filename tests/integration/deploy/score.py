"""The Deployment `score` of these tests, and who scales it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import Resource

DEPLOYMENTS = Resource(
    api_version="apps/v1", kind="Deployment", plural="deployments", namespaced=True
)


def workload(more: str = "", env: str = "", kind: str = "Deployment") -> str:
    return f"""\
---
apiVersion: apps/v1
kind: {kind}
metadata: {{name: score}}
spec:
  {more}
  selector: {{matchLabels: {{app: score}}}}
  template:
    metadata: {{labels: {{app: score}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: score
          image: $IMAGE
          env: [{{name: MODE, value: serve}}{env}]
          readinessProbe: {{httpGet: {{path: /, port: 8000}}, periodSeconds: 1}}
"""


def autoscaler(**spec: int) -> Mapping[str, Any]:
    """Of the Deployment `score`."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "score"}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "score"},
        "spec": {"scaleTargetRef": target, "maxReplicas": 4, **spec},
    }


def scale(
    cluster: Cluster, namespace: str, replicas: int, *, manager: str = "kube-controller-manager"
) -> None:
    """As the controller of the HorizontalPodAutoscalers does, or another one."""
    cluster._transport.json(
        "PATCH",
        DEPLOYMENTS.path(namespace, "score", "scale"),
        query=[("fieldManager", manager)],
        body={"spec": {"replicas": replicas}},
        content_type="application/merge-patch+json",
    )


def replicas(cluster: Cluster, namespace: str) -> int:
    live = cluster.get(DEPLOYMENTS, "score", namespace)
    assert live
    return live["spec"]["replicas"]
