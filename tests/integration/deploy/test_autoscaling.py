"""Whose `replicas` are: an autoscaler's while it is there, the manifest's again afterwards."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import yaml

from modelferry.artifacts import PushedImage, Rollout
from modelferry.cluster import connect
from modelferry.cluster.access import ClusterAccess
from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import AUTOSCALERS
from modelferry.errors import RolloutFailed
from modelferry.plan.spec import RollbackPlan, RunContext
from modelferry.rollout import apply
from modelferry.rollout.changes import dry_run
from modelferry.rollout.changes.place import place
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.spec import RollbackSpec
from modelferry.rollout.watching.findings import Applied
from modelferry.stages.rollback import roll_back, would_return
from modelferry.values import Secret
from tests.integration.deploy.score import (
    DEPLOYMENTS,
    autoscaler,
    replicas,
    scale,
    workload,
)
from tests.service_account import log_in

Deploy = Callable[..., Rollout]
Images = tuple[PushedImage, PushedImage]

SCALER = f"---\n{yaml.safe_dump(autoscaler(minReplicas=1))}"


def test_replicas_are_the_manifest_s_again_once_their_autoscaler_is_gone(
    deploy: Deploy, images: Images, cluster: Cluster, namespace: str
) -> None:
    deploy(workload("replicas: 1"), images[0])
    scale(cluster, namespace, 2)
    rollout = deploy(workload("replicas: 3"), images[0], run="4712")
    assert "~ spec.replicas: 2 → 3" in rollout.diff
    assert replicas(cluster, namespace) == 3


def test_replicas_of_an_autoscaled_workload_are_never_touched(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Also where the manifest has none any more: what only we owned would fall back to 1."""
    caplog.set_level(logging.INFO)
    deploy(workload("replicas: 2"), images[0])

    deploy(SCALER + workload(), images[1], run="4712")
    assert replicas(cluster, namespace) == 2
    scale(cluster, namespace, 3)
    deploy(workload("replicas: 2"), images[0], run="4713", force=True)
    assert replicas(cluster, namespace) == 3
    assert "its replicas are left to its autoscaler" in caplog.text
    with pytest.raises(RolloutFailed) as raised:
        deploy(workload("replicas: 2").replace("serve", "crash"), images[1], run="4714")
    assert raised.value.rolled_back
    assert replicas(cluster, namespace) == 3


def test_a_failed_deploy_takes_its_autoscaler_and_what_it_scaled_back(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    carry_out = apply.carry_out

    def carry_out_and_scale(*given: Any, **more: Any) -> Sequence[Applied]:
        applied = carry_out(*given, **more)
        if any(entry.resource == AUTOSCALERS for entry in applied):
            scale(cluster, namespace, 2)
        return applied

    deploy(workload(), images[0])
    monkeypatch.setattr(apply, "carry_out", carry_out_and_scale)
    with pytest.raises(RolloutFailed) as raised:
        deploy(workload().replace("serve", "crash") + SCALER, images[1], run="4712")
    assert raised.value.rolled_back
    assert cluster.get(AUTOSCALERS, "score", namespace) is None
    assert replicas(cluster, namespace) == 1


def test_a_rollback_to_a_release_without_autoscaler_brings_its_replicas_back(
    deploy: Deploy,
    images: Images,
    cluster: Cluster,
    namespace: str,
    testbed: Mapping[str, str],
    context: RunContext,
) -> None:
    deploy(workload("replicas: 1"), images[0])
    deploy(workload("replicas: 1") + SCALER, images[0], run="4712")
    scale(cluster, namespace, 2)
    access = ClusterAccess(path=testbed["KUBECONFIG"])
    spec = RollbackSpec(namespace=namespace, release="app", to="1", timeout_s=60)
    plan = RollbackPlan(cluster=access, spec=spec)
    assert "~ spec.replicas: 2 → 1" in would_return(plan)
    roll_back(plan, replace(context, run_id="4713"))
    assert cluster.get(AUTOSCALERS, "score", namespace) is None
    assert replicas(cluster, namespace) == 1


def test_where_autoscalers_may_not_be_listed_replicas_are_left_alone(
    cluster: Cluster,
    namespace: str,
    testbed: Mapping[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    text = workload("replicas: 1").replace("$IMAGE", "r.example/score:1")
    wanted = next(yaml.safe_load_all(text))
    wanted["spec"]["paused"] = True
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "patch"]}
    kubeconfig = log_in(cluster, namespace, [rule], testbed["KUBECONFIG"])
    may_not = connect(ClusterAccess(content=Secret(kubeconfig)))
    cluster.apply(DEPLOYMENTS, wanted, namespace)
    scale(cluster, namespace, 2)
    found = [ManifestObject(body=wanted, file="app.yaml", line=1, lines={})]
    for user, expected in ((may_not, 2), (cluster, 1)):
        placed = place(user, found, namespace).objects
        planned = dry_run.look(user, placed, not_there_yet=(), force=False, tolerate=lambda _: "")
        assert planned[0].result
        assert planned[0].result["spec"]["replicas"] == expected
        (applied,) = apply.carry_out(user, planned, deadline=time.monotonic() + 30)
        assert applied.body["spec"]["replicas"] == expected
    assert "deployment/score: replicas are left to kube-controller-manager" in caplog.text
    assert "deployment/score: the autoscaler that has set its replicas is gone" in caplog.text
