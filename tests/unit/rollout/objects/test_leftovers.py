"""Which part of a strategy goes with it, and which stays somebody's."""

from __future__ import annotations

from typing import Any

import pytest

from modelferry.rollout.objects.leftovers import leftover

PATH = ("spec", "strategy", "rollingUpdate")
FILLED_IN = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}}


def deployment(strategy: Any, owner: str = "", kind: str = "Deployment") -> dict[str, Any]:
    fields = {"f:spec": {"f:strategy": {"f:rollingUpdate": {"f:maxSurge": {}}}}}
    entry = {"manager": owner, "operation": "Update", "apiVersion": "apps/v1", "fieldsV1": fields}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "score", "managedFields": [entry] if owner else []},
        "spec": {"strategy": strategy},
    }


def test_what_the_server_filled_in_goes_with_its_strategy() -> None:
    assert leftover(deployment({"type": "Recreate"}), deployment(FILLED_IN)) == PATH


@pytest.mark.parametrize("wanted", [None, {}, {"type": "RollingUpdate"}])
def test_it_stays_with_it(wanted: Any) -> None:
    assert leftover(deployment(wanted), deployment(FILLED_IN)) is None


def test_what_is_written_is_for_the_server_to_refuse() -> None:
    wanted = deployment({**FILLED_IN, "type": "Recreate"})
    assert leftover(wanted, deployment(FILLED_IN)) is None


@pytest.mark.parametrize(
    ("owner", "goes"), [("kubectl-client-side-apply", True), ("kubectl-edit", False), ("x", False)]
)
def test_what_another_manager_wrote_is_left_to_it(owner: str, *, goes: bool) -> None:
    found = leftover(deployment({"type": "Recreate"}), deployment(FILLED_IN, owner))
    assert (found == PATH) is goes


def test_other_kinds_may_keep_both() -> None:
    live = deployment(FILLED_IN, kind="DaemonSet")
    assert leftover(deployment({"type": "OnDelete"}, kind="DaemonSet"), live) is None
