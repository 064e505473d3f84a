"""What a rollback, a replacement or another release must not take: what is not ours."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from modelferry.artifacts import PushedImage, Rollout
from modelferry.cluster.access import ClusterAccess
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import PODS, SECRETS, Resource
from modelferry.errors import RollbackError, RolloutError, RolloutFailed
from modelferry.last_release.tags import meaning
from modelferry.plan.spec import RollbackPlan, RunContext
from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry
from modelferry.rollout import apply
from modelferry.rollout.release.turn import Turn
from modelferry.rollout.spec import RollbackSpec
from modelferry.stages.rollback import roll_back, would_return
from modelferry.values import Secret

Deploy = Callable[..., Rollout]
Images = tuple[PushedImage, PushedImage]

CONFIG_MAPS = Resource(api_version="v1", kind="ConfigMap", plural="configmaps", namespaced=True)
DEPLOYMENTS = Resource(
    api_version="apps/v1", kind="Deployment", plural="deployments", namespaced=True
)
ADMISSION = "admissionregistration.k8s.io/v1"
RULES = tuple(
    Resource(api_version=ADMISSION, kind=kind, plural=plural, namespaced=False)
    for kind, plural in (
        ("ValidatingAdmissionPolicy", "validatingadmissionpolicies"),
        ("ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"),
    )
)
CRDS = Resource(
    api_version="apiextensions.k8s.io/v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
    namespaced=False,
)


def document(kind: str, name: str, api_version: str = "v1", **body: Any) -> str:
    whole = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **body}
    return f"---\n{yaml.safe_dump(whole)}"


def config(name: str, **data: str) -> str:
    return document("ConfigMap", name, data=data)


def job(command: str, name: str = "prepare") -> str:
    """Its end is soon the end of the rollout, one way or the other."""
    container = {"name": "score", "image": "$IMAGE", "command": [command]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"backoffLimit": 0, "template": template}
    return document("Job", name, "batch/v1", spec=spec)


GOOD, BAD = job("true"), job("false", "fails")
PODS_SPEC = """\
      terminationGracePeriodSeconds: 0
      containers:
        - name: score
          image: $IMAGE
          imagePullPolicy: Always
          env: [{name: MODE, value: serve}]
          readinessProbe: {httpGet: {path: /, port: 8000}, periodSeconds: 1}
"""
SERVING = f"""\
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: score}}
spec:
  selector: {{matchLabels: {{app: score}}}}
  template:
    metadata: {{labels: {{app: score}}}}
    spec:
{PODS_SPEC}"""


def lone(name: str = "lone") -> str:
    return f"---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n" + PODS_SPEC


def made_by_somebody(cluster: Cluster, namespace: str, name: str = "shared") -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"mine": "x"},
    }
    path = CONFIG_MAPS.path(namespace)
    query = [("fieldManager", "kubectl-client-side-apply")]
    cluster._transport.json("POST", path, query=query, body=body)


def data(cluster: Cluster, namespace: str, name: str = "shared") -> Mapping[str, str] | None:
    found = cluster.get(CONFIG_MAPS, name, namespace)
    return found and found["data"]


# Only what our applies made is removed


def test_what_was_made_after_a_killed_run_is_not_removed(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deploy(GOOD, images[0], run="100")

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(apply, "carry_out", killed)
    with pytest.raises(KeyboardInterrupt):
        deploy(GOOD + config("shared", a="1"), images[0], run="101")
    monkeypatch.undo()
    made_by_somebody(cluster, namespace)
    with pytest.raises(RolloutFailed) as raised:
        deploy(GOOD + config("shared", a="1") + BAD, images[0], run="102")
    assert raised.value.rolled_back
    assert data(cluster, namespace) == {"mine": "x"}


def test_what_was_made_between_the_dry_run_and_the_apply_is_not_removed(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deploy(GOOD, images[0], run="100")
    begin = Turn.begin

    def slowly(*given: Any) -> None:
        begin(*given)
        made_by_somebody(cluster, namespace)

    monkeypatch.setattr(Turn, "begin", slowly)
    with pytest.raises(RolloutFailed) as raised:
        deploy(GOOD + config("shared", a="1") + config("ours") + BAD, images[0], run="101")
    found = data(cluster, namespace)
    assert found
    assert found["mine"] == "x"
    assert "configmap/shared was made by somebody else meanwhile, and stays" in raised.value.seen
    assert cluster.get(CONFIG_MAPS, "ours", namespace) is None


def definition(group: str, *versions: str) -> str:
    served = [
        {
            "name": name,
            "served": True,
            "storage": name == versions[0],
            "schema": {
                "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            },
        }
        for name in versions
    ]
    names = {"kind": "Basin", "plural": "basins", "singular": "basin"}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": served}
    return document("CustomResourceDefinition", f"basins.{group}", CRDS.api_version, spec=spec)


def test_an_object_of_a_kind_whose_new_version_comes_is_not_removed(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str, unique: str
) -> None:
    group = f"{unique}.example.org"
    basins = Resource(
        api_version=f"{group}/v1alpha1", kind="Basin", plural="basins", namespaced=True
    )
    made = cluster.apply(CRDS, yaml.safe_load(definition(group, "v1alpha1")), None)
    try:
        body = {
            "apiVersion": f"{group}/v1alpha1",
            "kind": "Basin",
            "metadata": {"name": "deep"},
            "spec": {"size": 1},
        }
        _soon(lambda: cluster.apply(basins, body, namespace))
        deploy(GOOD, images[0], run="100")
        new = document("Basin", "deep", f"{group}/v1", spec={"size": 2})
        with pytest.raises(RolloutFailed) as raised:
            deploy(GOOD + definition(group, "v1alpha1", "v1") + new + BAD, images[0], run="101")
        assert raised.value.rolled_back, raised.value
        found = cluster.get(basins, "deep", namespace)
        assert found
        assert found["spec"] == {"size": 1}
    finally:
        cluster.delete(CRDS, f"basins.{group}", None, uid=made["metadata"]["uid"])


def _soon(act: Callable[[], object]) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            act()
        except RolloutError:
            if time.monotonic() > until:
                raise
            time.sleep(0.3)
        else:
            return


# Two releases in one namespace


def test_what_another_release_brought_is_refused_by_name(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    deploy(config("shared", a="1") + job("true", "one"), images[0], release="one", run="100")
    two = job("true", "two")
    with pytest.raises(RolloutError, match=rf"configmap/shared: .*release {namespace}/one") as told:
        deploy(config("shared", a="2") + two, images[0], release="two", run="50")
    assert not isinstance(told.value, RolloutFailed)
    deploy(config("shared", a="1") + two, images[0], release="two", run="51")
    deploy(config("shared", a="3") + job("true", "one"), images[0], release="one", run="101")
    deploy(config("shared", a="4") + two, images[0], release="two", run="52", force=True)
    with pytest.raises(RolloutError, match=f"belongs to release {namespace}/two"):
        deploy(config("shared", a="5") + job("true", "one"), images[0], release="one", run="102")
    assert data(cluster, namespace) == {"a": "4"}


def test_a_rollback_leaves_alone_what_another_release_took_meanwhile(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    deploy(config("shared", a="1") + job("true", "one"), images[0], release="one", run="100")
    carry_out = apply.carry_out

    def and_then(*given: Any, **more: Any) -> Any:
        monkeypatch.setattr(apply, "carry_out", carry_out)
        found = carry_out(*given, **more)
        taken = config("shared", a="3") + job("true", "two")
        deploy(taken, images[0], release="two", run="50", force=True)
        return found

    monkeypatch.setattr(apply, "carry_out", and_then)
    bad = config("shared", a="2") + job("true", "one") + BAD
    with pytest.raises(RolloutFailed) as raised:
        deploy(bad, images[0], release="one", run="101")
    assert f"belongs to release {namespace}/two by now" in raised.value.seen
    assert data(cluster, namespace) == {"a": "3"}


# A tag that moves


def moved(registry: Registry, image: PushedImage, tag: str) -> PushedImage:
    """`tag` means this image from now on."""
    found = registry.get_manifest(image.ref.repository, str(image.digest))
    assert found
    registry.put_manifest(image.ref.repository, tag, found.data, found.media_type)
    return replace(image, tags=(tag,))


def test_what_a_tag_means_now(images: Images, testbed: Mapping[str, str]) -> None:
    """Known without a question of what was pushed by this very run, else asked."""
    access = RegistryAccess(
        host=testbed["TESTBED_REGISTRY"],
        username=testbed["TESTBED_REGISTRY_USERNAME"],
        password=Secret(testbed["TESTBED_REGISTRY_PASSWORD"]),
        plain_http=True,
    )
    first, second = images
    name = first.ref.tagged(first.tags[0])
    assert meaning(str(name), replace(second, tags=first.tags), None) == second.digest
    assert meaning(str(name), second, None) is None
    assert meaning(str(name), second, access) == first.digest
    assert meaning(str(name.tagged("none")), second, access) is None


def image_of(cluster: Cluster, namespace: str) -> str:
    live = cluster.get(DEPLOYMENTS, "score", namespace)
    assert live
    return live["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.mark.parametrize("deploy_by", ["digest", "tag"])
def test_a_rollback_to_a_tag_that_has_moved_returns_to_what_ran(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    registry: Registry,
    unique: str,
    deploy_by: str,
) -> None:
    first = moved(registry, images[0], unique)
    by_hand = SERVING.replace("$IMAGE", str(first.ref.tagged(unique)))
    body = yaml.safe_load(by_hand)
    cluster._transport.json(
        "POST",
        DEPLOYMENTS.path(namespace),
        query=[("fieldManager", "kubectl-client-side-apply")],
        body=body,
    )
    _soon(lambda: _ready(cluster, namespace))
    second = moved(registry, images[1], unique)
    with pytest.raises(RolloutFailed) as raised:
        deploy(SERVING + BAD, second, deploy_by=deploy_by)
    assert raised.value.rolled_back
    assert image_of(cluster, namespace) == str(images[0].ref)
    assert f"{first.ref.tagged(unique)} means another image by now" in raised.value.seen
    assert _versions(cluster, namespace) == {str(images[0].digest)}


def _ready(cluster: Cluster, namespace: str) -> None:
    live = cluster.get(DEPLOYMENTS, "score", namespace)
    if not live or not live["status"].get("readyReplicas"):
        raise RolloutError("not ready yet")


def _versions(cluster: Cluster, namespace: str) -> set[str]:
    pods, _ = cluster.list(PODS, namespace)
    return {
        pod["status"]["containerStatuses"][0]["imageID"].rpartition("@")[2]
        for pod in pods
        if pod["metadata"].get("labels", {}).get("app") == "score"
        and "deletionTimestamp" not in pod["metadata"]
    }


def test_a_new_image_behind_the_same_tag_replaces_the_pods(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    registry: Registry,
    unique: str,
) -> None:
    def run(image: PushedImage, number: str) -> str:
        pushed = moved(registry, image, unique)
        rollout = deploy(SERVING + lone(), pushed, run=number, deploy_by="tag")
        assert _versions(cluster, namespace) == {str(image.digest)}
        pod = cluster.get(PODS, "lone", namespace)
        assert pod
        assert pod["status"]["containerStatuses"][0]["imageID"].endswith(str(image.digest))
        return rollout.diff

    run(images[0], "100")
    assert "(its tag means another image now)" in run(images[1], "101")
    assert "leave deployment/score, pod/lone" in run(images[1], "102")


# What is made anew


def test_what_others_wrote_into_a_secret_is_not_lost(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    deploy(GOOD + document("Secret", "keys", stringData={"a": "1"}), images[0], run="100")
    body = {"data": {"crt": "MQ=="}}
    cluster._transport.json(
        "PATCH",
        SECRETS.path(namespace, "keys"),
        query=[("fieldManager", "cert-manager")],
        body=body,
        content_type="application/merge-patch+json",
    )
    other = document("Secret", "keys", stringData={"a": "1"}, type="example.org/other")
    with pytest.raises(RolloutError, match=r"cert-manager owns data\.crt") as raised:
        deploy(GOOD + other, images[0], run="101")
    assert not isinstance(raised.value, RolloutFailed)
    kept = cluster.get(SECRETS, "keys", namespace)
    assert kept
    assert kept["data"]["crt"] == "MQ=="


def rule_on_creation(namespace: str) -> tuple[str, str]:
    """An admission rule that no pod may be made; the ones that are there may be changed."""
    rules = [
        {
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "resources": ["pods"],
            "operations": ["CREATE"],
        }
    ]
    where = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": rules, "namespaceSelector": where},
        "validations": [{"expression": "false", "message": "no pods at night"}],
    }
    binding = {"policyName": namespace, "validationActions": ["Deny"]}
    return (
        document("ValidatingAdmissionPolicy", namespace, ADMISSION, spec=policy),
        document("ValidatingAdmissionPolicyBinding", namespace, ADMISSION, spec=binding),
    )


def test_a_successor_that_would_be_refused_costs_no_pod(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    deploy(lone(), images[0], run="100")
    before = cluster.get(PODS, "lone", namespace)
    assert before
    made = [
        (resource, cluster.apply(resource, yaml.safe_load(text), None))
        for resource, text in zip(RULES, rule_on_creation(namespace), strict=True)
    ]
    try:
        body = yaml.safe_load(lone().replace("$IMAGE", "x"))
        _soon(lambda: _refused(cluster, body, namespace))
        with pytest.raises(RolloutError, match="no pods at night") as raised:
            deploy(lone(), images[1], run="101")
    finally:
        for resource, rule in made:
            cluster.delete(resource, namespace, None, uid=rule["metadata"]["uid"])
    assert not isinstance(raised.value, RolloutFailed)
    after = cluster.get(PODS, "lone", namespace)
    assert after
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


def _refused(cluster: Cluster, body: Any, namespace: str) -> None:
    try:
        cluster.try_to_create(PODS, body, namespace)
    except RolloutError as error:
        if "no pods at night" in error.what:
            return
        raise
    raise RolloutError("the rule is not known yet")


def test_what_goes_slowly_takes_no_time_from_what_comes_back(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    deploy(SERVING, images[0], run="100")
    held = document("ConfigMap", "held").replace("name: held", "name: held\n  finalizers: [a/b]")
    with pytest.raises(RollbackError) as raised:
        deploy(SERVING + held + BAD, images[1], run="101", rollback_timeout_s=20)
    ended = time.time()
    (watch,) = (told for told in caplog.records if told.message == "watching what came back")
    assert ended - watch.created > 10
    assert "the rollback failed: not all is as it was before: app.yaml:" in raised.value.what
    assert "configmap/held was deleted, and is still there" in raised.value.what
    assert "deployment/score" not in raised.value.seen.partition("The rollback:")[2]
    operations = [{"op": "remove", "path": "/metadata/finalizers"}]
    cluster.patch(CONFIG_MAPS, "held", namespace, operations)


# By hand


def test_a_quota_that_goes_with_the_way_back_does_not_bar_it(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    context: RunContext,
    testbed: Mapping[str, str],
) -> None:
    deploy(lone() + lone("second"), images[0], run="100")
    second = cluster.get(PODS, "second", namespace)
    assert second
    cluster.delete(PODS, "second", namespace, uid=second["metadata"]["uid"])
    quota = document("ResourceQuota", "tight", spec={"hard": {"pods": "1"}})
    deploy(lone() + quota, images[0], run="101")
    _soon(lambda: _counted(cluster, namespace))
    access = ClusterAccess(path=testbed["KUBECONFIG"])
    spec = RollbackSpec(release="app", namespace=namespace, to="1", timeout_s=60)
    plan = RollbackPlan(cluster=access, spec=spec)
    told = would_return(plan)
    assert "- resourcequota/tight: remove" in told
    rollout = roll_back(plan, replace(context, run_id="500"))
    assert rollout.diff in told
    assert (rollout.image, rollout.of, rollout.release) == (str(images[0].ref), 1, 3)
    assert cluster.get(PODS, "second", namespace)


def _counted(cluster: Cluster, namespace: str) -> None:
    quotas = Resource(
        api_version="v1", kind="ResourceQuota", plural="resourcequotas", namespaced=True
    )
    found = cluster.get(quotas, "tight", namespace)
    if not found or found.get("status", {}).get("used", {}).get("pods") != "1":
        raise RolloutError("not counted yet")
