from __future__ import annotations

from typing import Any

import pytest

from modelferry.rollout.release.at_work import at_work

ONE, TWO = ("sha256:" + digit * 64 for digit in "12")


def deployment(image: str = "r.io/app:main", **status: Any) -> dict:
    spec = {"containers": [{"name": "a", "image": image}]}
    counts = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": 2, **status}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "x", "uid": "u", "generation": 1},
        "spec": {"replicas": 2, "template": {"spec": spec}},
        "status": {"observedGeneration": 1, **counts},
    }


def pod(runs: str, ready: str = "True") -> dict:
    return {
        "metadata": {"name": "p", "uid": "p"},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "containerStatuses": [{"name": "a", "imageID": runs}],
        },
    }


@pytest.mark.parametrize(
    ("image", "pods", "digests"),
    [
        ("r.io/app:main", [pod(f"r.io/app@{ONE}")] * 2, {"a": ONE}),
        ("r.io/app", [pod(f"r.io/app@{ONE}")], {"a": ONE}),
        ("r.io/app:main", [pod(f"r.io/app@{ONE}"), pod(f"r.io/app@{TWO}", "False")], {"a": ONE}),
        ("r.io/app:main", [pod(f"r.io/app@{ONE}"), pod(f"r.io/app@{TWO}")], {}),
        ("r.io/app:main", [pod(f"r.io/copy@{ONE}")], {}),  # no name of it in our repository
        ("r.io/app:main", [], {}),
        (f"r.io/app@{ONE}", [pod(f"r.io/app@{ONE}")], {}),  # needs no other word
        ("r.io/proxy:1", [pod(f"r.io/proxy@{ONE}")], {}),  # no release of ours moves that tag
    ],
)
def test_what_a_tag_meant(image: str, pods: list[dict], digests: dict[str, str]) -> None:
    assert at_work(deployment(image), pods, "r.io/app").digests == digests


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({}, True),
        ({"availableReplicas": 1}, False),
        ({"replicas": 3}, False),  # in the midst of a rollout that waits for its new pod
        ({"observedGeneration": 0}, False),
    ],
)
def test_was_it_ready(status: dict[str, Any], *, ready: bool) -> None:
    found = at_work(deployment(**status), (), "r.io/app")
    assert (found.ready, found.ended) == (ready, False)


@pytest.mark.parametrize(
    ("condition", "ready", "ended"),
    [("Complete", True, True), ("Failed", False, True), ("Other", False, False)],
)
def test_a_job(condition: str, *, ready: bool, ended: bool) -> None:
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "x", "uid": "u"},
        "spec": {"template": {"spec": {"containers": []}}},
        "status": {"conditions": [{"type": condition, "status": "True"}]},
    }
    found = at_work(job, (), "r.io/app")
    assert (found.ready, found.ended) == (ready, ended)


def test_a_setting_is_as_ready_as_it_can_be() -> None:
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "uid": "u"}}
    assert at_work(settings, (), "r.io/app").ready
