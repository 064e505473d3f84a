"""What becomes of a run that fails after its first write. Nothing was there, so no cluster is
asked; tests/integration/deploy/test_releases.py brings real objects back."""

from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from modelferry.cluster.client import Cluster
from modelferry.cluster.resources import Resource
from modelferry.cluster.transport import Refused
from modelferry.errors import Cancelled, RollbackError, RolloutError, RolloutFailed
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.release import history, undo
from modelferry.rollout.release.history import Record
from modelferry.rollout.release.lease import Hold, Superseded
from modelferry.rollout.release.rollback import Before
from modelferry.rollout.release.stale import Intent
from modelferry.rollout.release.turn import Turn
from modelferry.rollout.release.undo import undone
from modelferry.rollout.spec import DeploySpec
from modelferry.rollout.watching.grounds import NamespaceGoes


def record(number: int, verdict: str) -> Record:
    return Record(
        number=number, verdict=verdict, image="r/app:1", digest="sha256:1", run="1/1", started=""
    )


@pytest.fixture
def now() -> Turn:
    turn = Turn(
        cluster=cast("Cluster", SimpleNamespace(on=lambda **_: None)),
        release="app",
        namespace="n",
        intent=Intent("2", 1),
        hold=None,
        records=(record(1, history.SUCCEEDED),),
        book=None,
    )
    turn.begin(record(0, history.PENDING))
    return turn


def spec(**more: Any) -> DeploySpec:
    return cast("DeploySpec", SimpleNamespace(**{"rollback": True, "rollback_timeout_s": 5} | more))


def verdict(now: Turn) -> str:
    assert now.record
    return now.record.verdict


def test_what_fails_is_undone(now: Turn) -> None:
    with pytest.raises(RolloutFailed) as raised, undone(spec(), now, (), "r/app:0"):
        raise RolloutError("it crashed")
    assert raised.value.rolled_back
    assert raised.value.previous_image == "r/app:0"
    assert verdict(now) == history.ROLLED_BACK


@pytest.mark.parametrize("rollback", [True, False])
def test_what_was_seen_is_told_once(
    now: Turn, caplog: pytest.LogCaptureFixture, *, rollback: bool
) -> None:
    """Before it is undone, for that may be cancelled; else at the end, with the error."""
    caplog.set_level(logging.INFO, "modelferry")
    with pytest.raises(RolloutFailed) as raised, undone(spec(rollback=rollback), now, (), None):
        raise RolloutError("it crashed", seen="exit 1")
    assert raised.value.is_told is rollback
    assert ("exit 1" in caplog.text) is rollback
    assert raised.value.seen.startswith("exit 1")


def test_so_is_what_a_bug_of_ours_broke_and_the_bug_is_told(
    now: Turn, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "modelferry")
    bug = TypeError("'>=' not supported")
    with pytest.raises(TypeError) as raised, undone(spec(), now, (), None):
        raise bug
    assert raised.value is bug
    assert verdict(now) == history.ROLLED_BACK
    assert now.record
    assert now.record.why == "a bug in Modelferry: TypeError: '>=' not supported"
    assert "What was there before is back, and as ready as it was." in caplog.text


def test_a_bug_without_rollback_leaves_it_and_closes_the_record(now: Turn) -> None:
    with pytest.raises(KeyError), undone(spec(rollback=False), now, (), None):
        raise KeyError("metadata")
    assert verdict(now) == history.FAILED


@pytest.mark.parametrize(
    ("error", "expected"),
    [(Superseded("a newer run"), history.SUPERSEDED), (Cancelled("cancelled"), history.PENDING)],
)
def test_what_another_run_or_a_person_ended_is_left_to_them(
    now: Turn, error: BaseException, expected: str
) -> None:
    with pytest.raises(type(error)), undone(spec(), now, (), None):
        raise error
    assert verdict(now) == expected


def test_what_goes_well_is_no_matter_of_it(now: Turn) -> None:
    with undone(spec(), now, (), None):
        pass
    assert verdict(now) == history.PENDING


def test_after_a_rollback_that_failed_each_advice_stands_once() -> None:
    first = RolloutFailed("it crashed", seen="exit 1", do="Correct the program.")
    both = undo._both(first, RollbackError("not as before", seen="- a claim", do="Mend by hand."))
    assert both.do == "Mend by hand.\nThe release itself: Correct the program."
    assert both.seen == "exit 1\n\nThe rollback: not as before\n- a claim"


def config_map() -> Placed:
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "uid": "1"}}
    return Placed(
        manifest=ManifestObject(body=body, file="a.yaml", line=7, lines={}),
        resource=Resource(api_version="v1", kind="ConfigMap", plural="configmaps", namespaced=True),
        namespace="n",
    )


def refuse(*_: object, **__: object) -> None:
    message = 'admission webhook "a.b" denied the request: it is kept'
    raise Refused(f"the cluster refused: {message}", code=403, status={"message": message})


def test_what_cannot_be_removed_is_told_with_its_place_and_what_to_do() -> None:
    cluster = cast("Cluster", SimpleNamespace(delete=refuse))
    placed = config_map()
    [problem] = undo.remove_all(cluster, [placed], {placed.key: placed.body}, 0.0)
    is_told_with_what_to_do(problem)


def test_so_is_what_cannot_be_brought_back() -> None:
    cluster = cast("Cluster", SimpleNamespace(get=lambda *_: None, apply=refuse))
    _, [problem], notes = undo._restore(cluster, [config_map()], 0.0, set())
    assert notes == []
    is_told_with_what_to_do(problem)


def test_what_a_newer_run_barred_is_no_failure_of_the_rollback(now: Turn) -> None:
    def lost() -> None:
        raise Superseded("run 2 lost its turn to run 3")

    barred = SimpleNamespace(get=refuse)
    now.cluster = cast("Cluster", SimpleNamespace(on=lambda **_: barred))
    now.hold = cast("Hold", SimpleNamespace(heed=lost))
    before = Before(placed=config_map(), uid="1", fields=None, whole=None)
    with (
        pytest.raises(RolloutFailed, match="it crashed") as raised,
        undone(spec(), now, (before,), None),
    ):
        raise RolloutError("it crashed")
    assert "It was not rolled back: run 2 lost its turn to run 3." in raised.value.seen
    assert verdict(now) == history.SUPERSEDED


@pytest.mark.parametrize(
    ("namespace", "expected"), [("n", history.FAILED), (None, history.ROLLED_BACK)]
)
def test_nothing_is_brought_back_into_a_namespace_that_goes(
    now: Turn, monkeypatch: pytest.MonkeyPatch, namespace: str | None, expected: str
) -> None:
    """Unless there is something outside it."""
    monkeypatch.setattr(undo, "undo", lambda *_, **__: ())
    going = NamespaceGoes("namespace n is being deleted")
    going.namespace = "n"
    placed = replace(config_map(), namespace=namespace)
    before = Before(placed=placed, uid="1", fields=None, whole=None)
    with pytest.raises(RolloutFailed, match="being deleted"), undone(spec(), now, (before,), None):
        raise going
    assert verdict(now) == expected


def is_told_with_what_to_do(problem: str) -> None:
    first, second = problem.splitlines()
    assert first.startswith("a.yaml:7: the cluster refused configmap/x: admission webhook")
    assert second.strip().startswith("Satisfy this rule")
