"""The app's container: how it is made, waited for, and what is said when it does not come up."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from modelferry.artifacts import Verdict
from modelferry.errors import TestsFailed


def test_an_app_that_comes_up_is_a_tested_image(ferry):
    tested = ferry.test(health_path="/health")
    assert tested.verdict is Verdict.PASSED
    assert tested.image is ferry.image


def test_the_wait_is_polled_until_a_late_app_listens(ferry):
    ferry.test(health_path="/health", mode="late")


def test_404_on_the_default_health_path_is_up(ferry):
    ferry.test(health_path="/")


def test_500_on_the_default_health_path_is_not_up(ferry):
    with pytest.raises(TestsFailed, match=r"GET / on port 8080.* status 500"):
        ferry.test(health_path="/", mode="broken", start_timeout_s=1.5)


def test_404_on_a_health_path_of_the_users_is_not_up(ferry):
    with pytest.raises(TestsFailed, match=r"GET /healthz on port 8080.* status 404"):
        ferry.test(health_path="/healthz", start_timeout_s=1.5)


def test_an_app_that_never_gets_healthy_tells_status_and_log(ferry):
    with pytest.raises(TestsFailed, match=r"never got healthy: GET /health .* 503") as caught:
        ferry.test(health_path="/health", mode="sick", start_timeout_s=1.5)
    assert "starting in mode sick" in caught.value.seen
    assert "start-timeout" in caught.value.do


def test_an_app_that_never_listens(ferry):
    with pytest.raises(TestsFailed, match=r"never got healthy.* no answer") as caught:
        ferry.test(health_path="/health", mode="deaf", start_timeout_s=1.5)
    assert "listening to nobody" in caught.value.seen


def test_an_app_that_exits_ends_the_wait_at_once(ferry):
    started = time.monotonic()
    with pytest.raises(TestsFailed, match=r"the app ended by itself: exit code 1") as caught:
        ferry.test(mode="exits", start_timeout_s=60)
    assert time.monotonic() - started < 15
    assert "model.onnx is missing" in caught.value.seen
    assert "line 160" in caught.value.seen
    assert "line 100" not in caught.value.seen  # bounded


def test_a_command_that_does_not_exist(ferry, build):
    ferry.image = replace(ferry.image, engine_id=build("commandless"))
    with pytest.raises(TestsFailed, match="Docker could not start the app") as caught:
        ferry.test()
    assert "/nope" in caught.value.seen


def test_an_image_that_the_engine_does_not_have(ferry):
    ferry.image = replace(ferry.image, engine_id=f"sha256:{'0' * 64}")
    with pytest.raises(TestsFailed, match="Docker could not start the app") as caught:
        ferry.test()
    assert "No such image" in caught.value.seen


def test_no_port_is_said_before_anything_is_started(ferry):
    ferry.image = replace(ferry.image, config=json.dumps({"config": {}}).encode())
    ferry.engine, engine = None, ferry.engine
    with pytest.raises(TestsFailed, match="EXPOSEs none and the input `port` is empty"):
        ferry.test()
    ferry.engine = engine


def test_the_app_has_default_privileges_its_own_environment_and_no_socket(ferry, monkeypatch):
    monkeypatch.setenv("INPUT_PASSWORD", "hunter2")
    ferry.test(
        checks='GET /self contains "capabilities": "00000000a80425fb"\n'
        'GET /self contains "MODE": "good"\n'
        'GET /self contains "socket": false'
    )
    with pytest.raises(TestsFailed, match="checks failed"):
        ferry.test(checks="GET /self contains hunter2", start_timeout_s=1)
