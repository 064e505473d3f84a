"""Plays a proof's rounds, counts what came of them, and shows the counts."""

import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prove.proof import Outcome, Play, Proof, Verdict, wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    name: str
    outcomes: tuple[tuple[int, Outcome], ...]  # with the round's number
    seconds: float

    def count(self, verdict: Verdict) -> int:
        return sum(outcome.verdict == verdict for _, outcome in self.outcomes)

    @property
    def most_resent_bytes(self) -> int:
        return max((outcome.resent_bytes for _, outcome in self.outcomes), default=0)


def play_rounds(
    proof: Proof,
    env: Mapping[str, str],
    rounds: Iterable[int],
    on_wrong: Callable[[str], None],
    clock: Callable[[], float] = time.monotonic,
) -> Tally:
    began = clock()
    outcomes: list[tuple[int, Outcome]] = []
    with proof.open(env) as play:
        for number in rounds:
            outcome = _play_safely(play, number)
            outcomes.append((number, outcome))
            if outcome.verdict == "wrong":
                on_wrong(f"{proof.name} --round {number} is WRONG: {outcome.detail}")
    return Tally(name=proof.name, outcomes=tuple(outcomes), seconds=clock() - began)


def _play_safely(play: Play, number: int) -> Outcome:
    """An error that the case did not expect is what a proof looks for: the rest is played too."""
    try:
        return play(number)
    except Exception:  # noqa: BLE001
        return wrong(traceback.format_exc())


_ROW = "{:<36} {:>7} {:>7} {:>7} {:>7} {:>14} {:>9}"
HEADING = _ROW.format("proof", "rounds", "right", "red", "WRONG", "most resent", "seconds")


def row(tally: Tally) -> str:
    return _ROW.format(
        tally.name,
        len(tally.outcomes),
        tally.count("right"),
        tally.count("red"),
        tally.count("wrong"),
        f"{tally.most_resent_bytes / (1 << 20):.1f} MiB" if tally.most_resent_bytes else "-",
        f"{tally.seconds:.1f}",
    )
