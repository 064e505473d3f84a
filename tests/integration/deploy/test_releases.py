"""Releases on the testbed's cluster: the way back, the history, and whose turn it is."""

from __future__ import annotations

import base64
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from modelferry.artifacts import PushedImage, Rollout, RolloutState
from modelferry.cluster.access import ClusterAccess
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import LEASES, PODS, REPLICA_SETS, SECRETS, Resource
from modelferry.errors import Cancelled, InputError, RollbackError, RolloutError, RolloutFailed
from modelferry.plan.spec import RollbackPlan, RunContext
from modelferry.rollout.release import history, turn, waiting
from modelferry.rollout.release.claim import BEAT_S, LIFE_S
from modelferry.rollout.release.history import Record
from modelferry.rollout.release.lease import Superseded
from modelferry.rollout.release.stale import Intent
from modelferry.rollout.spec import RollbackSpec
from modelferry.stages.history import read_history, table
from modelferry.stages.rollback import roll_back
from tests.service_account import log_in

Deploy = Callable[..., Rollout]
Images = tuple[PushedImage, PushedImage]
Body = Mapping[str, Any]

CONFIG_MAPS = Resource(api_version="v1", kind="ConfigMap", plural="configmaps", namespaced=True)
DEPLOYMENTS = Resource(
    api_version="apps/v1", kind="Deployment", plural="deployments", namespaced=True
)


JOBS = Resource(api_version="batch/v1", kind="Job", plural="jobs", namespaced=True)


def deployment(mode: str = "serve", env: str = "", name: str = "score", more: str = "") -> str:
    return f"""\
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  {more}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - name: score
          image: $IMAGE
          env: [{{name: MODE, value: "{mode}"}}{env}]
          readinessProbe: {{httpGet: {{path: /, port: 8000}}, periodSeconds: 1}}
"""


def config(name: str, **data: str) -> str:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
    return f"---\n{yaml.safe_dump(body)}"


POD = """\
---
apiVersion: v1
kind: Pod
metadata: {name: lone}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: score
      image: $IMAGE
      readinessProbe: {httpGet: {path: /, port: 8000}, periodSeconds: 1}
"""
JOB = """\
---
apiVersion: batch/v1
kind: Job
metadata: {name: prepare}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: score, image: $IMAGE, command: ["true"]}]
"""
SECRET = """\
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {token: VALUE}
"""


def data(cluster: Cluster, namespace: str, name: str) -> Any:
    found = cluster.get(CONFIG_MAPS, name, namespace)
    return found and found["data"]


# The way back


def test_all_that_was_changed_is_again_as_it_was(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    good = config("settings", a="1", b="2") + deployment(env=", {name: OLD, value: x}") + POD + JOB
    deploy(good, images[0], run="100")
    before = cluster.get(DEPLOYMENTS, "score", namespace)
    bad = (
        config("settings", a="9", c="3") + config("extra", d="4") + deployment("crash") + POD + JOB
    )
    with pytest.raises(RolloutFailed) as raised:
        deploy(bad + deployment(name="second"), images[1], run="101")
    error = raised.value
    assert error.rolled_back
    assert error.status == 8
    assert error.previous_image == str(images[0].ref)
    assert "ImportError: no module named onnxruntime" in error.what
    assert data(cluster, namespace, "settings") == {"a": "1", "b": "2"}
    assert cluster.get(CONFIG_MAPS, "extra", namespace) is None
    assert cluster.get(DEPLOYMENTS, "second", namespace) is None
    after = cluster.get(DEPLOYMENTS, "score", namespace)
    assert before
    assert after
    assert after["spec"] == before["spec"]
    sets, _ = cluster.list(REPLICA_SETS, namespace)
    assert sorted(found["status"]["replicas"] for found in sets) == [0, 1]
    pod = cluster.get(PODS, "lone", namespace)
    assert pod
    assert pod["spec"]["containers"][0]["image"] == str(images[0].ref)
    assert pod["status"]["containerStatuses"][0]["ready"]
    assert cluster.get(JOBS, "prepare", namespace) is None
    assert "- job/prepare had come to its end before, and is not run again" in error.seen


@pytest.mark.parametrize("manager", ["kubectl-client-side-apply", "kubectl", "k8s-deploy"])
def test_what_another_tool_had_deployed_comes_back_too(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str, manager: str
) -> None:
    """Our first release is not the first of this app."""
    env = ", {name: OLD, value: x}"
    for text in (config("settings", a="1"), deployment(env=env)):
        body = yaml.safe_load(text.replace("$IMAGE", str(images[0].ref)))
        body["metadata"]["namespace"] = namespace
        resource = CONFIG_MAPS if body["kind"] == "ConfigMap" else DEPLOYMENTS
        is_update = manager == "kubectl-client-side-apply"
        cluster._transport.json(
            "POST" if is_update else "PATCH",
            resource.path(namespace, "" if is_update else body["metadata"]["name"]),
            query=[("fieldManager", manager)],
            body=body,
            content_type="application/json" if is_update else "application/apply-patch+yaml",
        )
    before = cluster.get(DEPLOYMENTS, "score", namespace)
    with pytest.raises(RolloutFailed) as raised:
        deploy(config("settings", a="2") + deployment("crash"), images[1])
    assert raised.value.rolled_back
    assert raised.value.previous_image == str(images[0].ref)
    after = cluster.get(DEPLOYMENTS, "score", namespace)
    assert before
    assert after
    assert after["spec"] == before["spec"]
    assert data(cluster, namespace, "settings") == {"a": "1"}


def test_the_first_release_has_nothing_to_return_to(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    with pytest.raises(RolloutFailed, match="crashed") as raised:
        deploy(config("settings", a="1") + deployment("crash"), images[0], run="100")
    assert not raised.value.rolled_back
    assert "nothing to return to: no release has succeeded yet" in raised.value.seen
    assert data(cluster, namespace, "settings") == {"a": "1"}
    assert deploy(deployment(), images[0], run="101").state is RolloutState.SUCCEEDED


def test_rollback_false_leaves_the_failure_to_look_at(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    deploy(config("settings", a="1") + deployment(), images[0], run="100")
    with pytest.raises(RolloutFailed) as raised:
        deploy(
            config("settings", a="2") + deployment("crash"), images[1], run="101", rollback=False
        )
    assert not raised.value.rolled_back
    assert data(cluster, namespace, "settings") == {"a": "2"}
    with pytest.raises(RolloutFailed) as raised:
        deploy(config("settings", a="3") + deployment("crash"), images[1], run="102")
    assert raised.value.rolled_back, "it knows what the last good release was"
    assert data(cluster, namespace, "settings") == {"a": "1"}


def test_a_rollback_that_fails_says_both_causes(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    env = ", {name: KEY, valueFrom: {secretKeyRef: {name: keys, key: token}}}"
    more = "strategy: {type: Recreate}"
    deploy(SECRET + deployment(env=env, more=more), images[0], run="100")
    secret = cluster.get(SECRETS, "keys", namespace)
    assert secret
    cluster.delete(SECRETS, "keys", namespace, uid=secret["metadata"]["uid"])
    with pytest.raises(RollbackError) as raised:
        deploy(deployment("crash", more=more), images[1], run="101", rollback_timeout_s=60)
    error = raised.value
    assert error.status == 9
    assert re.search(r"crashed .* and the rollback failed: .*secret \"keys\" not found", error.what)
    assert error.previous_image == str(images[0].ref)
    records = read_records(cluster, namespace)
    assert [record.verdict for record in records] == ["rollback-failed", "succeeded"]


def test_a_claim_that_has_got_its_class_stays_as_it_is(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    back: Callable[..., Rollout],
) -> None:
    claim = """---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}
"""
    deploy(claim + deployment(), images[0], run="100")
    named = claim.replace("{access", "{storageClassName: t-none, access")
    with pytest.raises(RolloutFailed) as raised:
        deploy(named + deployment("crash"), images[1], run="101")
    assert raised.value.rolled_back
    assert "persistentvolumeclaim/data stays as it is now" in raised.value.seen
    assert image_of(cluster, namespace) == str(images[0].ref)

    deploy(named + deployment(), images[1], run="102")
    assert image_of(cluster, namespace) == str(images[1].ref)
    assert "= persistentvolumeclaim/data: stays as it is now" in back("1").diff
    assert image_of(cluster, namespace) == str(images[0].ref)


def test_an_account_that_is_named_no_more_is_gone(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    """Not so with kubectl apply: what the API server filled in brings the name back."""

    def account() -> str | None:
        live = cluster.get(DEPLOYMENTS, "score", namespace)
        return live and live["spec"]["template"]["spec"].get("serviceAccountName")

    without = deployment()
    ghost = without.replace("terminationGrace", "serviceAccountName: ghost\n      terminationGrace")
    deploy(without, images[0], run="100")
    with pytest.raises(RolloutFailed, match='serviceaccount "ghost" not found') as raised:
        deploy(ghost, images[1], run="101")
    assert raised.value.rolled_back
    assert account() is None

    deploy(ghost.replace("ghost", "default"), images[1], run="102")
    assert account() == "default"
    deploy(without, images[1], run="103")
    assert account() is None


def image_of(cluster: Cluster, namespace: str) -> str:
    live = cluster.get(DEPLOYMENTS, "score", namespace)
    assert live
    return live["spec"]["template"]["spec"]["containers"][0]["image"]


def read_records(cluster: Cluster, namespace: str, release: str = "app"):
    return turn.read(cluster, release, namespace) or ()


def test_a_refusal_in_mid_apply_is_brought_back_too(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    """The dry run cannot see a quota that two objects of one set exceed together."""
    deploy(config("settings", a="1") + deployment(), images[0], run="100")
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few"},
        "spec": {"hard": {"count/configmaps": "3"}},  # kube-root-ca.crt is one
    }
    resource = cluster.resource("v1", "ResourceQuota")
    assert resource
    cluster.apply(resource, quota, namespace)
    until = time.monotonic() + 10
    while not (cluster.get(resource, "few", namespace) or {}).get("status", {}).get("used"):
        assert time.monotonic() < until
        time.sleep(0.2)
    more = config("one", a="1") + config("two", a="1")
    with pytest.raises(
        RolloutFailed, match=r"refused configmap/two: .*exceeded quota: few"
    ) as raised:
        deploy(config("settings", a="2") + more + deployment(), images[1], run="101")
    assert raised.value.rolled_back
    assert (
        raised.value.do
        == "Ask for less, free some of it, or have it raised: kubectl describe quota"
    )
    assert raised.value.annotations[0].file == "app.yaml"
    assert data(cluster, namespace, "settings") == {"a": "1"}
    assert cluster.get(CONFIG_MAPS, "one", namespace) is None


def test_a_stateful_set_does_not_wait_in_vain_for_the_pods_that_failed(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    def stateful(mode: str) -> str:
        text = deployment(mode, more="serviceName: score\n  replicas: 2")
        return text.replace("kind: Deployment", "kind: StatefulSet")

    with pytest.raises(RolloutFailed):
        deploy(stateful("crash"), images[0], run="100")
    deploy(stateful("serve"), images[0], run="101")
    secret = SECRET.replace("VALUE", "one-or-so")
    deploy(secret + stateful("serve"), images[0], run="102")
    with pytest.raises(RolloutFailed) as raised:
        deploy(SECRET.replace("VALUE", "two-or-so") + stateful("crash"), images[1], run="103")
    assert raised.value.rolled_back
    kept = cluster.get(SECRETS, "keys", namespace)
    assert kept
    assert kept["data"] == {"token": base64.b64encode(b"one-or-so").decode()}
    pods, _ = cluster.list(PODS, namespace)
    assert {pod["spec"]["containers"][0]["image"] for pod in pods} == {str(images[0].ref)}


def test_a_cancel_lets_go_and_is_on_record(cluster: Cluster, namespace: str) -> None:
    begun = Record(
        number=0,
        verdict=history.PENDING,
        image="r/a@sha256:1",
        digest="sha256:1",
        run="100/1",
        started=turn.now_utc(),
    )

    def cancelled() -> None:
        with turn.taken(cluster, "app", namespace, Intent("100", 1), wait_s=5) as now:
            now.begin(begun)
            raise Cancelled

    with pytest.raises(Cancelled) as raised:
        cancelled()
    assert "left half done" in raised.value.__notes__[0]
    assert "returns to what was there before" in raised.value.__notes__[0]
    lease = cluster.get(LEASES, "modelferry.app", namespace)
    assert lease
    assert not lease["spec"].get("holderIdentity")
    assert [record.verdict for record in read_records(cluster, namespace)] == ["cancelled"]


# The history


@pytest.fixture
def back(namespace: str, context: RunContext, testbed: Mapping[str, str]) -> Callable[..., Rollout]:
    def run(to: str | None = None, *, number: str = "500") -> Rollout:
        spec = RollbackSpec(release="app", namespace=namespace, to=to, timeout_s=60)
        access = ClusterAccess(path=testbed["KUBECONFIG"])
        plan = RollbackPlan(cluster=access, spec=spec)
        return roll_back(plan, replace(context, run_id=number))

    return run


def test_history_and_the_way_to_any_release(
    deploy: Deploy,
    back: Callable[..., Rollout],
    images: Images,
    cluster: Cluster,
    namespace: str,
    testbed: Mapping[str, str],
) -> None:
    deploy(config("settings", a="1") + deployment(), images[0], run="100")
    deploy(config("settings", a="2") + config("extra", b="1") + deployment(), images[1], run="101")
    with pytest.raises(RolloutFailed):
        deploy(config("settings", a="3") + deployment("crash"), images[0], run="102")
    deploy(config("settings", a="4") + deployment(), images[1], run="103")

    def image() -> str:
        live = cluster.get(DEPLOYMENTS, "score", namespace)
        assert live
        return live["spec"]["template"]["spec"]["containers"][0]["image"]

    found = back()
    assert found.state is RolloutState.ROLLED_BACK
    assert data(cluster, namespace, "settings") == {"a": "2"}
    assert data(cluster, namespace, "extra") == {"b": "1"}
    found = back("1")
    assert found.previous_image == str(images[1].ref)
    assert found.model_version == images[0].model_version
    assert image() == str(images[0].ref)
    assert data(cluster, namespace, "settings") == {"a": "1"}
    assert data(cluster, namespace, "extra") is None, "release 2 brought it"
    back(str(images[1].digest))
    assert data(cluster, namespace, "settings") == {"a": "4"}
    with pytest.raises(InputError, match=r"no such number.*there are: 4 \(sha256:.*, 2 .*, 1 "):
        back("3")
    access = ClusterAccess(path=testbed["KUBECONFIG"])
    records = read_history(access, "app", namespace)
    assert [(r.number, r.verdict, r.of) for r in records] == [
        (7, "returned-to", 4),
        (6, "returned-to", 1),
        (5, "returned-to", 2),
        (4, "succeeded", None),
        (3, "rolled-back", None),
        (2, "succeeded", None),
        (1, "succeeded", None),
    ]
    assert "crashed" in records[4].why
    shown = table(records, "app", namespace)
    assert re.search(r"^7 \*\s+returned-to 4 ", shown, re.MULTILINE)
    with pytest.raises(Superseded, match="run 500 has deployed this release"):
        deploy(deployment(), images[0], run="104")


def test_there_is_no_way_back_from_the_only_release(
    deploy: Deploy, back: Callable[..., Rollout], images: Images
) -> None:
    with pytest.raises(RolloutError, match="there is no history of app"):
        back()
    deploy(deployment(), images[0])
    with pytest.raises(InputError, match="has none before the current one"):
        back()


def test_secrets_stay_secret(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    env = ", {name: COPY, value: hunter2-or-so}"
    deploy(SECRET.replace("VALUE", "hunter2-or-so") + deployment(env=env), images[0], run="100")
    second = SECRET.replace("VALUE", "hunter3-or-so") + deployment(env=env.replace("2", "3"))
    rollout = deploy(second, images[1], run="101")
    assert "data.token: *** → *** (another value)" in rollout.diff
    assert "env[COPY].value: *** → ***" in rollout.diff
    kept = cluster.get(SECRETS, "modelferry.app", namespace)
    assert kept
    everything = caplog.text + rollout.diff + json.dumps(kept["metadata"])
    for value in ("hunter2-or-so", "hunter3-or-so"):
        assert value not in everything
        assert base64.b64encode(value.encode()).decode() not in everything


def test_ten_records_are_kept(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    for number in range(12):
        deploy(deployment(), images[0], run=str(100 + number))
    records = read_records(cluster, namespace)
    # of releases that are all the same the first stays, which knows what it brought
    assert [record.number for record in records] == [*range(12, 3, -1), 1]


# Whose turn it is


def test_an_older_run_that_comes_late_is_refused_by_name(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    deploy(deployment(), images[0], run="20000000001")
    with pytest.raises(Superseded, match=r"run 20000000001 has deployed .* than run 19999999999"):
        deploy(deployment(), images[1], run="19999999999")
    deploy(deployment(), images[1], run="19999999999", allow_older=True)
    deploy(deployment(), images[0], run="19999999998", attempt=2)
    deploy(deployment(), images[1], run="20261122195316")
    deploy(deployment(), images[1], run="20000000002")
    with pytest.raises(Superseded, match="run 20000000002 has deployed"):
        deploy(deployment(), images[0], run="20000000001")


def test_a_newer_run_waits_for_the_one_that_writes_and_the_older_one_gives_way(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    slow = deployment("sick")
    ends: dict[str, BaseException | Rollout] = {}

    def older() -> None:
        try:
            ends["100"] = deploy(slow, images[0], run="100", timeout_s=50)
        except RolloutError as error:
            ends["100"] = error

    thread = threading.Thread(target=older)
    thread.start()
    until = time.monotonic() + 20
    while not cluster.get(DEPLOYMENTS, "score", namespace):
        assert time.monotonic() < until
        time.sleep(0.1)
    rollout = deploy(deployment(), images[1], run="101")
    thread.join()
    assert rollout.state is RolloutState.SUCCEEDED
    assert isinstance(ends["100"], Superseded)
    assert "run 101 is newer than run 100" in ends["100"].what
    assert [r.verdict for r in read_records(cluster, namespace)] == ["succeeded", "superseded"]


def test_the_older_of_two_is_told_at_once(cluster: Cluster, namespace: str) -> None:
    hold = waiting.take(cluster, "app", namespace, Intent("200", 1), wait_s=5)
    assert hold
    try:
        with pytest.raises(Superseded, match="run 200 is newer than run 199"):
            waiting.take(cluster, "app", namespace, Intent("199", 1), wait_s=30)
        other = waiting.take(cluster, "other", namespace, Intent("199", 1), wait_s=1)
        assert other
        other.release()
        with pytest.raises(RolloutError, match="run 200 still deploys this release after 1 s"):
            waiting.take(cluster, "app", namespace, Intent("201", 1), wait_s=1)
    finally:
        hold.release()
    started = time.monotonic()
    again = waiting.take(cluster, "app", namespace, Intent("199", 1), wait_s=5)
    assert again
    again.release()
    assert time.monotonic() - started < LIFE_S / 2


def patch_lease(cluster: Cluster, namespace: str, path: str, value: str) -> None:
    operations = [{"op": "add", "path": path, "value": value}]
    cluster.patch(LEASES, "modelferry.app", namespace, operations)


def test_a_run_that_waited_and_was_killed_is_not_waited_for(
    cluster: Cluster, namespace: str
) -> None:
    hold = waiting.take(cluster, "app", namespace, Intent("200", 1), wait_s=5)
    assert hold
    stamp = "2026-11-22T20:00:00.000000Z"
    patch_lease(cluster, namespace, "/metadata/annotations/modelferry~1next", f"300/1 dead {stamp}")
    time.sleep(3 * BEAT_S)
    hold.heed()  # gives no sign of life: nobody makes way
    hold.release()


def test_the_lease_of_a_run_that_died_long_ago_is_free(cluster: Cluster, namespace: str) -> None:
    hold = waiting.take(cluster, "app", namespace, Intent("200", 1), wait_s=5)
    assert hold
    hold._stop.set()  # it renews no more, and does not let go either
    time.sleep(BEAT_S)
    patch_lease(cluster, namespace, "/spec/renewTime", "2025-01-01T00:00:00.000000Z")
    again = waiting.take(cluster, "app", namespace, Intent("201", 1), wait_s=5)
    assert again
    again.release()


def test_a_lease_that_was_taken_away_ends_the_run(cluster: Cluster, namespace: str) -> None:
    hold = waiting.take(cluster, "app", namespace, Intent("200", 1), wait_s=5)
    assert hold
    patch_lease(cluster, namespace, "/spec/holderIdentity", "300/1 abcd")
    time.sleep(2 * BEAT_S)
    with pytest.raises(Superseded, match="run 200 lost its turn to run 300"):
        hold.check()
    hold.release()
    lease = cluster.get(LEASES, "modelferry.app", namespace)
    assert lease
    assert lease["spec"]["holderIdentity"] == "300/1 abcd"


def test_without_the_rights_to_keep_records_it_goes_by_the_live_objects(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    testbed: Mapping[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": ["*"]},
        {
            "apiGroups": [""],
            "resources": ["configmaps", "pods", "pods/log", "events"],
            "verbs": ["*"],
        },
    ]
    kubeconfig = log_in(cluster, namespace, rules, testbed["KUBECONFIG"])
    good = config("settings", a="1") + deployment()
    deploy(good, images[0], run="100", kubeconfig=kubeconfig)
    assert "nothing keeps two runs of one release apart" in caplog.text
    assert "no history of this release is kept, it goes by the live objects" in caplog.text
    bad = config("settings", a="2") + deployment("crash")
    with pytest.raises(RolloutFailed) as raised:
        deploy(bad, images[1], run="101", kubeconfig=kubeconfig)
    assert raised.value.rolled_back
    assert data(cluster, namespace, "settings") == {"a": "1"}
    with pytest.raises(Superseded, match="run 100 has deployed"):
        deploy(good, images[1], run="99", kubeconfig=kubeconfig)
