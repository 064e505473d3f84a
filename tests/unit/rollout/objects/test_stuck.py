from __future__ import annotations

from typing import Any

import pytest

from modelferry.rollout.objects import stuck


def stateful(**spec: Any) -> dict:
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "s", "uid": "u", "generation": 3},
        "spec": spec,
        "status": {"updateRevision": "good", "observedGeneration": 3},
    }


def pod(name: str, revision: str, *, ready: bool, owner: str = "u", **metadata: Any) -> dict:
    return {
        "metadata": {
            "name": name,
            "labels": {"controller-revision-hash": revision},
            "ownerReferences": [{"uid": owner, "controller": True}],
            **metadata,
        },
        "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
    }


def test_only_unready_pods_of_another_revision() -> None:
    found = [
        pod("s-0", "good", ready=False),
        pod("s-1", "bad", ready=True),
        pod("s-2", "bad", ready=False),
        pod("s-3", "bad", ready=False, deletionTimestamp="now"),
        pod("t-4", "bad", ready=False, owner="other"),
    ]
    assert [entry["metadata"]["name"] for entry in stuck.pods(stateful(), found)] == ["s-2"]


def test_a_partition_keeps_what_is_below_it() -> None:
    strategy = {"rollingUpdate": {"partition": 2}}
    found = [pod("s-1", "bad", ready=False), pod("s-2", "bad", ready=False)]
    left = stuck.pods(stateful(updateStrategy=strategy), found)
    assert [entry["metadata"]["name"] for entry in left] == ["s-2"]


@pytest.mark.parametrize(
    ("spec", "may_be"),
    [
        ({}, True),
        ({"podManagementPolicy": "Parallel"}, False),
        ({"updateStrategy": {"type": "OnDelete"}}, False),
    ],
)
def test_only_those_that_go_in_order(spec: dict, *, may_be: bool) -> None:
    assert stuck.may_be(stateful(**spec)) is may_be
    assert not stuck.may_be({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}})


def test_a_status_from_before_the_change_says_nothing() -> None:
    old = stateful()
    old["status"]["observedGeneration"] = 2
    assert stuck.is_observed(stateful())
    assert not stuck.is_observed(old)
    assert not stuck.is_observed({**old, "status": {}})
