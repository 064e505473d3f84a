"""The computed Blob storage is one to the SDK and to our own source, and holds what it should."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.storage.blob import ContainerClient

from bench import data, fast_blob
from bench.data import ModelData
from bench.storage import BlobPlace
from modelferry.inputs import from_values
from modelferry.plan import make_plan, run_context
from modelferry.preflight import resolve
from modelferry.sources import open_source
from modelferry.sources.ranges import in_order, parts_of

ONE = ModelData(kind="random", size_bytes=20_000_001, seed=2)
EIGHT = ModelData(kind="fp16", size_bytes=8_000_000, files=8, seed=3)


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("blocks")
    for kind in data.KINDS:
        (folder / f"{kind}.block").write_bytes(data.block(kind, 1_000_000))
    return folder


@pytest.fixture(scope="module")
def endpoint(blocks: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [str(fast_blob.binary()), "-listen", address, "-blocks", str(blocks)]
    with subprocess.Popen(command) as server:
        _wait_for(address)
        yield f"http://{address}/{fast_blob.ACCOUNT}"
        server.terminate()


def _wait_for(address: str) -> None:
    host, _, port = address.partition(":")
    for _ in range(500):
        with suppress(ConnectionRefusedError):
            socket.create_connection((host, int(port))).close()
            return
        time.sleep(0.02)
    pytest.fail("blob_server does not listen")


@pytest.fixture
def container(endpoint: str) -> Iterator[ContainerClient]:
    key = {"account_name": fast_blob.ACCOUNT, "account_key": "AAAA"}
    with ContainerClient(
        endpoint,
        "models",
        credential=key,
        max_single_get_size=1_000_000,
        max_chunk_get_size=777_777,
    ) as client:
        yield client


def _content(blocks: Path, model: ModelData, part: int = 0) -> bytes:
    return b"".join(data.chunks(blocks, model, part))


def test_the_sdk_reads_what_the_data_says(container: ContainerClient, blocks: Path) -> None:
    got = container.download_blob(ONE.name, max_concurrency=4).readall()
    assert sha256(got).digest() == sha256(_content(blocks, ONE)).digest()


def test_a_folder_is_listed_with_sizes_and_each_part_is_its_own(
    container: ContainerClient, blocks: Path
) -> None:
    listed = {blob.name: blob.size for blob in container.list_blobs(EIGHT.name)}
    assert listed == dict.fromkeys(EIGHT.blobs, 1_000_000)
    parts = [container.download_blob(name).readall() for name in EIGHT.blobs]
    assert parts == [_content(blocks, EIGHT, number) for number in range(8)]


def test_another_etag_is_refused(container: ContainerClient) -> None:
    with pytest.raises(ResourceModifiedError):
        container.download_blob(
            ONE.name, etag='"0xOTHER"', match_condition=MatchConditions.IfNotModified
        )


@pytest.mark.parametrize("name", ["zeros-10-0", "random-x-0", "random-80-0-8/part-8", "random-80"])
def test_what_no_name_means_is_not_there(container: ContainerClient, name: str) -> None:
    with pytest.raises(ResourceNotFoundError):
        container.download_blob(name)


@pytest.mark.parametrize("model", [ONE, EIGHT], ids=["one", "eight"])
def test_our_own_source_reads_it(endpoint: str, blocks: Path, model: ModelData) -> None:
    place = BlobPlace(
        name="fast", data=model, endpoint=endpoint, account=fast_blob.ACCOUNT, key="AAAA"
    )
    inputs = from_values({"stages": "fetch", **place.inputs()})
    plan = make_plan(inputs, run_context({}), environ={}).model
    assert plan
    source = open_source(plan.lines[0], plan.access, workspace=Path())
    parts = [part for file in resolve(plan, Path()).files for part in parts_of(file)]
    read = sha256()
    for _, body in in_order(source.read, parts, connections=4):
        read.update(body)
    wanted = b"".join(_content(blocks, model, part) for part in range(model.files))
    assert read.digest() == sha256(wanted).digest()
