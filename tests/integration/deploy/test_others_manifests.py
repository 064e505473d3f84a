"""Manifests in the shapes that other tools' users have, and the tutorial's, unchanged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from modelferry.artifacts import PushedImage, Rollout
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import PODS
from modelferry.errors import InputError, RolloutError
from modelferry.plan.spec import RunContext
from modelferry.rollout.spec import ImageRule

Deploy = Callable[..., Rollout]
Images = tuple[PushedImage, PushedImage]

FOLDER = Path(__file__).parent / "manifests/as-others-have-it"
TUTORIAL = Path(__file__).parents[3] / "examples/tutorial/deploy/deploy.yaml"
WEB = (ImageRule(container="web", image=None),)
JOB = """\
apiVersion: batch/v1
kind: Job
metadata: {name: one}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: web, image: $IMAGE}]}}}
"""


@pytest.fixture
def at_home(testbed: Mapping[str, str], namespace: str) -> dict[str, str | None]:
    """No `namespace`: the kubeconfig's context has one."""
    kubeconfig = yaml.safe_load(Path(testbed["KUBECONFIG"]).read_text())
    for entry in kubeconfig["contexts"]:
        entry["context"]["namespace"] = namespace
    return {"kubeconfig": yaml.safe_dump(kubeconfig), "namespace": None}


def running(cluster: Cluster, namespace: str) -> set[str]:
    pods, _ = cluster.list(PODS, namespace)
    return {
        container["image"]
        for pod in pods
        if "deletionTimestamp" not in pod["metadata"]
        for container in pod["spec"]["containers"]
    }


def test_a_folder_of_deployments_services_and_an_ingress(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str, context: RunContext
) -> None:
    shutil.copytree(FOLDER, context.workspace / "k8s")
    for image in images:
        rollout = deploy("", image, manifests=("k8s",), images=WEB)
        assert rollout.objects == (
            "service/second",
            "service/web",
            "deployment/second",
            "deployment/web",
            "ingress/web",
        )
        assert running(cluster, namespace) == {str(image.ref)}


def test_the_tutorials_pod(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    text = TUTORIAL.read_text()
    assert "$ACR_DNS/model-api:$(Build.BuildId)" in text
    for image in images:
        # the repository has the test's own name
        rollout = deploy(text.replace("/model-api:", f"/{image.ref.repository}:"), image)
        assert "pod/model-api" in rollout.objects
        assert running(cluster, namespace) == {str(image.ref)}
        assert rollout.url
        assert rollout.url.endswith(":88")


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (
            "apiVersion: networking.k8s.io/v1beta1\nkind: Ingress\nmetadata: {name: a}\n",
            "no Ingress of networking.k8s.io/v1beta1, but networking.k8s.io/v1 has one",
        ),
        (
            "apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: a}\n",
            "no Deployment of extensions/v1beta1, but apps/v1 has one",
        ),
        (
            "apiVersion: apps/v1\nkind: Deploymnet\nmetadata: {name: a}\n",
            "no Deploymnet of apps/v1; is Deployment meant?",
        ),
        (
            "apiVersion: keda.sh/v1alpha1\nkind: ScaledJob\nmetadata: {name: a}\n",
            "no ScaledJob of keda.sh/v1alpha1",
        ),
    ],
)
def test_kinds_that_the_cluster_does_not_serve(
    deploy: Deploy, images: Images, manifest: str, told: str
) -> None:
    with pytest.raises(RolloutError) as raised:
        deploy(f"{JOB}---\n{manifest}", images[0])
    assert told in raised.value.what
    assert [(place.file, place.line) for place in raised.value.annotations] == [("app.yaml", 7)]


def test_one_object_twice_by_the_kubeconfigs_own_namespace(
    deploy: Deploy, images: Images, namespace: str, at_home: dict
) -> None:
    twice = JOB + "---\n" + JOB.replace("{name: one}", f"{{name: one, namespace: {namespace}}}")
    with pytest.raises(InputError, match=r"app.yaml:6: job/one stands in app.yaml:1 already"):
        deploy(twice, images[0], **at_home)


def test_a_namespace_on_what_has_none(
    deploy: Deploy, images: Images, cluster: Cluster, unique: str, at_home: dict
) -> None:
    """As kubectl does, it is passed over."""
    priority = f"""\
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {{name: {unique}, namespace: nowhere}}
value: 7
---
"""
    resource = cluster.resource("scheduling.k8s.io/v1", "PriorityClass")
    assert resource
    try:
        job = JOB.replace("web, ", "web, env: [{name: MODE, value: end}], ")
        deploy(priority + job, images[0], **at_home)
    finally:
        if live := cluster.get(resource, unique, None):
            cluster.delete(resource, unique, None, uid=live["metadata"]["uid"])
