"""A queue that holds each Job on admission until there is room, as Kueue does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from modelferry.artifacts import PushedImage, Rollout
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import Resource
from modelferry.errors import RolloutError

Deploy = Callable[..., Rollout]
Images = tuple[PushedImage, PushedImage]

JOBS = Resource(api_version="batch/v1", kind="Job", plural="jobs", namespaced=True)
JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: rescore}
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - {name: rescore, image: $IMAGE, env: [{name: MODE, value: end}]}
"""


@pytest.fixture
def queue(cluster: Cluster, namespace: str) -> Iterator[None]:
    rule = {
        "apiGroups": ["batch"],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["jobs"],
    }
    held = "Object{spec: Object.spec{suspend: true}}"
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    policy = {
        "matchConstraints": {"resourceRules": [rule], "namespaceSelector": selector},
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": held}}
        ],
    }
    made: list[tuple[Resource, str, str]] = []
    for kind, spec in (
        ("MutatingAdmissionPolicy", policy),
        ("MutatingAdmissionPolicyBinding", {"policyName": namespace}),
    ):
        group = "admissionregistration.k8s.io/v1"
        resource = cluster.resource(group, kind)
        assert resource
        body = {"apiVersion": group, "kind": kind, "metadata": {"name": namespace}, "spec": spec}
        uid = cluster.apply(resource, body, None)["metadata"]["uid"]
        made.append((resource, namespace, uid))
    _wait_until_held(cluster, namespace)
    yield
    for resource, name, uid in reversed(made):
        cluster.delete(resource, name, None, uid=uid)


def _wait_until_held(cluster: Cluster, namespace: str) -> None:
    pod = {"restartPolicy": "Never", "containers": [{"name": "a", "image": "b"}]}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "probe", "namespace": namespace},
        "spec": {"template": {"spec": pod}},
    }
    until = time.monotonic() + 30
    while not cluster.apply(JOBS, body, namespace, dry_run=True)["spec"].get("suspend"):
        assert time.monotonic() < until, "the queue does not come into force"
        time.sleep(0.3)


@pytest.mark.usefixtures("queue")
def test_a_job_that_a_queue_holds_is_waited_for(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    def let_go() -> None:
        until = time.monotonic() + 30
        while not cluster.get(JOBS, "rescore", namespace) and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(2)
        resumed = [{"op": "replace", "path": "/spec/suspend", "value": False}]
        cluster.patch(JOBS, "rescore", namespace, resumed)

    thread = threading.Thread(target=let_go)
    thread.start()
    deploy(JOB, images[0])
    thread.join()
    job = cluster.get(JOBS, "rescore", namespace)
    assert job
    assert job["status"]["succeeded"] == 1


@pytest.mark.usefixtures("queue")
def test_a_job_that_is_never_let_go_is_red(deploy: Deploy, images: Images) -> None:
    with pytest.raises(RolloutError, match="a job queue holds it"):
        deploy(JOB, images[0], timeout_s=4)
