"""`checks` against the running app."""

from __future__ import annotations

import time

import pytest

from modelferry.errors import TestsFailed


def test_methods_bodies_statuses_and_texts(ferry):
    ferry.write("digits.json", '{"digits": [1, 2]}')
    ferry.write("cat.jpg", "no real cat")
    ferry.test(
        checks="""GET /version => 200 contains 1.4.2
HEAD /version
GET /moved => 302
GET /nothing => 404
POST /score {"x": 1} contains application/json
POST /made {"a => b": "c"} => 201
POST /score @digits.json contains digits
POST /score @digits.json contains application/json
POST /score image=@cat.jpg contains multipart/form-data
POST /score image=@cat.jpg contains no real cat"""
    )


def test_the_first_check_is_sent_until_it_is_answered_as_wanted(ferry):
    ferry.test(checks="GET /warming")


def test_later_checks_are_sent_once(ferry):
    with pytest.raises(TestsFailed, match=r"1 of 2 checks failed: line 2: GET /warming → 503"):
        ferry.test(checks="GET /version\nGET /warming")


def test_every_failed_check_is_told_with_what_was_answered(ferry):
    with pytest.raises(TestsFailed) as caught:
        ferry.test(
            checks="GET /version contains 1.5\nGET /version\nGET /moved", start_timeout_s=2.0
        )
    assert caught.value.what == (
        "2 of 3 checks failed: line 1: GET /version → 200, wanted any 2xx containing '1.5':"
        ' {"version": "1.4.2"}'
    )
    assert "line 3: GET /moved → 302, wanted any 2xx" in caught.value.seen
    assert "starting in mode good" in caught.value.seen


def test_an_app_that_dies_under_a_check(ferry):
    started = time.monotonic()
    with pytest.raises(TestsFailed, match=r"the app ended by itself: exit code 7") as caught:
        ferry.test(checks="GET /die", start_timeout_s=60)
    assert time.monotonic() - started < 15
    assert "asked to die" in caught.value.seen


def test_an_answer_without_end_is_cut(ferry):
    ferry.test(checks="GET /endless contains xxxx")
