"""Deploys that go well: what runs afterwards is what was meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from modelferry.artifacts import PushedImage, Rollout, RolloutState
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import LEASES, NAMESPACES, PODS, SECRETS, SERVICES, Resource
from modelferry.registry.client import Registry
from modelferry.rollout.spec import ImageRule
from modelferry.rollout.watching.running_image import container_statuses
from modelferry.values import ImageRef
from tests.integration.deploy.score import replicas, scale

MANIFESTS = Path(__file__).parent / "manifests"

Deploy = Callable[..., Rollout]
Images = tuple[PushedImage, PushedImage]

DEPLOYMENTS = Resource(
    api_version="apps/v1", kind="Deployment", plural="deployments", namespaced=True
)
JOBS = Resource(api_version="batch/v1", kind="Job", plural="jobs", namespaced=True)

SERVICE = """\
apiVersion: v1
kind: Service
metadata:
  name: score
spec:
  type: LoadBalancer
  selector: {app: score}
  ports: [{port: 8080, targetPort: 8000}]
"""
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: score
spec:
  replicas: 2
  selector: {matchLabels: {app: score}}
  template:
    metadata: {labels: {app: score}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: score
          image: $IMAGE
          ports: [{containerPort: 8000}]
          readinessProbe: {httpGet: {path: /, port: 8000}, periodSeconds: 1}
"""
POD = """\
apiVersion: v1
kind: Pod
metadata:
  name: lone
  labels: {app: lone}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: score
      image: $ACR_DNS/REPOSITORY:$(Build.BuildId)
      readinessProbe: {httpGet: {path: /, port: 8000}, periodSeconds: 1}
"""
JOB = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: rescore
spec:
  template:
    spec:
      restartPolicy: Never
      containers:
        - {name: rescore, image: $IMAGE, env: [{name: MODE, value: end}]}
"""


def running(cluster: Cluster, namespace: str) -> set[tuple[str, str]]:
    """(pod, digest) of every container that runs now."""
    pods, _ = cluster.list(PODS, namespace)
    return {
        (pod["metadata"]["name"], status["imageID"].rpartition("@")[2])
        for pod in pods
        for status in container_statuses(pod)
        if "deletionTimestamp" not in pod["metadata"] and "running" in status["state"]
    }


def test_deployment_and_service(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    manifest = f"{SERVICE}---\n{DEPLOYMENT}"
    checks = 'GET / contains version\nPOST /score {"a": 1} contains 8 bytes'
    first = deploy(manifest, images[0], checks=checks)
    assert first.state is RolloutState.SUCCEEDED
    assert first.objects == ("service/score", "deployment/score")
    assert first.previous_image is None
    service = cluster.get(SERVICES, "score", namespace)
    assert service
    assert first.url == f"http://{service['status']['loadBalancer']['ingress'][0]['ip']}:8080"

    second = deploy(manifest, images[1], checks=checks)
    assert second.previous_image == str(images[0].ref)
    digests = [digest for _, digest in running(cluster, namespace)]
    assert digests == [images[1].digest] * 2
    live = cluster.get(DEPLOYMENTS, "score", namespace)
    assert live
    assert live["metadata"]["annotations"]["modelferry/image-digest"] == images[1].digest
    assert live["metadata"]["annotations"]["modelferry/model-version"] == "model-2"


def test_ten_deploys_of_a_bare_pod_and_a_job_run_the_new_image_each_time(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    manifest = POD.replace("REPOSITORY", images[0].ref.repository) + f"---\n{JOB}"
    for turn in range(10):
        image = images[turn % 2]
        deploy(manifest, image)
        assert running(cluster, namespace) == {("lone", image.digest)}, f"deploy {turn + 1}"
        job = cluster.get(JOBS, "rescore", namespace)
        assert job
        assert job["status"]["succeeded"] == 1
        assert job["spec"]["template"]["spec"]["containers"][0]["image"] == str(image.ref)


def test_an_unchanged_bare_pod_is_left_running(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    manifest = POD.replace("REPOSITORY", images[0].ref.repository)
    deploy(manifest, images[0])
    before = cluster.get(PODS, "lone", namespace)
    deploy(manifest, images[0])
    after = cluster.get(PODS, "lone", namespace)
    assert before
    assert after
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]


def test_every_other_kind_that_runs_pods(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    manifest = (MANIFESTS / "every-kind.yaml").read_text()
    for image in images:
        rollout = deploy(manifest, image, variables=(("TAG", image.tags[0]),))
        assert rollout.objects[0] == "configmap/settings"
        names = {name.rpartition("-")[0]: found for name, found in running(cluster, namespace)}
        new = {name for name, digest in names.items() if digest == image.digest}
        assert new == {"stateful", "every", f"plain-{image.tags[0]}"}


def test_a_pod_that_crashes_once_at_its_start_is_no_failure(deploy: Deploy, images: Images) -> None:
    manifest = (MANIFESTS / "heals.yaml").read_text()
    assert deploy(manifest, images[0]).state is RolloutState.SUCCEEDED


def test_another_manifest_of_the_same_content(
    deploy: Deploy,
    push: Callable[[str], PushedImage],
    registry: Registry,
    cluster: Cluster,
    namespace: str,
) -> None:
    """A runtime may name the image by the manifest that it pulled first."""
    image = push("of-its-own")
    deploy(POD.replace("REPOSITORY", image.ref.repository), image)
    stored = registry.get_manifest(image.ref.repository, image.tags[0])
    assert stored
    digest = registry.put_manifest(
        image.ref.repository, "again", stored.data + b"\n", stored.media_type
    )
    assert digest != image.digest
    again = replace(image, ref=image.ref.pinned(digest), digest=digest, tags=("again",))
    deploy(POD.replace("REPOSITORY", image.ref.repository), again)
    pod = cluster.get(PODS, "lone", namespace)
    assert pod
    assert pod["spec"]["containers"][0]["image"] == str(again.ref)
    assert running(cluster, namespace) <= {("lone", image.digest), ("lone", digest)}
    deploy(DEPLOYMENT, again, deploy_by="tag")


def test_by_tag_the_digest_is_verified_all_the_same(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    deploy(DEPLOYMENT, images[1], deploy_by="tag")
    live = cluster.get(DEPLOYMENTS, "score", namespace)
    assert live
    image = live["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image == str(images[1].ref.tagged("v2"))
    assert {digest for _, digest in running(cluster, namespace)} == {images[1].digest}


def test_a_set_that_brings_its_namespace_and_its_kind(
    deploy: Deploy, images: Images, cluster: Cluster, unique: str
) -> None:
    inner, group = f"{unique}-in", f"{unique}.example.org"
    manifest = (MANIFESTS / "own-namespace.yaml").read_text()
    definitions = cluster.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert definitions
    try:
        variables = (("INNER", inner), ("GROUP", group))
        rollout = deploy(manifest, images[0], namespace=None, release=unique, variables=variables)
        assert rollout.objects == (
            f"namespace/{inner}",
            f"customresourcedefinition/wishes.{group}",
            "pod/lone",
            "wish/one",
        )
    finally:
        left = [(NAMESPACES, inner, None), (definitions, f"wishes.{group}", None)]
        left += [(kind, f"modelferry.{unique}", cluster.namespace) for kind in (SECRETS, LEASES)]
        for resource, name, where in left:
            if found := cluster.get(resource, name, where):
                cluster.delete(resource, name, where, uid=found["metadata"]["uid"])


@pytest.mark.parametrize("manager", ["kubectl-client-side-apply", "k8s-deploy"])
def test_what_another_tool_applied_before_is_adopted(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str, manager: str
) -> None:
    """Also what it had set and the manifest no longer has goes."""
    before = DEPLOYMENT.replace("image: $IMAGE", f"image: {images[0].ref}")
    body = yaml.safe_load(before)
    body["metadata"]["namespace"] = namespace
    body["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "OLD", "value": "1"}]
    if manager == "k8s-deploy":
        _apply_as(cluster, DEPLOYMENTS, body, namespace, manager)
    else:
        _create_as(cluster, DEPLOYMENTS, body, namespace, manager)
    deploy(DEPLOYMENT, images[1])
    live = cluster.get(DEPLOYMENTS, "score", namespace)
    assert live
    container = live["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == str(images[1].ref)
    assert "env" not in container


def test_a_job_that_kubectl_made_is_run_anew(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    """Its fields are to be taken over, and it cannot be changed in place."""
    body = yaml.safe_load(JOB.replace("$IMAGE", str(images[0].ref)))
    _create_as(cluster, JOBS, body, namespace, "kubectl-client-side-apply")
    rollout = deploy(JOB, images[1])
    assert "± job/rescore" in rollout.diff
    assert "- spec.template.spec.dnsPolicy" not in rollout.diff
    job = cluster.get(JOBS, "rescore", namespace)
    assert job
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == str(images[1].ref)


def test_replicas_are_left_to_an_autoscaler_of_another_kind(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    deploy(DEPLOYMENT, images[0])
    scale(cluster, namespace, 3, manager="keda")
    deploy(DEPLOYMENT, images[1])
    assert replicas(cluster, namespace) == 3


def test_images_lines_reach_containers_by_name(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    manifest = DEPLOYMENT.replace("$IMAGE", "example.org/placeholder")
    other = ImageRef.parse(str(images[0].ref))
    two = f"{manifest}        - {{name: beside, image: {other.name}, command: [sleep, inf]}}\n"
    rules = (
        ImageRule(container="score", image=None),
        ImageRule(container="beside", image=other),
    )
    deploy(two, images[1], images=rules)
    digests = {digest for _, digest in running(cluster, namespace)}
    assert digests == {images[0].digest, images[1].digest}


def _create_as(
    cluster: Cluster, resource: Resource, body: dict, namespace: str, manager: str
) -> None:
    query = [("fieldManager", manager)]
    cluster._transport.json("POST", resource.path(namespace), query=query, body=body)


def _apply_as(
    cluster: Cluster, resource: Resource, body: dict, namespace: str, manager: str
) -> None:
    cluster._transport.json(
        "PATCH",
        resource.path(namespace, body["metadata"]["name"]),
        query=[("fieldManager", manager)],
        body=body,
        content_type="application/apply-patch+yaml",
    )
