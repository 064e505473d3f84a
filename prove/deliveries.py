"""Whole runs of the action, from a storage to a registry, with faults on either side.

Right bytes or a red step, never a tag of a part: what a tag names is read back from the registry's
own storage.
"""

import hashlib
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from prove.action import Run, run_action
from prove.proof import Outcome, Play, Proof, red, right, wrong
from prove.stores import FILE, TARGET, Store, open_store
from testbed.fault_server import Fault, FaultServer, faults_before
from testbed.own_registry import OwnRegistry, own_registry

MIB = 1 << 20
MODEL_BYTES = 80 * MIB
DOCKERFILE = "FROM scratch\nCOPY app /app\n"
STORES = ("blob", "s3", "https")
MODEL_ERROR, REGISTRY_ERROR = 4, 7  # exit statuses


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a fault may lay hands on."""

    random: Random
    store: Store
    own: OwnRegistry
    source: FaultServer
    registry: FaultServer
    model: bytes
    later: bytes  # another model, for a fault that overwrites the first

    def overwrite(self) -> None:
        self.store.put(self.later)

    def in_model(self) -> int:
        return self.random.randrange(MODEL_BYTES)

    def break_source(self, fault: Fault) -> None:
        fault.path = FILE
        self.source.plan(fault)


Break = Callable[[Round], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    break_it: Break
    statuses: tuple[int, ...] = (0,)  # that are as they must be
    inputs: Mapping[str, str] | None = None

    @contextmanager
    def open(self, env: Mapping[str, str]) -> Iterator[Play]:
        name = f"prove-{uuid.uuid4().hex[:10]}"
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{name}-")))
            (folder / "registry").mkdir()
            own = stack.enter_context(own_registry(folder / "registry"))
            stack.callback(_remove_images, name)
            base = Random(name).randbytes(MODEL_BYTES - 9)

            def play(number: int) -> Outcome:
                models = [bytes([which]) + number.to_bytes(8) + base for which in (1, 2)]
                kind = STORES[number % len(STORES)]
                with open_store(kind, env, f"{name}-{number}", folder) as store:
                    store.put(models[0])
                    with store.faults() as source, faults_before(f"http://{own.host}") as registry:
                        self.break_it(
                            Round(
                                random=Random(number),
                                store=store,
                                own=own,
                                source=source,
                                registry=registry,
                                model=models[0],
                                later=models[1],
                            )
                        )
                        inputs = {
                            **store.inputs(source),
                            "registry": registry.host,
                            "insecure-registry": "true",
                            "repository": name,
                            "stages": "fetch build push",
                            **(self.inputs or {}),
                        }
                        finished = _deliver(folder / f"round-{number}", inputs, store.environment)
                        outcome = self._judged(finished, own, name, models)
                        planned = source.faults.planned + registry.faults.planned
                own.forget()
                if outcome.verdict != "wrong" and not all(fault.happened for fault in planned):
                    return wrong(f"the fault did not happen: {planned}\n{finished.log}")
                return outcome

            yield play

    def _judged(self, finished: Run, own: OwnRegistry, name: str, models: list[bytes]) -> Outcome:
        if finished.status not in self.statuses:
            return wrong(f"exit status {finished.status}\n{finished.log}")
        tags = own.tags(name)
        if finished.status != 0:
            if tags:
                return wrong(f"tags {tags} after a failure\n{finished.log}")
            return red(finished.error)
        good = [hashlib.sha256(model).hexdigest() for model in models]
        for tag in tags:
            if (problem := own.problem_with(name, tag, TARGET, good)) is not None:
                return wrong(f"{tag}: {problem}\n{finished.log}")
        return right() if tags else wrong(f"no tag\n{finished.log}")


def _deliver(folder: Path, inputs: Mapping[str, str], environment: Mapping[str, str]) -> Run:
    workspace, temp = folder / "workspace", folder / "temp"
    workspace.mkdir(parents=True)
    temp.mkdir()
    (workspace / "Dockerfile").write_text(DOCKERFILE)
    (workspace / "app").write_text(str(folder))
    return run_action(temp, workspace, inputs, environment)


def _remove_images(name: str) -> None:
    listing = ["docker", "image", "ls", "--quiet", "--no-trunc", f"modelferry.invalid/*{name}*"]
    found = subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split()
    if found:
        command = ["docker", "image", "rm", "--force", *found]
        subprocess.run(command, check=True, capture_output=True)


def source_resets(at: Round) -> None:
    for _ in range(at.random.randint(1, 3)):
        at.break_source(Fault(kind="reset", after_bytes=at.in_model()))


def source_truncates(at: Round) -> None:
    for _ in range(at.random.randint(1, 3)):
        at.break_source(Fault(kind="truncate", after_bytes=at.in_model()))


def source_gives_short_ranges(at: Round) -> None:
    at.break_source(Fault(kind="short", after_bytes=at.in_model() // 2))


def source_stalls(at: Round) -> None:
    at.break_source(Fault(kind="stall", after_bytes=at.in_model(), stall_s=60))


def source_refuses(at: Round) -> None:
    status = at.random.choice((500, 503, 429))
    times = at.random.randint(1, 3)
    headers = {"Retry-After": "1"}
    place = at.in_model() // 2
    at.break_source(
        Fault(kind="status", after_bytes=place, times=times, status=status, headers=headers)
    )


def source_flips(at: Round) -> None:
    at.break_source(Fault(kind="flip", after_bytes=at.in_model()))


def source_is_overwritten(at: Round) -> None:
    share = (0.1, 0.5, 0.9)[at.random.randrange(3)]
    place = int(share * MODEL_BYTES)
    at.break_source(Fault(kind="act", after_bytes=place, action=at.overwrite))


def registry_resets(at: Round) -> None:
    for _ in range(at.random.randint(1, 2)):
        at.registry.plan(Fault(kind="reset", method="PATCH", after_bytes=at.in_model()))


def registry_refuses(at: Round) -> None:
    status = at.random.choice((500, 503, 429))
    times, headers = at.random.randint(1, 3), {"Retry-After": "1"}
    at.registry.plan(
        Fault(kind="status", method="PATCH", times=times, status=status, headers=headers)
    )


def registry_restarts(at: Round) -> None:
    def restart() -> None:
        at.own.restart_after(at.random.uniform(0.2, 8))

    at.registry.plan(Fault(kind="act", method="PATCH", after_bytes=at.in_model(), action=restart))


def registry_gets_flipped_bytes(at: Round) -> None:
    at.registry.plan(Fault(kind="flip", method="PATCH", after_bytes=at.in_model()))


def both_break(at: Round) -> None:
    at.random.choice((source_resets, source_truncates, source_refuses))(at)
    at.random.choice((registry_resets, registry_refuses, registry_restarts))(at)


def _proof(name: str, rounds: int, break_it: Break, *statuses: int) -> Proof:
    case = Deliveries(break_it=break_it, statuses=statuses or (0,))
    return Proof(name=f"deliveries.{name}", rounds=rounds, open=case.open)


PROOFS = (
    _proof("undisturbed", 3, lambda _: None),
    _proof("source-reset", 20, source_resets),
    _proof("source-truncated", 20, source_truncates),
    _proof("source-short", 10, source_gives_short_ranges),
    _proof("source-stalled", 5, source_stalls),
    _proof("source-refused", 20, source_refuses),
    _proof("source-overwritten", 20, source_is_overwritten, 0, MODEL_ERROR),
    _proof("registry-reset", 20, registry_resets),
    _proof("registry-refused", 10, registry_refuses),
    _proof("registry-restarted", 10, registry_restarts),
    _proof("registry-flipped", 10, registry_gets_flipped_bytes),
    _proof("both", 20, both_break),
)
