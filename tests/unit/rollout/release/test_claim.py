from __future__ import annotations

from datetime import timedelta

from modelferry.rollout.release import claim
from modelferry.rollout.release.claim import Claim
from modelferry.rollout.release.stale import Intent

MINE = Claim(intent=Intent("4711", 2), token="ab12")


def test_what_stands_in_a_lease() -> None:
    lease = {
        "metadata": {"annotations": {claim.NEXT: f"4712/1 cd34 {claim.now()}"}},
        "spec": claim.spec(MINE),
    }
    assert claim.holder(lease) == MINE
    assert claim.waiting(lease) == Claim(intent=Intent("4712", 1), token="cd34")
    assert claim.age(claim.beat(lease)) < timedelta(minutes=1)
    assert lease["spec"]["leaseDurationSeconds"] <= 60


def test_a_free_lease() -> None:
    lease = {"metadata": {}, "spec": {"holderIdentity": ""}}
    assert claim.holder(lease) is None
    assert claim.waiting(lease) is None
    assert claim.beat(lease) == ""


def test_two_processes_of_one_run_are_told_apart() -> None:
    assert Claim.of(MINE.intent) != Claim.of(MINE.intent)
    assert Claim.parse(str(MINE)) == MINE


def test_a_time_that_cannot_be_read_is_no_proof_of_age() -> None:
    assert claim.age("None") == timedelta(0)
    assert claim.age("2020-01-01T00:00:00.000000Z") > timedelta(days=365)
