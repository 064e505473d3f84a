from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import pytest

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import NAMESPACES, SERVICES, Resource
from modelferry.errors import RollbackError, RolloutError
from modelferry.plan.spec import RollbackPlan, RunContext
from modelferry.rollout.changes.place import Placement
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.release import history
from modelferry.rollout.release.history import Record
from modelferry.rollout.release.rollback import removals
from modelferry.rollout.release.stale import Intent
from modelferry.rollout.release.turn import Turn
from modelferry.stages import rollback
from modelferry.stages.rollback import shown

CLAIMS = Resource(
    api_version="v1", kind="PersistentVolumeClaim", plural="persistentvolumeclaims", namespaced=True
)


def placed(resource: Resource, name: str) -> Placed:
    body = {"apiVersion": "v1", "kind": resource.kind, "metadata": {"name": name}}
    manifest = ManifestObject(body=body, file="a.yaml", line=1, lines={})
    return Placed(manifest=manifest, resource=resource, namespace="n")


def test_what_is_shown_to_go_is_what_goes() -> None:
    brought = [placed(NAMESPACES, "shop"), placed(CLAIMS, "data"), placed(SERVICES, "web")]
    assert shown((), removals(brought)).splitlines() == [
        "- service/web: remove",
        "= persistentvolumeclaim/data: stays, others may have put something into it",
        "= namespace/shop: stays, others may have put something into it",
    ]


def record(number: int) -> Record:
    return Record(
        number=number,
        verdict=history.SUCCEEDED,
        image="r/app:1",
        digest=f"sha256:{number:064d}",
        run="1/1",
        started="",
        manifests=(placed(SERVICES, "web"),),
    )


@pytest.mark.parametrize(
    ("error", "raised"), [(TypeError("a bug"), TypeError), (RolloutError("no"), RollbackError)]
)
def test_what_ends_it_is_on_record(
    error: Exception, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug of ours, too: the next run must not take it for one that was killed."""
    now = Turn(
        cluster=cast("Cluster", None),
        release="app",
        namespace="n",
        intent=Intent("2", 1),
        hold=None,
        records=(record(2), record(1)),
        book=None,
    )

    def act(*_: Any) -> None:
        raise error

    placed_nowhere = Placement(objects=(), not_there_yet=())
    answers: dict[str, Any] = {"connect": None, "place": placed_nowhere, "look": {}}
    for name, answer in answers.items():
        monkeypatch.setattr(rollback, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(rollback, "_act", act)
    monkeypatch.setattr(rollback.dry_run, "look", lambda *_, **__: ())
    monkeypatch.setattr(rollback.turn, "read", lambda *_: now.records)
    monkeypatch.setattr(rollback.turn, "taken", lambda *_, **__: nullcontext(now))
    spec = SimpleNamespace(release="app", namespace="n", to=None, timeout_s=1.0)
    plan = cast("RollbackPlan", SimpleNamespace(spec=spec, cluster=None))
    context = cast("RunContext", SimpleNamespace(intent=Intent("2", 1), commit=None))
    with pytest.raises(raised):
        rollback.roll_back(plan, context)
    assert now.record
    assert now.record.verdict == history.ROLLBACK_FAILED
