"""A model on its way from a storage that misbehaves into a real registry, without an engine."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

import pytest

from modelferry.artifacts import FetchedFile
from modelferry.errors import ChecksumMismatch, IdentityError, ModelChanged, RegistryError
from modelferry.image.compose import AppImage, ModelLayer, compose
from modelferry.image.layer import Folder
from modelferry.image.model_pass import StreamedBlob
from modelferry.image.placement import Placement
from modelferry.image.released import ReleasedLayer, read_layers
from modelferry.image.transfer import OnBytes, Transfer
from modelferry.plan.spec import ModelPlan
from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry
from modelferry.sources import resolve_model
from modelferry.sources.open_model import OpenModel
from modelferry.sources.ranges import PART_BYTES
from modelferry.sources.spec import SourceKind
from modelferry.stages.fetch import open_model
from tests.contracts.range_server import RangeServer, Request, Served, serve
from tests.contracts.source_stores import model_line, storage

MIB = 1 << 20
BODY = random.Random(11).randbytes(3 * PART_BYTES + 1000)
PATH = "/m/model.bin"


@pytest.fixture
def server(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RangeServer]:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serve(certificate) as state:
        state.objects[PATH] = Served(BODY)
        yield state


@pytest.fixture
def registry(registry_access: RegistryAccess) -> Registry:
    return Registry(registry_access, {})


def opened(server: RangeServer, *paths: str, sha256: str | None = None) -> OpenModel:
    lines = tuple(
        model_line(SourceKind.HTTPS, path[1:], number, authority=server.host)
        for number, path in enumerate(paths or (PATH,), 1)
    )
    plan = ModelPlan(
        lines=lines,
        access=storage(),
        version=None,
        marker=None,
        sha256=((None, sha256),) if sha256 else (),
        in_context=False,
    )

    def resolve():
        return resolve_model(lines, storage(), marker=None, version=None)

    return open_model(plan, resolve(), resolve=resolve)


def transfer(model: OpenModel, **given: object) -> Transfer:
    folder = Folder(path=PurePosixPath("/model"))
    places = {
        file.image_path: Placement(path=file.image_path, folders=(folder,))
        for file in model.resolved.files
    }
    return Transfer(model.resolved.files, places, model.reader, **given)


def finish(moving: Transfer) -> tuple[tuple[ModelLayer, ...], tuple[FetchedFile, ...]]:
    layers, files = moving.layers()
    moving.finish(compose(AppImage(config=b'{"os":"linux"}', layers=()), layers))
    return layers, files


def whole_reads(server: RangeServer) -> int:
    probes = ("bytes=0-0",)
    return sum(request.headers.get("range") not in probes for request in server.requests)


def test_the_registry_has_the_layer_when_the_model_is_read(
    server: RangeServer, registry: Registry, unique: str
) -> None:
    model = opened(server)
    moving = transfer(model, upload=partial(registry.upload_blob, unique))
    ((layer,), (file,)) = finish(moving)
    assert file.sha256 == hashlib.sha256(BODY).hexdigest()
    digest, size = layer.layer.descriptor.digest, layer.layer.descriptor.size_bytes
    blob = registry.read_range(unique, digest, 0, size)
    assert f"sha256:{hashlib.sha256(blob).hexdigest()}" == digest
    assert blob[1024 : 1024 + len(BODY)] == BODY
    assert (model.fetched_bytes, moving.uploaded_bytes) == (len(BODY), size)
    assert layer.layer.read(1024, 2000) == BODY[: 2000 - 1024], "readable once more"


def test_a_server_without_ranges_sends_the_file_once(
    server: RangeServer, registry: Registry, unique: str
) -> None:
    server.has_ranges = False
    model = opened(server)
    server.requests.clear()
    ((_layer,), (file,)) = finish(transfer(model, upload=partial(registry.upload_blob, unique)))
    assert file.sha256 == hashlib.sha256(BODY).hexdigest()
    assert whole_reads(server) == 1


def test_files_without_ranges_in_one_layer_are_sent_once_each(server: RangeServer) -> None:
    server.has_ranges = False
    server.objects = {f"/m/{n}": Served(random.Random(n).randbytes(9 * MIB)) for n in range(3)}
    model = opened(server, *server.objects)
    server.requests.clear()
    _, files = finish(transfer(model))
    assert [file.sha256 for file in files] == [
        hashlib.sha256(served.body).hexdigest() for served in server.objects.values()
    ]
    assert whole_reads(server) == 3


def test_what_was_released_is_neither_read_nor_sent(
    server: RangeServer, registry: Registry, unique: str
) -> None:
    upload = partial(registry.upload_blob, unique)
    first, files = finish(transfer(opened(server), upload=upload))
    released = as_released(first, unique)
    server.requests.clear()
    again = transfer(opened(server), upload=upload, released=released)
    assert finish(again)[1] == files
    assert [each.layer.descriptor for each in first] == [
        each.layer.descriptor for each in again.layers()[0]
    ]
    assert again.uploaded_bytes == 0
    assert whole_reads(server) == 0
    server.objects[PATH] = Served(BODY[::-1], etag='"2"')
    changed = transfer(opened(server), upload=upload, released=released)
    assert finish(changed)[1] != files
    assert changed.uploaded_bytes > len(BODY)


def as_released(layers: tuple[ModelLayer, ...], repository: str) -> tuple[ReleasedLayer, ...]:
    image = compose(AppImage(config=b'{"os":"linux"}', layers=()), layers)
    descriptors = [layer.descriptor for layer in image.layers]
    return read_layers(descriptors, image.config_bytes, repository)


def test_a_changed_model_ends_the_transfer_and_names_its_stage(
    server: RangeServer, registry: Registry, unique: str
) -> None:
    def swap(request: Request) -> None:
        if request.start >= PART_BYTES:
            server.objects[PATH] = Served(BODY[::-1], etag='"2"')

    model = opened(server)
    server.fault = swap
    moving = transfer(model, upload=partial(registry.upload_blob, unique))
    with pytest.raises(ModelChanged, match="changed while it was read") as caught:
        finish(moving)
    moving.abandon()
    assert caught.value.stage == "fetch"
    assert 'was "1"' in caught.value.seen
    assert '"2"' in caught.value.seen
    newer = model.again(caught.value).again(caught.value)
    assert newer.resolved.files[0].etag == '"2"'
    with pytest.raises(ModelChanged):
        newer.again(caught.value)


def test_a_wrong_sum_is_told_before_anything_is_composed(server: RangeServer) -> None:
    model = opened(server, sha256="0" * 64)
    with pytest.raises(ChecksumMismatch) as caught:
        model.check(transfer(model).layers()[1])
    assert caught.value.stage == "fetch"


@pytest.mark.parametrize("error", [RegistryError("no room"), IdentityError("no right")])
def test_a_refused_upload_is_the_push_stages(server: RangeServer, error: Exception) -> None:
    def refuse(blob: StreamedBlob, on_sent: OnBytes) -> None:
        blob.read(0, 1000)
        raise error

    moving = transfer(opened(server), upload=refuse)
    with pytest.raises(type(error)):
        moving.layers()
    moving.abandon()
    assert error.stage == "push"


def test_a_source_that_refuses_is_the_fetch_stages_whoever_reads(server: RangeServer) -> None:
    """Here the upload, which had gone back and was on its own."""
    model = opened(server)

    def go_back(blob: StreamedBlob, on_sent: OnBytes) -> None:
        blob.read(0, PART_BYTES)
        server.fault = lambda request: 403
        blob.read(0, PART_BYTES)

    moving = transfer(model, upload=go_back)
    with pytest.raises(IdentityError) as caught:
        finish(moving)
    moving.abandon()
    assert caught.value.stage == "fetch"


def test_an_abandoned_transfer_ends_within_moments(
    server: RangeServer, registry: Registry, unique: str
) -> None:
    server.fault = lambda request: time.sleep(0.2)
    moving = transfer(opened(server), upload=partial(registry.upload_blob, unique))
    began = time.monotonic()
    moving.abandon()
    with pytest.raises(BaseException, match="stopped"):
        moving.layers()
    assert time.monotonic() - began < 10
