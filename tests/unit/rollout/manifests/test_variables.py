from __future__ import annotations

import pytest

from modelferry.rollout.manifests.variables import near_misses, replacer

VARIABLES = {
    "IMAGE": "reg/app@sha256:1",
    "IMAGE_DIGEST": "sha256:1",
    "ACR_DNS": "reg.azurecr.io",
    "Build.BuildId": "4711",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$ACR_DNS/model-api:$(Build.BuildId)", "reg.azurecr.io/model-api:4711"),
        ("$IMAGE_DIGEST $IMAGE", "sha256:1 reg/app@sha256:1"),
        ("${IMAGE}", "reg/app@sha256:1"),
        ("$(IMAGE)", "reg/app@sha256:1"),
        ("$Build.BuildId", "4711"),
        ("$ACR_DNS.backup", "reg.azurecr.io.backup"),
        ("$IMAGES", "$IMAGES"),
        ("$IMAGE2", "$IMAGE2"),
        ("$$(IMAGE)", "$$(IMAGE)"),
        ("${IMAGE:-x}", "${IMAGE:-x}"),
        ("${IMAGE)", "${IMAGE)"),
        ("$(POD_IP) ${HOME} $1 $", "$(POD_IP) ${HOME} $1 $"),
        ("$image", "$image"),
    ],
)
def test_only_known_names_are_replaced(text: str, expected: str) -> None:
    assert replacer(VARIABLES)(text) == expected


def test_a_value_is_not_searched_again() -> None:
    assert replacer({"A": "$B", "B": "x"})("$A") == "$B"


def test_without_variables_nothing_changes() -> None:
    assert replacer({})("$A $()") == "$A $()"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: ${ACR_DSN}/x", [("${ACR_DSN}", "ACR_DNS")]),
        ("$(Build.BuildID) $(Build.BuildID)", [("$(Build.BuildID)", "Build.BuildId")]),
        ("$IMAGES", [("$IMAGES", "IMAGE")]),
        ("$$(IMAGES) ${HOME} $(POD_IP) ${IMAGE_PULL}", []),
    ],
)
def test_near_misses(text: str, expected: list[tuple[str, str]]) -> None:
    assert list(near_misses(text, VARIABLES)) == expected
