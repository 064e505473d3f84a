from __future__ import annotations

import logging
import time

import pytest

from modelferry import progress
from modelferry.progress import LogMeter, heartbeat, log_meter


def test_short_work_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with log_meter("fetch", 10) as meter:
        meter.add(10)
    assert caplog.messages == []


def test_long_work_says_bytes_rate_and_time_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    meter = LogMeter("fetch model.onnx", 400 * 1024**2)
    now += 4
    meter.add(100 * 1024**2)
    now += 1
    meter.add(100 * 1024**2)
    assert caplog.messages == [
        "fetch model.onnx: 200.0 MiB of 400.0 MiB (50 %), 40.0 MiB/s, 5.0 s left"
    ]


def test_unknown_size_has_no_time_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    meter = LogMeter("load", None)
    now += 10
    meter.add(1024)
    assert caplog.messages == ["load: 1.0 KiB, 102 B/s"]


def test_a_heartbeat_says_what_is_waited_for_and_stops(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with heartbeat(lambda: "waiting for the app", every_s=0.05):
        time.sleep(0.3)
    said = len(caplog.messages)
    assert said >= 2
    assert caplog.messages[0].startswith("waiting for the app (")
    time.sleep(0.15)
    assert len(caplog.messages) == said
