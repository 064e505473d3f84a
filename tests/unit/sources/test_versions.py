from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.sources.versions import natural_key, newest_last, version_key

# Each row in ascending order.
ORDERS = [
    ["v1.2.0", "v1.9.0", "v1.10.0"],
    ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2"],
    ["1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1-rc.1", "1.0.1"],
    ["v1", "v2.1.0", "v3"],
    ["9", "10", "11"],
    ["20240131", "20240201"],
    ["1.2.3", "1.2.3.1", "1.2.4"],
    ["2024-2-1", "2024-12-05", "2025-01-01"],
    ["model-2.onnx", "model-10.onnx"],
    ["a9", "a10", "b1"],
    ["run-0099", "run-0100"],
]


@pytest.mark.parametrize("ascending", ORDERS, ids=lambda row: row[-1])
def test_orders_names(ascending: list[str]) -> None:
    assert newest_last(reversed(ascending)) == (tuple(ascending), ())


def test_passes_over_what_is_no_version_where_there_are_versions() -> None:
    ordered, passed_over = newest_last(["tmp", "v1.0.0", "zz-backup", "v0.9.0", "2024-01-05"])
    assert ordered == ("v0.9.0", "v1.0.0")
    assert set(passed_over) == {"tmp", "zz-backup", "2024-01-05"}


def test_equal_versions_have_one_order_whatever_comes_first() -> None:
    assert newest_last(["v1.0", "1.0.0", "1"]) == newest_last(["1", "1.0.0", "v1.0"])


@pytest.mark.parametrize(
    "name",
    ["", "v", "1.", ".1", "v1.0-rc1", "1.0.0-", "1..0", "latest", "1.0.0 ", "V", "\u0661.2.3"],
)
def test_these_are_no_versions(name: str) -> None:
    assert version_key(name) is None


def test_build_metadata_has_no_rank() -> None:
    assert version_key("1.0.0+abc") == version_key("1.0.0+def") == version_key("1.0.0")


@given(st.lists(st.text(alphabet="v0123456789.-abc+", max_size=12), unique=True, max_size=8))
def test_any_names_are_ordered_and_none_is_lost(names: list[str]) -> None:
    ordered, passed_over = newest_last(names)
    assert sorted((*ordered, *passed_over)) == sorted(names)
    keys = [version_key(name) or natural_key(name) for name in ordered]
    assert all(low <= high for low, high in pairwise(keys))  # pyright: ignore[reportOperatorIssue]
