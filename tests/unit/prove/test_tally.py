from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from prove import __main__ as prove
from prove.proof import Outcome, Play, Proof, red, right, wrong
from prove.tally import play_rounds, row

OUTCOMES = (right(resent_bytes=3 << 20), red("as it must be"), wrong("half a tag"), right())


def proof(name: str, rounds: int = 4) -> Proof:
    @contextmanager
    def opened(env: Mapping[str, str]) -> Iterator[Play]:
        def play(number: int) -> Outcome:
            if env.get("broken"):
                raise ZeroDivisionError
            return OUTCOMES[number % 4]

        yield play

    return Proof(name=name, open=opened, rounds=rounds)


def test_rounds_are_counted_by_what_came_of_them() -> None:
    told: list[str] = []
    tally = play_rounds(proof("a.b"), {}, range(8), told.append, iter([1.0, 3.5]).__next__)
    assert [tally.count("right"), tally.count("red"), tally.count("wrong")] == [4, 2, 2]
    assert told == ["a.b --round 2 is WRONG: half a tag", "a.b --round 6 is WRONG: half a tag"]
    assert row(tally).split() == ["a.b", "8", "4", "2", "2", "3.0", "MiB", "2.5"]


def test_an_error_nobody_expected_is_wrong_and_the_rest_is_played() -> None:
    told: list[str] = []
    tally = play_rounds(proof("a.b"), {"broken": "1"}, range(3), told.append)
    assert tally.count("wrong") == 3
    assert "ZeroDivisionError" in told[0]


def test_proofs_are_chosen_by_name_and_by_module() -> None:
    every = (proof("a.b"), proof("a.c"), proof("ab.c"))
    assert [p.name for p in prove.chosen(every, ["a"])] == ["a.b", "a.c"]
    assert [p.name for p in prove.chosen(every, ["ab.c", "a.b"])] == ["a.b", "ab.c"]
    assert prove.chosen(every, []) == every
    assert prove.chosen(every, ["a", "z"]) == ()


@pytest.fixture
def own_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prove, "PROOFS", (proof("good.one", 20), proof("bad.one", 30)))
    monkeypatch.setattr(prove, "_testbed_env", dict)


@pytest.mark.usefixtures("own_proofs")
@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["good", "--quick"], 0, "2 rounds, 0 wrong"),
        (["bad", "--quick"], 1, "3 rounds, 1 wrong"),
        ([], 1, "50 rounds, 12 wrong"),
        (["bad", "--round", "2"], 1, "1 rounds, 1 wrong"),
        (["bad", "--round", "3"], 0, "1 rounds, 0 wrong"),
    ],
)
def test_the_status_says_whether_anything_was_wrong(
    arguments: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prove.main(arguments) == status
    assert capsys.readouterr().out.splitlines()[-1] == says


@pytest.mark.usefixtures("own_proofs")
def test_an_unknown_name_is_told_with_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert prove.main(["ugly"]) == 2
    assert "good.one bad.one" in capsys.readouterr().err


def test_every_real_proof_has_a_module_in_its_name_and_a_name_of_its_own() -> None:
    names = [p.name for p in prove.PROOFS]
    assert len(set(names)) == len(names)
    assert all(name.count(".") == 1 for name in names)
