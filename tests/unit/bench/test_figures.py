"""What a row says of its samples, and that it survives its JSON."""

from __future__ import annotations

import json

import pytest

from bench.figures import Bar, Row, from_json, spread, to_json


def row(**different: object) -> Row:
    values: dict[str, object] = {
        "id": "a",
        "measure": "cold",
        "case": "2 GiB fp16, one file",
        "unit": "s",
        "bar": Bar(limit=0.15),
        "ours": (1.0, 9.0, 2.0),
        "peer": (10.0, 20.0, 40.0),
        "peer_name": "docker",
        "note": "registry empty",
    }
    return Row(**{**values, **different})  # pyright: ignore[reportArgumentType]


def test_the_ratio_is_that_of_the_medians() -> None:
    assert row().ratio == pytest.approx(2 / 20)


def test_without_a_peer_there_is_no_ratio() -> None:
    assert row(peer=(), bar=Bar(limit=2, of="ours")).ratio is None


def test_a_peer_of_nothing_gives_no_ratio() -> None:
    assert row(peer=(0.0,), bar=Bar(limit=2, of="ours")).ratio is None


@pytest.mark.parametrize(
    ("ours", "bar", "met"),
    [
        ((3.0,), Bar(limit=0.15), True),
        ((3.1,), Bar(limit=0.15), False),
        ((40.0,), Bar(limit=2, most=False), True),
        ((39.0,), Bar(limit=2, most=False), False),
        ((2.0,), Bar(limit=2, of="ours"), True),
        ((2.1,), Bar(limit=2, of="ours"), False),
        ((0.0,), Bar(limit=0, of="ours"), True),
    ],
)
def test_a_bar_is_met_on_its_limit_and_not_past_it(
    ours: tuple[float, ...], bar: Bar, *, met: bool
) -> None:
    assert row(ours=ours, bar=bar).met is met


def test_a_row_without_samples_is_refused() -> None:
    with pytest.raises(ValueError, match="has no sample"):
        row(ours=())


def test_a_ratio_needs_a_peer() -> None:
    with pytest.raises(ValueError, match="has no peer"):
        row(peer=())


def test_spread_is_from_least_to_greatest_as_a_part_of_the_median() -> None:
    assert spread((8.0, 10.0, 13.0)) == pytest.approx(0.5)
    assert spread((3.0,)) == 0
    assert spread((0.0, 0.0)) == 0


def test_json_has_what_others_read() -> None:
    body = json.loads(json.dumps(to_json(row())))
    assert {name: body[name] for name in ("id", "ours", "peer", "ratio", "bar", "unit", "met")} == {
        "id": "a",
        "ours": 2.0,
        "peer": 20.0,
        "ratio": 0.1,
        "bar": 0.15,
        "unit": "s",
        "met": True,
    }
    assert body["samples"] == {"ours": [1.0, 9.0, 2.0], "peer": [10.0, 20.0, 40.0]}
    assert body["spread"] == {"ours": 4.0, "peer": 1.5}


@pytest.mark.parametrize(
    "given",
    [
        row(),
        row(peer=(), peer_name="", note="", bar=Bar(limit=2, of="ours")),
        row(bar=Bar(limit=2, most=False)),
    ],
)
def test_json_and_back_is_the_same_row(given: Row) -> None:
    assert from_json(json.loads(json.dumps(to_json(given)))) == given
