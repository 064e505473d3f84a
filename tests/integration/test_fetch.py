"""Fetching for real: sources that change or break half-way, sums that differ, cancels, memory."""

from __future__ import annotations

import hashlib
import logging
import random
import resource
import signal
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from modelferry.artifacts import Model, ResolvedModel
from modelferry.errors import Cancelled, ChecksumMismatch, InputError, ModelChanged, ModelError
from modelferry.plan.spec import ModelPlan
from modelferry.sources import resolve_model, resume
from modelferry.sources.open_model import OpenModel
from modelferry.sources.ranges import PART_BYTES
from modelferry.sources.spec import ModelLine, SourceKind, StorageAccess
from modelferry.stages import fetch as fetch_stage
from modelferry.stages.fetch import hash_model, open_model, put_on_disk
from modelferry.values import format_bytes
from tests.contracts.range_server import RangeServer, Request, Served, serve
from tests.contracts.source_stores import BlobStore, S3Store, model_line, storage

PATH = "/m/model.bin"
PARTS = 5
BODY = random.Random(7).randbytes(PARTS * PART_BYTES - 1000)


@pytest.fixture
def server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serve(certificate) as state:
        state.objects[PATH] = Served(BODY)
        yield state


@pytest.fixture(autouse=True)
def nothing_runs_on() -> Iterator[None]:
    yield
    deadline = time.monotonic() + 5
    while any(each.name.startswith("reader-") for each in threading.enumerate()):
        assert time.monotonic() < deadline, "a reader is still there"
        time.sleep(0.01)


class Job:
    """One model, resolved when made, and fetched into `folder`."""

    def __init__(
        self,
        folder: Path,
        *lines: ModelLine,
        access: StorageAccess | None = None,
        sha256: tuple[tuple[str | None, str], ...] = (),
        workspace: Path = Path("/nonexistent"),
    ) -> None:
        self.folder, self.workspace, self.resolves = folder, workspace, 0
        self.plan = ModelPlan(
            lines=lines,
            access=access or storage(),
            version=None,
            marker=None,
            sha256=sha256,
            in_context=False,
        )
        self.resolved = self.resolve()

    def resolve(self) -> ResolvedModel:
        self.resolves += 1
        return resolve_model(
            self.plan.lines, self.plan.access, marker=None, version=None, workspace=self.workspace
        )

    def open(self) -> OpenModel:
        return open_model(self.plan, self.resolved, resolve=self.resolve, workspace=self.workspace)

    def fetch(self) -> OpenModel:
        return put_on_disk(self.open(), self.folder)

    def hash(self) -> Model:
        return hash_model(self.open())[0]

    @property
    def left(self) -> list[str]:
        return [str(path) for path in self.folder.rglob("*")]


@pytest.fixture
def job(server: RangeServer, tmp_path: Path) -> Job:
    return Job(tmp_path / "out", line_of(server))


def line_of(server: RangeServer, path: str = PATH, number: int = 1) -> ModelLine:
    return model_line(SourceKind.HTTPS, path[1:], number, authority=server.host)


def only_body(model: OpenModel) -> bytes:
    (copy,) = model.on_disk
    return copy.path.read_bytes()


def only_sum(model: Model) -> str:
    (file,) = model.files
    return file.sha256


def swap_at(server: RangeServer, percent: int, times: int) -> Callable[[Request], None]:
    """Another body, of the same length, as soon as a part past `percent` is asked for."""
    swapped: list[int] = []

    def look(request: Request) -> None:
        if request.start >= len(BODY) * percent // 100 and request.start and len(swapped) < times:
            swapped.append(request.start)
            number = len(swapped) + 1
            server.objects[PATH] = Served(other_body(number), etag=f'"{number}"')

    return look


def other_body(number: int) -> bytes:
    return random.Random(100 + number).randbytes(len(BODY))


@pytest.mark.parametrize("percent", [10, 50, 75])
def test_a_model_swapped_half_way_is_fetched_anew_and_never_mixed(
    server: RangeServer, job: Job, percent: int, caplog: pytest.LogCaptureFixture
) -> None:
    server.fault = swap_at(server, percent, times=1)
    model = job.fetch()
    assert only_body(model) == other_body(2)
    assert model.resolved.files[0].etag == '"2"'
    assert job.resolves == 2
    assert 'Its ETag was "1" when it was chosen and is "2" now.' in caplog.text


def test_a_model_swapped_every_time_is_given_up(server: RangeServer, job: Job) -> None:
    server.fault = swap_at(server, 50, times=99)
    with pytest.raises(ModelChanged) as caught:
        job.fetch()
    assert job.resolves == 3
    assert caught.value.status == 4
    assert "when it was chosen and is" in caught.value.seen
    assert job.left == []


@pytest.mark.parametrize("fault", ["reset", "truncate", "short", 500, 503, 429])
def test_faults_on_the_way_are_got_over(server: RangeServer, job: Job, fault: str | int) -> None:
    unlucky = random.Random(str(fault))
    server.fault = lambda request: fault if request.start and unlucky.random() < 0.3 else None
    assert only_body(job.fetch()) == BODY


def test_a_server_that_never_recovers_is_an_error(
    server: RangeServer, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume, "_FIRST_WAIT_S", 0.0)
    server.fault = lambda request: "reset" if request.start >= PART_BYTES else None
    with pytest.raises(ModelError, match="does not answer: connection") as caught:
        job.fetch()
    assert caught.value.status == 4
    assert job.left == []


def test_a_flipped_byte_is_found_by_the_sum(server: RangeServer, tmp_path: Path) -> None:
    right = hashlib.sha256(BODY).hexdigest()
    job = Job(tmp_path / "out", line_of(server), sha256=((None, right),))
    assert only_body(job.fetch()) == BODY
    server.fault = lambda request: "flip" if request.start == PART_BYTES else None
    job = Job(tmp_path / "again", line_of(server), sha256=((None, right),))
    wrong = bytearray(BODY)
    wrong[PART_BYTES] ^= 1
    with pytest.raises(ChecksumMismatch) as caught:
        job.fetch()
    assert f"Expected {right}" in caught.value.seen
    assert hashlib.sha256(wrong).hexdigest() in caught.value.seen
    assert job.left == [], "what is wrong is not left lying about"


SUM = hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (((None, SUM),), "must say which of 2 files is meant"),
        ((("c.bin", SUM),), "names no file of the model (/model/a.bin, /model/b.bin)"),
        ((("in.bin", SUM),), "names no file"),
    ],
)
def test_a_sum_for_no_one_file_is_refused_before_a_byte_moves(
    server: RangeServer, tmp_path: Path, given: tuple[tuple[str | None, str], ...], problem: str
) -> None:
    server.objects = {"/m/a.bin": Served(b"x"), "/m/b.bin": Served(b"y")}
    lines = (line_of(server, "/m/a.bin", 1), line_of(server, "/m/b.bin", 2))
    job = Job(tmp_path / "out", *lines, sha256=given)
    server.requests.clear()
    with pytest.raises(InputError) as caught:
        job.fetch()
    assert problem in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize("name", ["a.bin", "m/a.bin", "/model/a.bin", "./a.bin"])
def test_a_sum_finds_its_file_by_name(server: RangeServer, tmp_path: Path, name: str) -> None:
    server.objects = {"/m/a.bin": Served(b"x"), "/m/b.bin": Served(b"y")}
    lines = (line_of(server, "/m/a.bin", 1), line_of(server, "/m/b.bin", 2))
    assert len(Job(tmp_path / "out", *lines, sha256=((name, SUM.upper()),)).fetch().on_disk) == 2
    with pytest.raises(ChecksumMismatch, match=r"a\.bin"):
        Job(tmp_path / "bad", *lines, sha256=((name, "0" * 64),)).fetch()


def test_a_cancel_stops_the_readers_and_leaves_nothing(
    server: RangeServer, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(request: Request) -> None:
        if request.start >= 2 * PART_BYTES:
            time.sleep(0.3)

    server.fault = slow
    taken = 0

    class Meter:
        def add(self, count: int) -> None:
            nonlocal taken
            taken += count
            if taken >= 2 * PART_BYTES:
                raise Cancelled("SIGTERM")

    monkeypatch.setattr(fetch_stage, "metered", lambda *_: nullcontext(Meter()))
    started = time.monotonic()
    with pytest.raises(Cancelled):
        job.fetch()
    assert time.monotonic() - started < 10
    assert job.left == []


def test_one_model_from_every_kind_of_storage(
    testbed: dict[str, str], unique: str, server: RangeServer, tmp_path: Path
) -> None:
    blob, s3 = BlobStore(testbed, unique), S3Store(testbed, unique)
    access = replace(blob.access, s3=s3.access.s3)
    blob.put("b/1", b"blob 1")
    blob.put("b/2", b"blob 2")
    s3.put("s", b"s3")
    server.objects["/h"] = Served(b"https")
    (tmp_path / "f").write_bytes(b"file")
    lines = (
        replace(blob.line("b/", number=1), target=PurePosixPath("/opt/b")),
        s3.line("s", number=2),
        line_of(server, "/h", 3),
        model_line(SourceKind.FILE, "f", 4, target=PurePosixPath("/f"), target_is_folder=False),
    )
    model = Job(tmp_path / "out", *lines, access=access, workspace=tmp_path).fetch()
    found = {str(copy.file.image_path): copy.path.read_bytes() for copy in model.on_disk}
    assert found == {
        "/opt/b/1": b"blob 1",
        "/opt/b/2": b"blob 2",
        "/model/s": b"s3",
        "/model/h": b"https",
        "/f": b"file",
    }
    blob.client.delete_container()
    s3.client.delete_object(Bucket=unique, Key="s")
    s3.client.delete_bucket(Bucket=unique)


def test_many_small_files(testbed: dict[str, str], unique: str, tmp_path: Path) -> None:
    blob = BlobStore(testbed, unique)
    bodies = {f"d{n % 7}/f{n}": random.Random(n).randbytes(n * 50) for n in range(60)}
    for name, body in bodies.items():
        blob.put(f"m/{name}", body)
    model = Job(tmp_path / "out", blob.line("m/"), access=blob.access).fetch()
    found = {
        str(copy.file.image_path.relative_to("/model")): copy.path.read_bytes()
        for copy in model.on_disk
    }
    assert found == bodies
    blob.client.delete_container()


def test_memory_stays_within_the_window(tmp_path: Path) -> None:
    """A model of 512 MiB through 64 MiB: the peak may not follow the size."""
    model = tmp_path / "big.bin"
    with model.open("wb") as file:
        file.truncate(512 * 1024 * 1024)
    job = Job(tmp_path / "out", model_line(SourceKind.FILE, "big.bin"), workspace=tmp_path)
    tracemalloc.start()
    try:
        assert job.hash().resolved.size_bytes == 512 * 1024 * 1024
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 72 * 1024 * 1024


def test_a_full_disk_is_told_and_cleaned_up(
    job: Job,
) -> None:
    """A file of this process may not grow past one part: the kernel's own refusal."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PART_BYTES + 5, hard))
    try:
        with pytest.raises(ModelError, match="no room for the model"):
            job.fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert job.left == []


def test_what_was_fetched_is_told(job: Job, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    job.fetch()
    assert (
        f"{hashlib.sha256(BODY).hexdigest()}  /model/model.bin ({format_bytes(len(BODY))})"
        in caplog.text
    )
