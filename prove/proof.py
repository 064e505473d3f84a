"""What a proof is: a case that is played many times, and what each round may come to.

The tests play the same cases, each once: `with proof.open(env) as play: play(0).verdict`.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["right", "red", "wrong"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`red`: the step failed as it had to, with the right error, and left nothing half done."""

    verdict: Verdict
    detail: str = ""  # of what is wrong: enough to look into it without another round
    resent_bytes: int = 0


Play = Callable[[int], Outcome]  # a round's number is its seed: the same number, the same round


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    name: str  # module.case
    open: Callable[[Mapping[str, str]], AbstractContextManager[Play]]  # gets the testbed's env
    rounds: int

    @property
    def quick_rounds(self) -> int:
        return max(1, self.rounds // 10)


def right(*, resent_bytes: int = 0) -> Outcome:
    return Outcome(verdict="right", resent_bytes=resent_bytes)


def red(detail: str = "", *, resent_bytes: int = 0) -> Outcome:
    return Outcome(verdict="red", detail=detail, resent_bytes=resent_bytes)


def wrong(detail: str) -> Outcome:
    return Outcome(verdict="wrong", detail=detail)
