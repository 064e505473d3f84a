from __future__ import annotations

import base64
import json
import random
import re
import zlib
from typing import Any

import pytest

from modelferry.cluster.resources import PODS
from modelferry.errors import InputError
from modelferry.rollout.changes.placed import Placed
from modelferry.rollout.manifests.load import ManifestObject
from modelferry.rollout.release import history
from modelferry.rollout.release.history import Record, chosen, current, of_secret, table, to_secret
from modelferry.rollout.release.rollback import Before


def placed(name: str = "x", **body: Any) -> Placed:
    content = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, **body}
    manifest = ManifestObject(body=content, file="a.yaml", line=3, lines={})
    return Placed(manifest=manifest, resource=PODS, namespace="n")


def record(number: int, verdict: str = history.SUCCEEDED, **more: Any) -> Record:
    values: dict[str, Any] = {
        "image": f"r/app@sha256:{number}",
        "digest": f"sha256:{number:064d}",
        "run": f"{100 + number}/1",
        "started": "2026-11-22T20:00:00Z",
        "manifests": (placed(),),
    }
    return Record(number=number, verdict=verdict, **{**values, **more})


def test_records_come_back_as_they_were_newest_first() -> None:
    before = Before(placed=placed(), uid="u", fields={"a": 1}, whole={"a": 1, "b": 2})
    new = Before(placed=placed("new"), uid=None, fields=None, whole=None)
    given = (
        record(
            2,
            history.FAILED,
            before=(before, new),
            created=("pods n/new",),
            made=("u2",),
            why="it crashed",
        ),
        record(1, model_version="v1", commit="abc"),
    )
    found = of_secret(to_secret("app", given))
    assert found == given


def test_the_annotations_tell_people() -> None:
    secret = to_secret("app", [record(1, model_version="m-7", commit="abc")])
    assert secret["metadata"]["name"] == "modelferry.app"
    assert secret["metadata"]["annotations"]["modelferry/v1"] == (
        "succeeded 2026-11-22T20:00:00Z · run 101/1 · commit abc · model m-7 · image r/app@sha256:1"
    )


def test_a_long_reason_ends_at_a_word() -> None:
    ended = record(1).ended(history.FAILED, "it crashed again " * 40)
    assert len(ended.why) <= 300
    assert ended.why.endswith(("crashed …", "again …", "it …"))


def test_they_are_bounded() -> None:
    given = [record(number) for number in range(30, 0, -1)]
    found = of_secret(to_secret("app", given))
    assert [entry.number for entry in found] == list(range(30, 30 - history.LIMIT, -1))


def test_manifests_that_are_too_large_go_oldest_first(caplog: pytest.LogCaptureFixture) -> None:
    noise = random.Random(1).randbytes(150_000).hex()
    given = [record(n, manifests=(placed(data=noise),)) for n in range(6, 0, -1)]
    secret = to_secret("app", given)
    assert sum(map(len, secret["data"].values())) < 1 << 20
    found = of_secret(secret)
    assert [entry.number for entry in found] == [6, 5, 4, 3, 2, 1]
    assert found[0].manifests
    assert not found[-1].manifests
    assert "release 1: its manifests were too large to keep" in caplog.text
    assert "too large to keep" in secret["metadata"]["annotations"]["modelferry/v1"]
    assert "too large to keep" not in secret["metadata"]["annotations"]["modelferry/v6"]
    with pytest.raises(InputError, match="the manifests of 1 were too large to keep") as raised:
        chosen(found, "1", "app")
    assert "6 (sha256:" in str(raised.value)
    assert "1 (sha256:" not in str(raised.value)
    lines = table(found).splitlines()
    assert [line.split()[0] for line in lines if "no way back" in line][-1] == "1"
    assert "no way back" not in lines[1]


def test_the_newest_three_good_ones_outlive_any_number_of_failures() -> None:
    failed = [record(n, history.FAILED) for n in range(40, 5, -1)]
    good = [record(n) for n in range(5, 0, -1)]
    found = of_secret(to_secret("app", [*failed, *good]))
    assert [entry.number for entry in found] == [*range(40, 33, -1), 5, 4, 3]
    assert len(found) == history.LIMIT
    assert current(found) == good[0]
    assert chosen(found, None, "app") == good[1]
    again = of_secret(to_secret("app", [record(41, history.FAILED), *found]))
    assert [entry.number for entry in again if entry.is_good] == [5, 4, 3]


def test_what_was_returned_to_stays_with_what_it_returned_to() -> None:
    failed = [record(n, history.FAILED) for n in range(40, 9, -1)]
    returned = [record(n, history.RETURNED, of=3) for n in range(9, 5, -1)]
    given = [*failed, *returned, *(record(n) for n in range(5, 0, -1))]
    found = of_secret(to_secret("app", given))
    assert [entry.number for entry in found if entry.is_good] == [9, 5, 4, 3]
    assert current(found) == returned[0]


def without_news(number: int, of: int) -> Record:
    """As a nightly run leaves it: another run's mark, and nothing else."""
    marks = {"annotations": {"modelferry/run": f"{100 + number}/1"}, "name": "x"}
    return record(number, digest=f"sha256:{of:064d}", manifests=(placed(metadata=marks),))


def test_runs_without_news_push_no_other_release_out() -> None:
    nightly = [without_news(n, 3) for n in range(40, 2, -1)]
    found = of_secret(to_secret("app", [*nightly, record(2), record(1)]))
    assert [entry.number for entry in found] == [*range(40, 33, -1), 3, 2, 1]
    assert chosen(found, None, "app").number == 2


def test_a_setting_alone_is_news() -> None:
    changed = record(3, digest=record(1).digest, manifests=(placed(data={"a": "2"}),))
    again = record(2, digest=record(1).digest)
    assert chosen([changed, again, record(1)], None, "app") == again
    with pytest.raises(InputError, match="none before the current one that differs from it"):
        chosen([again, record(1)], None, "app")


def test_manifests_of_failures_go_before_those_of_what_was_good() -> None:
    noise = random.Random(1).randbytes(150_000).hex()
    big = (placed(data=noise),)
    given = [record(n, history.FAILED, manifests=big) for n in range(6, 1, -1)]
    found = of_secret(to_secret("app", [*given, record(1, manifests=big)]))
    assert found[-1].manifests
    assert [bool(entry.manifests) for entry in found[:-1]] == [True, True, False, False, False]


def test_one_that_is_too_large_alone_is_recorded_and_costs_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    noise = base64.b64encode(random.Random(1).randbytes(2_000_000)).decode()
    large = record(2, manifests=(placed(data=noise),))
    newest, other = of_secret(to_secret("app", [large, record(1)]))
    assert newest.number == 2
    assert not newest.manifests
    assert other.manifests
    assert "release 2: its manifests were too large to keep" in caplog.text


def test_what_a_run_found_is_kept_until_it_is_settled() -> None:
    before = (Before(placed=placed(), uid="u", fields={}, whole={}),)
    begun = record(1, history.PENDING, before=before)
    for verdict in (history.FAILED, history.SUPERSEDED, history.CANCELLED, history.ROLLBACK_FAILED):
        assert begun.ended(verdict).unsettled == before
    for verdict in (history.SUCCEEDED, history.ROLLED_BACK, history.RETURNED):
        assert begun.ended(verdict).unsettled == ()
    assert begun.unsettled == before


RECORDS = (
    record(6, history.ROLLED_BACK),
    record(5, history.RETURNED, of=3),
    record(4),
    record(3),
    record(2, history.FAILED),
    record(1),
)


def test_current_is_the_last_that_is_good() -> None:
    now = current(RECORDS)
    assert now
    assert now.number == 5
    assert current(()) is None


@pytest.mark.parametrize(
    ("to", "number"),
    [
        (None, 1),  # 5 is release 3 again, and the one before that which was good is 1
        ("4", 4),
        (f"sha256:{4:064d}", 4),
        (f"{3:064d}", 3),
    ],
)
def test_chosen(to: str | None, number: int) -> None:
    assert chosen(RECORDS, to, "app").number == number


@pytest.mark.parametrize("to", ["2", "6", "9", "sha256:ff"])
def test_what_cannot_be_chosen_says_what_can(to: str) -> None:
    with pytest.raises(InputError, match=r"there are: 4 \(sha256:0+\), 3 \(.*\), 1 \("):
        chosen(RECORDS, to, "app")


def test_table() -> None:
    lines = table(RECORDS).splitlines()
    assert lines[0].split()[:3] == ["release", "verdict", "started"]
    assert re.match(r"5 \*\s+returned-to 3\s", lines[2])
    assert re.match(r"2\s+failed\s", lines[5])


def packed(body: object) -> str:
    return base64.b64encode(zlib.compress(json.dumps(body).encode())).decode()


def unpacked(text: str) -> dict[str, Any]:
    return json.loads(zlib.decompress(base64.b64decode(text)))


DAMAGED = [
    base64.b64encode(b"no zlib").decode(),
    "no base64",
    base64.b64encode(zlib.compress(b"no json")).decode(),
    packed([]),
    packed({"number": 3}),
    packed({"number": 3, "created": [], "manifests": [{"of": "another form"}], "before": []}),
]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_record_that_cannot_be_read_ends_nothing_and_is_told(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    secret = to_secret("app", [record(2), record(1)])
    found = of_secret({"data": {**secret["data"], "v3": text}})
    assert [entry.number for entry in found] == [3, 2, 1]
    assert found[0].verdict == history.UNREADABLE
    assert "record 3 of this release cannot be read" in caplog.text
    assert not found[0].is_good
    assert not found[0].is_live
    assert found[0].unsettled == ()
    assert current(found) == found[1]
    assert chosen(found, None, "app") == found[2]
    assert "3" in table(found).splitlines()[1]


@pytest.mark.parametrize("text", DAMAGED)
def test_it_stays_as_it_is_for_whoever_can_read_it(text: str) -> None:
    found = of_secret({"data": {"v3": text}})
    again = to_secret("app", [record(4), *found])
    assert again["data"]["v3"] == text
    assert again["metadata"]["annotations"]["modelferry/v3"] == "cannot be read by this version"


def test_one_that_cannot_be_read_makes_room_like_any_other() -> None:
    noise = base64.b64encode(random.Random(1).randbytes(600_000)).decode()
    (large,) = of_secret({"data": {"v1": noise}})
    secret = to_secret("app", [record(2), large])
    assert sum(map(len, secret["data"].values())) < 1 << 20


def test_a_field_of_a_later_version_is_passed_over() -> None:
    given = record(1)
    data = dict(to_secret("app", [given])["data"])
    data["v1"] = packed({**unpacked(data["v1"]), "weather": "fair"})
    assert of_secret({"data": data}) == (given,)


def test_what_another_run_wrote_meanwhile_stays() -> None:
    own = record(3, history.PENDING, run="300/1")
    other = record(3, run="301/1")
    found = history.merged(own, (other, record(1)))
    assert [(entry.number, entry.run) for entry in found] == [
        (4, "300/1"),
        (3, "301/1"),
        (1, "101/1"),
    ]
    ended = found[0].ended(history.SUCCEEDED)
    again = history.merged(ended, found)
    assert again == (ended, *found[1:]), "it takes the place of what it had written before"


def test_a_run_that_comes_back_within_the_second_has_a_record_of_its_own() -> None:
    found = history.merged(record(2, run="500/1"), (record(1, run="500/1"),))
    assert [entry.number for entry in found] == [2, 1]
