"""Whose turn it is, on the testbed's cluster: the lease, the book, and what both bear."""

from __future__ import annotations

import base64
import json
import logging
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelferry.artifacts import PushedImage, Rollout
from modelferry.cluster import connect
from modelferry.cluster.access import ClusterAccess
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import AUTOSCALERS, LEASES, SECRETS, Resource
from modelferry.cluster.terms import WRITE_CONNECT_S, WRITTEN_S
from modelferry.errors import Cancelled, RolloutError, RolloutFailed
from modelferry.rollout import apply
from modelferry.rollout.changes import dry_run
from modelferry.rollout.changes.decide import Action, Change
from modelferry.rollout.changes.place import place
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.release import claim, history, turn, undo, waiting
from modelferry.rollout.release.book import Book
from modelferry.rollout.release.claim import BEAT_S, LIFE_S
from modelferry.rollout.release.history import Record
from modelferry.rollout.release.lease import RENEWAL_S, WRITABLE_S, Hold, Superseded
from modelferry.rollout.release.stale import Intent
from modelferry.values import Secret
from prove.kube_passage import Passage
from testbed.certificates import make_certificate
from tests.integration.deploy.score import autoscaler, scale

CONFIG_MAPS = Resource(api_version="v1", kind="ConfigMap", plural="configmaps", namespaced=True)
WEBHOOKS = Resource(
    api_version="admissionregistration.k8s.io/v1",
    kind="ValidatingWebhookConfiguration",
    plural="validatingwebhookconfigurations",
    namespaced=False,
)
NAME = "modelferry.app"


def settings(**data: str) -> Mapping[str, Any]:
    metadata = {"name": "settings"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


@pytest.fixture
def passage(cluster: Cluster) -> Iterator[Passage]:
    with Passage(cluster.server) as passage:
        yield passage


@pytest.fixture
def through(passage: Passage, testbed: Mapping[str, str]) -> Cluster:
    """The same cluster, by a way that may fail."""
    document = yaml.safe_load(Path(testbed["KUBECONFIG"]).read_text())
    document["clusters"][0]["cluster"]["server"] = passage.url
    return connect(ClusterAccess(content=Secret(json.dumps(document))))


@pytest.fixture
def slow_webhook(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[float]:
    """It says nothing for so many seconds, and the API server goes on without it."""
    certificate = make_certificate(tmp_path / "webhook.pem")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        silent = tls.wrap_socket(listener, server_side=True)
        threading.Thread(target=_take_all, args=(silent,), daemon=True).start()
        hook = {
            "name": "slow.example.org",
            "clientConfig": {
                "url": f"https://127.0.0.1:{silent.getsockname()[1]}/",
                "caBundle": base64.b64encode(certificate.read_bytes()).decode(),
            },
            "rules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["*"],
                    "resources": ["configmaps"],
                }
            ],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "timeoutSeconds": 15,
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        body = {
            "apiVersion": WEBHOOKS.api_version,
            "kind": WEBHOOKS.kind,
            "metadata": {"name": namespace},
            "webhooks": [hook],
        }
        made = cluster.apply(WEBHOOKS, body, None)
        yield 15.0
        cluster.delete(WEBHOOKS, namespace, None, uid=made["metadata"]["uid"])
        silent.close()


def _take_all(listener: ssl.SSLSocket) -> None:
    taken: list[socket.socket] = []
    with suppress(OSError):  # until it is closed
        while True:
            taken.append(listener.accept()[0])


@pytest.fixture
def hold(cluster: Cluster, namespace: str) -> Iterator[Hold]:
    hold = waiting.take(cluster, "app", namespace, Intent("200", 1), wait_s=5)
    assert hold
    yield hold
    hold.release()


def lease(cluster: Cluster, namespace: str) -> Mapping[str, Any]:
    found = cluster.get(LEASES, NAME, namespace)
    assert found
    return found


def delete_lease(cluster: Cluster, namespace: str) -> None:
    uid = lease(cluster, namespace)["metadata"]["uid"]
    cluster.delete(LEASES, NAME, namespace, uid=uid)


# A write does not outlive the lease


def test_each_try_of_a_write_asks_whether_it_may(
    passage: Passage, through: Cluster, namespace: str
) -> None:
    asked: list[float] = []
    away = threading.Thread(target=passage.close, args=(1.0,))
    away.start()
    time.sleep(0.2)
    permitted = through.on(permit=lambda: asked.append(time.monotonic()))
    permitted.apply(CONFIG_MAPS, settings(a="1"), namespace)
    away.join()
    assert len(asked) > 1
    asked.clear()
    permitted.apply(CONFIG_MAPS, settings(a="2"), namespace, dry_run=True)
    assert permitted.get(CONFIG_MAPS, "settings", namespace)
    assert not asked


def test_a_write_that_is_not_permitted_any_more_is_not_sent(
    cluster: Cluster, namespace: str
) -> None:
    def refuse() -> None:
        raise Superseded("no")

    with pytest.raises(Superseded):
        cluster.on(permit=refuse, until=time.monotonic() + 60).apply(
            CONFIG_MAPS, settings(a="1"), namespace
        )
    assert cluster.get(CONFIG_MAPS, "settings", namespace) is None


def test_of_a_write_we_hear_in_time_or_not_at_all(
    passage: Passage, through: Cluster, namespace: str
) -> None:
    silent = threading.Thread(target=passage.silence, args=(WRITE_CONNECT_S + 3,))
    silent.start()
    time.sleep(0.1)
    began = time.monotonic()
    with pytest.raises(RolloutError, match="does not answer"):
        through.on(tries=1, write_s=2).apply(CONFIG_MAPS, settings(a="1"), namespace)
    assert time.monotonic() - began < WRITE_CONNECT_S + 2
    silent.join()


def test_a_write_that_an_admission_webhook_holds_back_is_waited_for(
    cluster: Cluster, namespace: str, hold: Hold, slow_webhook: float
) -> None:
    permitted = cluster.on(permit=hold.check)
    for number in range(300):  # it is in force some moments after it was made
        began = time.monotonic()
        permitted.apply(CONFIG_MAPS, settings(a=str(number)), namespace)
        if time.monotonic() - began >= slow_webhook:
            break
    else:
        raise AssertionError("no write was held back")
    hold.check()


def test_a_write_and_the_margin_fit_into_the_life_of_a_lease() -> None:
    """Also one that begins just before the next renewal, when that one is begun anew."""
    assert BEAT_S + RENEWAL_S <= WRITABLE_S
    assert WRITABLE_S + WRITTEN_S < LIFE_S <= 60


def test_what_may_heal_is_waited_for_until_the_deadline(
    passage: Passage, through: Cluster, namespace: str
) -> None:
    away = threading.Thread(target=passage.close, args=(20.0,))
    away.start()
    time.sleep(0.1)
    patient = through.on(until=time.monotonic() + 60)
    assert patient.apply(CONFIG_MAPS, settings(a="1"), namespace)
    away.join()


def test_who_cannot_renew_must_not_write(cluster: Cluster, namespace: str, hold: Hold) -> None:
    hold._renewed -= 3600  # stopped for long, and nobody came
    hold.check()
    assert claim.holder(lease(cluster, namespace))
    operations = [{"op": "replace", "path": "/spec/holderIdentity", "value": "201/1 abcd"}]
    hold._renewed -= 3600
    apply.amend(cluster, LEASES, NAME, namespace, operations)
    with pytest.raises(Superseded, match="run 200 lost its turn to run 201"):
        hold.check()


def test_a_refusal_names_the_newer_run_whose_object_it_is(cluster: Cluster, namespace: str) -> None:
    """One that came while this run was stopped, after it was asked whether it may write."""
    asked: list[bool] = []

    def permit() -> None:
        asked.append(True)
        if len(asked) > 1:
            raise Superseded("run 200 lost its turn to run 201")

    live = cluster.apply(CONFIG_MAPS, settings(a="1"), namespace)
    before = {**live, "metadata": {**live["metadata"], "uid": "of-the-one-before"}}
    found = [ManifestObject(body=settings(a="2"), file="app.yaml", line=1, lines={})]
    (placed,) = place(cluster, found, namespace).objects
    change = Change(placed=placed, action=Action.REPLACE, live=before)
    with pytest.raises(Superseded, match="to run 201"):
        apply.carry_out(cluster.on(permit=permit), [change], deadline=time.monotonic() + 30)
    assert cluster.get(CONFIG_MAPS, "settings", namespace) == live


def test_the_winner_is_named_when_it_is_over_by_then(
    cluster: Cluster, namespace: str, hold: Hold
) -> None:
    operations = [
        {"op": "replace", "path": "/spec/holderIdentity", "value": ""},
        {"op": "replace", "path": "/metadata/annotations/modelferry~1run", "value": "201/1"},
    ]
    apply.amend(cluster, LEASES, NAME, namespace, operations)
    hold._renewed -= 3600
    with pytest.raises(Superseded, match="run 200 lost its turn to run 201"):
        hold.check()


def test_nobody_writes_once_the_lease_is_given_back(hold: Hold) -> None:
    hold.release()
    with pytest.raises(RolloutError, match="given back"):
        hold.check()


def test_a_lease_that_somebody_deleted_is_made_anew(
    cluster: Cluster, namespace: str, hold: Hold
) -> None:
    first = lease(cluster, namespace)
    delete_lease(cluster, namespace)
    until = time.monotonic() + 15
    while True:
        found = cluster.get(LEASES, NAME, namespace)
        if found and found["metadata"]["uid"] != first["metadata"]["uid"]:
            break
        assert time.monotonic() < until
        time.sleep(0.2)
    hold.check()
    assert claim.holder(found) == claim.holder(first)


def test_a_cancel_does_not_wait_for_what_is_being_removed(cluster: Cluster, namespace: str) -> None:
    held = settings(a="1")
    held = {**held, "metadata": {**held["metadata"], "finalizers": ["example.org/hold"]}}
    live = cluster.apply(CONFIG_MAPS, held, namespace)
    found = [ManifestObject(body=held, file="app.yaml", line=1, lines={})]
    placed = place(cluster, found, namespace).objects

    def cancel(*_: object) -> None:
        raise Cancelled

    before = signal.signal(signal.SIGALRM, cancel)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    began = time.monotonic()
    try:
        with pytest.raises(Cancelled):
            undo.remove_all(cluster, placed, {placed[0].key: live}, began + 60)
        assert time.monotonic() - began < 30
    finally:
        signal.signal(signal.SIGALRM, before)
        operations = [{"op": "remove", "path": "/metadata/finalizers"}]
        cluster.patch(CONFIG_MAPS, "settings", namespace, operations)


# Waiting for it


def test_a_newer_holder_that_is_dead_does_not_go_first(cluster: Cluster, namespace: str) -> None:
    dead = claim.lease((NAME, namespace), claim.Claim.of(Intent("300", 1)))
    apply.make(cluster, LEASES, dead, namespace)
    with pytest.raises(RolloutError, match="run 300 still deploys") as raised:
        waiting.take(cluster, "app", namespace, Intent("200", 1), wait_s=2 * BEAT_S)
    assert not isinstance(raised.value, Superseded)


def test_a_lease_that_says_nothing_is_free(cluster: Cluster, namespace: str) -> None:
    blank = claim.lease((NAME, namespace), claim.Claim.of(Intent("300", 1)))
    blank = {key: value for key, value in blank.items() if key != "spec"}
    apply.make(cluster, LEASES, blank, namespace)
    hold = waiting.take(cluster, "app", namespace, Intent("200", 1), wait_s=2)
    assert hold
    hold.release()


# The book


def record(run: str) -> Record:
    return Record(
        number=1,
        verdict=history.PENDING,
        image="r/app@sha256:1",
        digest="sha256:1",
        run=run,
        started=turn.now_utc(),
    )


def test_of_two_runs_that_write_at_once_each_is_on_record(cluster: Cluster, namespace: str) -> None:
    one, other = (Book(cluster, "app", namespace) for _ in range(2))
    assert one.read() == other.read() == ()
    first = one.write(record("100/1"))
    second = other.write(record("101/1"))
    assert (first.number, second.number) == (1, 2)
    one.write(first.ended(history.SUCCEEDED))
    found = Book(cluster, "app", namespace).read()
    assert [(entry.run, entry.verdict) for entry in found] == [
        ("101/1", history.PENDING),
        ("100/1", history.SUCCEEDED),
    ]


def test_what_others_wrote_on_the_secret_stays(cluster: Cluster, namespace: str) -> None:
    book = Book(cluster, "app", namespace)
    book.read()
    first = book.write(record("100/1"))
    operations = [{"op": "add", "path": "/metadata/annotations/team", "value": "score"}]
    cluster.patch(SECRETS, NAME, namespace, operations)
    book.write(first.ended(history.SUCCEEDED))
    secret = cluster.get(SECRETS, NAME, namespace)
    assert secret
    annotations = secret["metadata"]["annotations"]
    assert annotations["team"] == "score"
    assert annotations["modelferry/v1"].startswith("succeeded")


def test_a_verdict_that_cannot_be_written_at_once_is_written_later(
    passage: Passage, through: Cluster, cluster: Cluster, namespace: str
) -> None:
    with turn.taken(through, "app", namespace, Intent("100", 1), wait_s=5) as now:
        now.begin(record("100/1"))
        away = threading.Thread(target=passage.close, args=(18.0,))
        away.start()
        time.sleep(0.1)
        now.end(history.SUCCEEDED)
        away.join()
    assert [entry.verdict for entry in Book(cluster, "app", namespace).read()] == ["succeeded"]


def test_one_that_is_refused_says_what_the_next_run_believes(
    cluster: Cluster, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "modelferry")
    with turn.taken(cluster, "app", namespace, Intent("100", 1), wait_s=5) as now:
        now.begin(record("100/1"))
        assert now.record
        now.record = Record(**{**_fields(now.record), "image": "x" * (4 << 20)})
        now.end(history.SUCCEEDED)
        assert now.number == 1
    assert "the next run takes it for interrupted" in caplog.text


def _fields(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Record.__dataclass_fields__}


# One time limit


def test_waiting_for_an_old_pod_to_go_is_part_of_the_timeout(
    deploy: Callable[..., Rollout], images: tuple[PushedImage, PushedImage]
) -> None:
    lone: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "lone"},
        "spec": {
            "terminationGracePeriodSeconds": 10,
            "containers": [
                {
                    "name": "score",
                    "image": "$IMAGE",
                    "command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
                }
            ],
        },
    }
    deploy(yaml.safe_dump(lone), images[0], run="100")
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    lone["spec"]["containers"][0]["readinessProbe"] = probe
    began = time.monotonic()
    with pytest.raises(RolloutFailed, match="not ready after 15"):
        deploy(yaml.safe_dump(lone), images[1], run="101", timeout_s=15, rollback=False)
    assert time.monotonic() - began < 23


# Between the dry run and the apply


def test_an_autoscaler_that_scales_meanwhile_keeps_its_replicas(
    cluster: Cluster, namespace: str
) -> None:
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "score"},
        "spec": {
            "replicas": 1,
            "paused": True,
            "selector": {"matchLabels": {"app": "score"}},
            "template": {
                "metadata": {"labels": {"app": "score"}},
                "spec": {"containers": [{"name": "score", "image": "r.example/score:1"}]},
            },
        },
    }
    apply_all(cluster, namespace, body, lambda: None)
    again = {**body, "spec": {**body["spec"], "replicas": 2}}
    apply_all(cluster, namespace, again, lambda: autoscale(cluster, namespace, 5))
    deployments = cluster.resource("apps/v1", "Deployment")
    assert deployments
    live = cluster.get(deployments, "score", namespace)
    assert live
    assert live["spec"]["replicas"] == 5


def apply_all(
    cluster: Cluster, namespace: str, body: Mapping[str, Any], meanwhile: Callable[[], None]
) -> None:
    found = [ManifestObject(body=body, file="app.yaml", line=1, lines={})]
    placed = place(cluster, found, namespace).objects
    planned = dry_run.look(cluster, placed, not_there_yet=(), force=False, tolerate=lambda _: False)
    meanwhile()
    apply.carry_out(cluster, planned, deadline=time.monotonic() + 30)


def autoscale(cluster: Cluster, namespace: str, replicas: int) -> None:
    cluster.create(AUTOSCALERS, autoscaler(maxReplicas=9), namespace)
    scale(cluster, namespace, replicas)
