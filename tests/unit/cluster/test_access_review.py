"""Which rights are asked for; tests/contracts/test_cluster.py asks a real API server."""

from __future__ import annotations

from typing import Any

import pytest

from modelferry.cluster.access_review import check
from modelferry.cluster.resources import PODS, SECRETS, Resource

DEPLOYMENTS = Resource(
    api_version="apps/v1", kind="Deployment", plural="deployments", namespaced=True
)


def warnings(refused: tuple[str, str], *resources: Resource) -> tuple[str, ...]:
    """Of a user who may do all but this verb on these objects."""

    def call(_: str, path: str, *, body: dict[str, Any]) -> dict[str, Any]:
        asked = body["spec"]["resourceAttributes"]
        return {"status": {"allowed": (asked["verb"], asked["resource"]) != refused}}

    places = [(resource, "n") for resource in resources]
    return check(call, places, lambda _: True, asked=False)


def test_the_right_to_see_autoscalers_is_useful_where_something_scales() -> None:
    listing = ("list", "horizontalpodautoscalers")
    (warning,) = warnings(listing, DEPLOYMENTS)
    assert "may not list horizontalpodautoscalers.autoscaling in namespace n: " in warning
    assert "`replicas`" in warning
    assert warnings(listing, PODS, SECRETS) == ()


@pytest.mark.parametrize("verb", ["get", "watch"])
def test_no_other_right_to_them_is_asked_for(verb: str) -> None:
    assert warnings((verb, "horizontalpodautoscalers"), DEPLOYMENTS) == ()
