from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest

from modelferry.redact import Redactor
from modelferry.values import Secret

CANARY = 'p@ss "sesame"/é+=='


@pytest.mark.parametrize(
    "leaked",
    [
        CANARY,
        base64.b64encode(CANARY.encode()).decode(),
        quote(CANARY, safe=""),
        json.dumps({"password": CANARY}),
        f"https://user:{quote(CANARY, safe='')}@host/",
    ],
)
def test_every_form_of_a_secret_is_hidden(leaked: str) -> None:
    redact = Redactor()
    redact.add([Secret(CANARY)])
    shown = redact(f"before {leaked} after")
    assert "***" in shown
    assert "sesame" not in shown
    assert shown.startswith("before ")
    assert shown.endswith(" after")


def test_what_is_shown_can_be_written() -> None:
    redact = Redactor()
    assert redact("m/\udcffé.bin").encode() == b"m/\\udcff\xc3\xa9.bin"
    redact.add([Secret("sesame")])
    assert redact("\udcff sesame") == "\\udcff ***"


def test_the_longer_secret_wins_where_one_is_part_of_another() -> None:
    redact = Redactor()
    redact.add([Secret("abcd"), Secret("abcdefgh")])
    assert redact("abcdefgh abcd") == "*** ***"


def test_adding_again_says_only_what_is_new() -> None:
    redact = Redactor()
    assert "abcdef" in redact.add([Secret("abcdef")])
    assert redact.add([Secret("abcdef")]) == ()


def test_without_secrets_text_is_left_alone() -> None:
    assert Redactor()("a.b*c") == "a.b*c"
