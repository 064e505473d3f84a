from __future__ import annotations

import pytest

from modelferry.registry.upload import PIECE_BYTES, first_form


@pytest.mark.parametrize(
    ("host", "form"),
    [
        ("score.azurecr.io", 0),
        ("127.0.0.1:5000", 0),
        ("ghcr.io", len(PIECE_BYTES)),  # all in one PATCH
        ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", 1),
    ],
)
def test_what_is_known_of_a_registry_decides_the_first_form(host: str, form: int) -> None:
    assert first_form(host) == form
