"""What the release before had and the manifests no longer have."""

from __future__ import annotations

from typing import Any, cast

import pytest

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import Resource
from modelferry.cluster.transport import Refused
from modelferry.rollout.changes.decide import Action, Change
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.release import history
from modelferry.rollout.release.history import Record
from modelferry.rollout.release.left_behind import dropped, left_behind, sentences

VERSIONS = {"CronJob": "batch/v1", "Job": "batch/v1", "Deployment": "apps/v1"}


def placed(
    kind: str, name: str, namespace: str | None = "n", api_version: str | None = None
) -> Placed:
    version = api_version or VERSIONS.get(kind, "v1")
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": name}}
    resource = Resource(
        api_version=version, kind=kind, plural=f"{kind.lower()}s", namespaced=bool(namespace)
    )
    manifest = ManifestObject(body=body, file="a.yaml", line=1, lines={})
    return Placed(manifest=manifest, resource=resource, namespace=namespace)


SCORE, NIGHTLY = placed("Deployment", "score"), placed("CronJob", "nightly")
MOVED = placed("CronJob", "nightly", "other")
HASHED = placed("ConfigMap", "app-7b5c2g8mth")
LIKE_HASHED = placed("Deployment", "app-7b5c2g8mth")
SERVICE = placed("Service", "score")
KNATIVE = placed("Service", "score", api_version="serving.knative.dev/v1")


@pytest.mark.parametrize(
    ("had", "now", "gone"),
    [
        ([SCORE, NIGHTLY], [SCORE, NIGHTLY], ()),
        ([SCORE, NIGHTLY], [SCORE], (NIGHTLY,)),
        ([SCORE], [SCORE, NIGHTLY], ()),
        ([NIGHTLY], [MOVED], (NIGHTLY,)),
        ([SERVICE, KNATIVE], [SERVICE], (KNATIVE,)),
        ([placed("CronJob", "nightly", api_version="batch/v1beta1")], [NIGHTLY], ()),
        ([placed("Job", "load-12"), placed("Pod", "lone")], [placed("Job", "load-13")], ()),
        ([HASHED], [placed("ConfigMap", "app-2b5c2g8mth")], ()),
        ([placed("ConfigMap", "app")], [], (placed("ConfigMap", "app"),)),
        ([LIKE_HASHED], [], (LIKE_HASHED,)),
    ],
)
def test_what_is_dropped(had: list[Placed], now: list[Placed], gone: tuple[Placed, ...]) -> None:
    assert dropped(had, now) == gone


HAD = "which the manifests no longer have"
STAYS = f"{HAD}: it stays as it is; kubectl"
STAY = f"{HAD}: they stay as they are; kubectl"


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ([], []),
        ([NIGHTLY], [f"cronjob/nightly, {STAYS} --namespace n delete cronjobs.batch/nightly"]),
        ([SERVICE], [f"service/score, {STAYS} --namespace n delete services/score"]),
        ([placed("Node", "one", None)], [f"node/one, {STAYS} delete nodes/one"]),
        (
            [NIGHTLY, MOVED, SCORE],
            [
                f"cronjob/nightly, deployment/score, {STAY} --namespace n delete KIND NAME",
                f"cronjob/nightly, {STAYS} --namespace other delete cronjobs.batch/nightly",
            ],
        ),
    ],
)
def test_each_namespace_has_a_sentence(gone: list[Placed], told: list[str]) -> None:
    said = [sentence.rpartition(" removes ") for sentence in sentences(gone, 13)]
    assert [begin for begin, *_ in said] == [f"release 13 had {text}" for text in told]


def test_a_long_list_is_cut() -> None:
    (said,) = sentences([placed("ConfigMap", f"c{number}") for number in range(12)], 13)
    assert "configmap/c9 and 2 more, which" in said


class Answering:
    """A cluster that has this one object, or refuses to show it."""

    def __init__(self, answer: dict[str, Any] | Refused | None) -> None:
        self._answer = answer

    def get(self, *_: object) -> dict[str, Any] | None:
        if isinstance(self._answer, Refused):
            raise self._answer
        return self._answer


def of(release: str | None) -> dict[str, Any]:
    return {"metadata": {"annotations": {"modelferry/release": release} if release else {}}}


@pytest.mark.parametrize(
    ("answer", "is_told"),
    [
        (of("n/app"), True),
        (of("n/other"), False),
        (of(None), False),
        (None, False),
        (Refused("may not get cronjobs: 403", code=403, status={}), False),
    ],
)
def test_only_what_is_there_and_ours_is_told(
    answer: dict[str, Any] | Refused | None, is_told: bool
) -> None:
    cluster = cast("Cluster", Answering(answer))
    last = Record(
        number=13,
        verdict=history.SUCCEEDED,
        image="",
        digest="",
        run="1/1",
        started="",
        manifests=(SCORE, NIGHTLY),
    )
    planned = [Change(placed=SCORE, action=Action.UPDATE, live=None)]
    assert bool(left_behind(cluster, last, planned, "n/app")) is is_told
    assert left_behind(cluster, None, planned, "n/app") == ()
