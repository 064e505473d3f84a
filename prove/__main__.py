"""`scripts/prove [--quick] [--round N] [NAME…]`: a table of counts, non-zero if one is wrong."""

import argparse
import logging
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from prove import deliveries, releases, sources, transfers, turns, watching
from prove.proof import Proof
from prove.tally import HEADING, Tally, play_rounds, row

ROOT = Path(__file__).parent.parent
PROOFS = (
    *transfers.PROOFS,
    *sources.PROOFS,
    *deliveries.PROOFS,
    *watching.PROOFS,
    *releases.PROOFS,
    *turns.PROOFS,
)


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    proofs = chosen(PROOFS, asked.names)
    if not proofs:
        sys.stderr.write(f"prove: no such proof; there are: {' '.join(p.name for p in PROOFS)}\n")
        return 2
    if asked.round is None:  # what is wrong is told; the rest is a round's own story
        logging.getLogger("modelferry").addHandler(logging.NullHandler())
    env = _testbed_env()
    print(
        "A round is right, or red as it must be; WRONG is neither.", HEADING, sep="\n", flush=True
    )
    tallies: list[Tally] = []
    try:
        for proof in proofs:
            count = proof.quick_rounds if asked.quick else proof.rounds
            rounds = range(count) if asked.round is None else [asked.round]
            tallies.append(play_rounds(proof, env, rounds, on_wrong=_tell))
            print(row(tallies[-1]), flush=True)
            if asked.round is not None:
                print(*(f"{told.verdict}: {told.detail}" for _, told in tallies[-1].outcomes))
    except KeyboardInterrupt:
        sys.stderr.write("prove: interrupted\n")
        return 130
    return verdict(tallies)


def chosen(proofs: Sequence[Proof], names: Sequence[str]) -> tuple[Proof, ...]:
    """By whole name or by module; all without a name, none when one is unknown."""
    found = {
        name: [p for p in proofs if p.name == name or p.name.startswith(f"{name}.")]
        for name in names
    }
    if not all(found.values()):
        return ()
    return tuple(p for p in proofs if not names or any(p in group for group in found.values()))


def verdict(tallies: Sequence[Tally]) -> int:
    wrong = sum(tally.count("wrong") for tally in tallies)
    rounds = sum(len(tally.outcomes) for tally in tallies)
    print(f"{rounds} rounds, {wrong} wrong")
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/prove", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="a module, or module.case")
    parser.add_argument("--quick", action="store_true", help="a tenth of the rounds")
    parser.add_argument("--round", type=int, metavar="N", help="this round alone, as it was")
    return parser


def _testbed_env() -> Mapping[str, str]:
    printed = subprocess.run(
        [ROOT / "scripts/testbed", "env"], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    return dict(word.split("=", 1) for word in shlex.split(printed) if word != "export")


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
