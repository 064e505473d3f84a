from __future__ import annotations

import pytest

from modelferry.errors import RegistryError
from modelferry.registry.patience import FIRST_S, LASTING_S, Patience

AWAY = RegistryError("away", temporary=True)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += seconds


def waited(lasts_s: float, asked_s: float = 0.0, clock: Clock | None = None) -> float:
    clock = clock or Clock()
    patience, began = Patience(lasts_s, clock.pause, clock), clock.now
    try:
        while True:
            patience.wait(AWAY, asked_s)
    except RegistryError:
        return clock.now - began


def test_a_restart_of_a_minute_is_waited_for() -> None:
    assert 60 < waited(LASTING_S) <= LASTING_S


def test_an_address_where_nothing_answers_is_given_up_in_seconds() -> None:
    assert 1 < waited(FIRST_S) <= FIRST_S


def test_what_the_registry_asks_for_is_kept_to_even_then() -> None:
    assert 60 <= waited(FIRST_S, asked_s=60) <= LASTING_S


def test_what_is_not_temporary_is_raised_at_once() -> None:
    clock = Clock()
    with pytest.raises(RegistryError, match="locked"):
        Patience(LASTING_S, clock.pause, clock).wait(RegistryError("locked"))
    assert clock.now == 100.0


def test_each_step_forward_starts_it_anew() -> None:
    clock = Clock()
    patience = Patience(FIRST_S, clock.pause, clock)
    for _ in range(20):
        patience.wait(AWAY)
        patience.renew()
    assert clock.now - 100.0 == pytest.approx(10, rel=0.1)
