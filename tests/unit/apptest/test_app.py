from __future__ import annotations

import pytest

from modelferry.apptest.app import is_up


@pytest.mark.parametrize(
    ("path", "status", "up"),
    [
        ("/", 200, True),
        ("/", 302, True),
        ("/", 404, True),  # the default path: nobody may have asked for it
        ("/", 401, True),
        ("/", 500, False),
        ("/", 503, False),
        ("/healthz", 204, True),
        ("/healthz", 302, True),
        ("/healthz", 404, False),
        ("/healthz", 503, False),
    ],
)
def test_what_says_healthy(path, status, up):
    assert is_up(path, status) is up
