"""What readiness.py says of an object."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """`available 1 of 2`."""

    name: str
    value: int
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    notice: str = ""  # what a person should know although all is well
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    message: str
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    reason: str
    figures: tuple[Figure, ...] = ()


State = Done | Waiting | Failed
