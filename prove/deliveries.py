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

from modelferry.sources.ranges import PART_BYTES
from prove.action import Run, run_action
from prove.proof import Outcome, Play, Proof, red, right, wrong
from prove.stores import FILE, TARGET, Store, open_store
from testbed.fault_server import Fault, FaultServer, faults_before
from testbed.own_registry import OwnRegistry, own_registry
from testbed.small_engine import small_engine

MIB = 1 << 20
MODEL_BYTES = 80 * MIB
DOCKERFILE = "FROM scratch\nCOPY app /app\n"
STORES = ("blob", "s3", "https")
SLACK_BYTES = MIB  # manifests, listings
APP_TAG = "-app"  # ends the tag of the app without its model, which is a cache
MODEL_ERROR, BUILD_ERROR = 4, 5  # exit statuses


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a fault may lay hands on."""

    random: Random
    store: Store
    later: bytes  # a model that may overwrite the first
    own: OwnRegistry
    source: FaultServer
    registry: FaultServer

    def overwrite(self) -> None:
        self.store.put(self.later)

    def in_model(self) -> int:
        return self.random.randrange(MODEL_BYTES)

    def break_source(self, fault: Fault) -> None:
        fault.path = FILE
        self.source.plan(fault)

    @property
    def faults(self) -> list[Fault]:
        return self.source.faults.planned + self.registry.faults.planned

    @property
    def resent_bytes(self) -> int:
        """On both sides, beyond the model once from its storage and each blob once to here."""
        up = sum(self.registry.passed_bytes.get(method, 0) for method in ("PATCH", "PUT"))
        again = self.source.passed_bytes.get("GET", 0) - MODEL_BYTES + up - self.own.stored_bytes()
        return max(0, again)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    break_it: Callable[[Round], None]
    each_resends: int  # at the most, by one fault
    statuses: tuple[int, ...] = (0,)  # that are as they must be
    stages: str = "fetch build push"
    engine_disk_bytes: int | None = None  # of an engine of the proof's own; None: the machine's
    says_sha256: bool = False  # of the model, as an input

    @contextmanager
    def open(self, env: Mapping[str, str]) -> Iterator[Play]:
        name = f"prove-{uuid.uuid4().hex[:10]}"
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{name}-")))
            (folder / "registry").mkdir()
            own = stack.enter_context(own_registry(folder / "registry"))
            environment = self._engine(stack, folder)
            stack.callback(_remove_images, name)
            base = Random(name).randbytes(MODEL_BYTES - 9)

            def play(number: int) -> Outcome:
                models = [bytes([which]) + number.to_bytes(8) + base for which in (1, 2)]
                kind = STORES[number % len(STORES)]
                with open_store(kind, env, f"{name}-{number}", folder) as store:
                    store.put(models[0])
                    with store.faults() as source, faults_before(f"http://{own.host}") as registry:
                        at = Round(
                            random=Random(number),
                            store=store,
                            later=models[1],
                            own=own,
                            source=source,
                            registry=registry,
                        )
                        self.break_it(at)
                        inputs = self._inputs(at, name)
                        if self.says_sha256:
                            inputs["model-sha256"] = hashlib.sha256(models[0]).hexdigest()
                        settings = store.environment | environment
                        run = _deliver(folder / f"round-{number}", inputs, settings)
                        outcome = self._judged(run, at, name, models)
                own.forget()
                return outcome

            yield play

    def _engine(self, stack: ExitStack, folder: Path) -> dict[str, str]:
        if self.engine_disk_bytes is None:
            return {}
        (folder / "engine").mkdir()
        host = stack.enter_context(small_engine(folder / "engine", self.engine_disk_bytes))
        return {"DOCKER_HOST": host}

    def _inputs(self, at: Round, name: str) -> dict[str, str]:
        return {
            **at.store.inputs(at.source),
            "registry": at.registry.host,
            "insecure-registry": "true",
            "repository": name,
            "stages": self.stages,
            "unit-tests": "true",
        }

    def _judged(self, run: Run, at: Round, name: str, models: list[bytes]) -> Outcome:
        if problem := self._problem(run, at, name, models):
            return wrong(f"{problem}\n{run.log}")
        if run.status != 0:
            return red(run.error, resent_bytes=at.resent_bytes)
        return right(resent_bytes=at.resent_bytes)

    def _problem(self, run: Run, at: Round, name: str, models: list[bytes]) -> str | None:
        tags = at.own.tags(name)
        if run.status not in self.statuses:
            return f"exit status {run.status}"
        if idle := [fault for fault in at.faults if not fault.happened]:
            return f"faults that did not happen: {idle}"
        if run.status != 0:
            return f"tags {tags} after a failure" if tags else None
        most = sum(fault.happened for fault in at.faults) * self.each_resends + SLACK_BYTES
        if at.resent_bytes > most:
            return f"{at.resent_bytes} bytes went again, more than {most}"
        if broken := [blob for tag in tags for blob in at.own.broken_blobs(name, tag)]:
            return f"blobs that are not whole: {broken}"
        good = [hashlib.sha256(model).hexdigest() for model in models]
        with_model = [tag for tag in tags if not tag.endswith(APP_TAG)]
        found = {at.own.sha256_in_image(name, tag, TARGET) for tag in with_model}
        return None if len(found) == 1 and found <= set(good) else f"{TARGET} is {found}: {tags}"


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


def _proof(name: str, rounds: int, case: Deliveries) -> Proof:
    return Proof(name=f"deliveries.{name}", rounds=rounds, open=case.open)


def _source(break_it: Callable[[Round], None]) -> Deliveries:
    """What a storage's fault costs: the part of the file that was on its way."""
    return Deliveries(break_it=break_it, each_resends=PART_BYTES)


def _registry(break_it: Callable[[Round], None]) -> Deliveries:
    """A layer sent anew is read anew."""
    return Deliveries(break_it=break_it, each_resends=2 * MODEL_BYTES)


OVERWRITTEN = Deliveries(
    break_it=source_is_overwritten, each_resends=2 * MODEL_BYTES, statuses=(0, MODEL_ERROR)
)
FLIPPED = Deliveries(
    break_it=source_flips, each_resends=PART_BYTES, statuses=(MODEL_ERROR,), says_sha256=True
)
# What the model takes while it is loaded is more than there is.
FULL_DISK = Deliveries(
    break_it=lambda _: None,
    each_resends=0,
    statuses=(BUILD_ERROR,),
    stages="fetch build test push",
    engine_disk_bytes=MODEL_BYTES + 20 * MIB,
)

PROOFS = (
    _proof("undisturbed", 3, _source(lambda _: None)),
    _proof("source-reset", 20, _source(source_resets)),
    _proof("source-truncated", 20, _source(source_truncates)),
    _proof("source-short", 10, _source(source_gives_short_ranges)),
    _proof("source-stalled", 5, _source(source_stalls)),
    _proof("source-refused", 20, _source(source_refuses)),
    _proof("source-flipped", 10, FLIPPED),
    _proof("source-overwritten", 20, OVERWRITTEN),
    _proof("registry-reset", 20, _registry(registry_resets)),
    _proof("registry-refused", 10, _registry(registry_refuses)),
    _proof("registry-restarted", 10, _registry(registry_restarts)),
    _proof("registry-flipped", 10, _registry(registry_gets_flipped_bytes)),
    _proof("both", 20, _registry(both_break)),
    _proof("engine-disk-full", 5, FULL_DISK),
)
