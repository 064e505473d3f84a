"""An image on its way to a real registry, and what may happen to it there.

Right bytes or a red step, never a tag of a part. What a fault makes us send again is at most a
piece, or a layer where it breaks a piece: this registry (distribution's) then begins anew.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from prove.proof import Outcome, Play, Proof, wrong
from prove.push import LAYER_BYTES, PIECE, Push, client, judged, registry_and_layers
from testbed.fault_server import Fault, faults_before
from testbed.toxiproxy import bad_line


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaks:
    """Faults of the way between us and the registry. `each_resends`: the most that one costs."""

    faults: Callable[[Random], list[Fault]]
    each_resends: int
    must: str = "right"

    @contextmanager
    def open(self, env: Mapping[str, str]) -> Iterator[Play]:
        del env  # the registry is the proof's own
        with registry_and_layers() as (own, layer):

            def play(number: int) -> Outcome:
                faults = self.faults(Random(number))
                with faults_before(f"http://{own.host}") as server:
                    server.faults.planned.extend(faults)
                    push = Push(registry=client(server.host), layer=layer(number))
                    most = sum(fault.times for fault in faults) * self.each_resends
                    outcome = judged(push, own, must=self.must, most_resent_bytes=most)
                if outcome.verdict != "wrong" and not all(fault.happened for fault in faults):
                    return wrong(f"the fault did not happen: {faults}")
                return outcome

            yield play


def in_pieces(random: Random) -> int:
    """A byte of the layer that goes out in a piece."""
    return random.randrange(LAYER_BYTES)


def resets(random: Random) -> list[Fault]:
    places = [in_pieces(random) for _ in range(random.randint(1, 3))]
    return [Fault(kind="reset", method="PATCH", after_bytes=place) for place in places]


def stalls(random: Random) -> list[Fault]:
    return [Fault(kind="stall", method="PATCH", after_bytes=in_pieces(random), stall_s=45)]


def refusals(random: Random) -> list[Fault]:
    status = random.choice((500, 502, 503, 429))
    asked = {"Retry-After": str(random.randint(1, 3))} if random.random() < 0.5 else {}
    method = random.choice(("POST", "PATCH", "PUT"))
    return [
        Fault(
            kind="status",
            method=method,
            path="/blobs/uploads/",
            after_bytes=random.choice((0, PIECE)) if method == "PATCH" else 0,
            times=random.randint(1, 3),
            status=status,
            headers=asked,
            drains=random.random() < 0.5,
        )
    ]


def manifest_refusals(random: Random) -> list[Fault]:
    status = random.choice((500, 503, 429))
    return [Fault(kind="status", method="PUT", path="/manifests/", times=2, status=status)]


def lost_answers(random: Random) -> list[Fault]:
    method = random.choice(("POST", "PUT"))
    return [Fault(kind="lose-answer", method=method, path="/blobs/uploads/")]


def lost_answers_to_pieces(random: Random) -> list[Fault]:
    return [Fault(kind="lose-answer", method="PATCH", after_bytes=random.randrange(2) * PIECE)]


def flips(random: Random) -> list[Fault]:
    return [Fault(kind="flip", method="PATCH", after_bytes=in_pieces(random))]


def flips_for_ever(random: Random) -> list[Fault]:
    return [Fault(kind="flip", method="PATCH", after_bytes=in_pieces(random), times=1 << 30)]


@contextmanager
def _restarts(env: Mapping[str, str]) -> Iterator[Play]:
    """Killed in mid-upload, back after up to twenty seconds; each tenth time after a minute."""
    del env
    with registry_and_layers() as (own, layer):

        def play(number: int) -> Outcome:
            random = Random(number)
            at, away_s = in_pieces(random), random.uniform(0.2, 20)
            push = Push(registry=client(own.host), layer=layer(number))

            def kill_once(total: int) -> None:
                if total >= at and push.on_sent is kill_once:
                    push.on_sent = lambda _: None
                    own.restart_after(60 if number % 10 == 9 else away_s)

            push.on_sent = kill_once
            return judged(push, own, must="right", most_resent_bytes=LAYER_BYTES)

        yield play


@contextmanager
def _gone(env: Mapping[str, str]) -> Iterator[Play]:
    """Killed in mid-upload for good."""
    del env
    with registry_and_layers() as (own, layer):

        def play(number: int) -> Outcome:
            at = in_pieces(Random(number))
            push = Push(registry=client(own.host), layer=layer(number))
            push.on_sent = lambda total: own.kill() if total >= at else None
            outcome = judged(push, own, must="red", most_resent_bytes=PIECE)
            own.start()
            return outcome

        yield play


@contextmanager
def _cut_lines(env: Mapping[str, str]) -> Iterator[Play]:
    """Nobody answers at the address for a while, as when a load balancer is replaced; or somebody
    does, and resets each connection."""
    with (
        registry_and_layers() as (own, layer),
        bad_line(env["TESTBED_TOXIPROXY"], own.host) as line,
    ):

        def play(number: int) -> Outcome:
            random = Random(number)
            at, away_s = in_pieces(random), random.uniform(0.2, 5)
            push = Push(registry=client(line.host), layer=layer(number))

            def cut_once(total: int) -> None:
                if total >= at and push.on_sent is cut_once:
                    push.on_sent = lambda _: None
                    if number % 2:
                        line.add("reset_peer", timeout=0)
                    else:
                        line.cut()
                    line.mend_after(away_s)

            push.on_sent = cut_once
            return judged(push, own, must="right", most_resent_bytes=LAYER_BYTES)

        yield play


@contextmanager
def _dead_tokens(env: Mapping[str, str]) -> Iterator[Play]:
    """Tokens that live three seconds and are said to live five minutes; an upload takes longer."""
    del env
    # The registry grants a minute to clocks that differ.
    with registry_and_layers(access_s=3 - 60) as (own, layer):

        def play(number: int) -> Outcome:
            pause_s = Random(number).uniform(5, 8) * (256 << 10) / LAYER_BYTES
            push = Push(registry=client(own.host), layer=layer(number))
            push.on_sent = lambda _: time.sleep(pause_s)
            return judged(push, own, must="right", most_resent_bytes=2 * PIECE)

        yield play


PROOFS = (
    Proof(
        name="transfers.reset", rounds=30, open=Breaks(faults=resets, each_resends=LAYER_BYTES).open
    ),
    Proof(
        name="transfers.stall", rounds=5, open=Breaks(faults=stalls, each_resends=LAYER_BYTES).open
    ),
    Proof(
        name="transfers.refused", rounds=40, open=Breaks(faults=refusals, each_resends=PIECE).open
    ),
    Proof(
        name="transfers.refused-manifest",
        rounds=10,
        open=Breaks(faults=manifest_refusals, each_resends=0).open,
    ),
    Proof(
        name="transfers.lost-answer",
        rounds=20,
        open=Breaks(faults=lost_answers, each_resends=0).open,
    ),
    Proof(
        name="transfers.lost-piece-answer",
        rounds=10,
        open=Breaks(faults=lost_answers_to_pieces, each_resends=LAYER_BYTES).open,
    ),
    Proof(
        name="transfers.flipped-byte",
        rounds=10,
        open=Breaks(faults=flips, each_resends=LAYER_BYTES).open,
    ),
    Proof(
        name="transfers.flipped-for-ever",
        rounds=10,
        open=Breaks(faults=flips_for_ever, each_resends=0, must="red").open,
    ),
    Proof(name="transfers.restarted", rounds=20, open=_restarts),
    Proof(name="transfers.gone", rounds=2, open=_gone),
    Proof(name="transfers.cut-line", rounds=20, open=_cut_lines),
    Proof(name="transfers.dead-token", rounds=5, open=_dead_tokens),
)
