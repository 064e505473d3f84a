"""Contenders take turns: A B, B A, A B, so that what drifts on the machine meets all alike."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

log = logging.getLogger("bench")


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """`prepare` is not timed. `run` is, unless it says itself what its sample is."""

    name: str
    run: Callable[[], float | None]
    prepare: Callable[[], Any] = lambda: None


def take_turns(rounds: int, contenders: Sequence[Contender]) -> dict[str, tuple[float, ...]]:
    """Each contender's samples, by name."""
    samples: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            sample = _take(contender)
            samples[contender.name].append(sample)
            log.info("  round %d, %s: %.4g", number + 1, contender.name, sample)
    return {name: tuple(values) for name, values in samples.items()}


def _take(contender: Contender) -> float:
    contender.prepare()
    os.sync()  # what was written before is not this one's to wait for
    began = time.monotonic()
    told = contender.run()
    return time.monotonic() - began if told is None else told
