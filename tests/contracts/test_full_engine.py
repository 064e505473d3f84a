"""An engine whose disk is full in the middle of a load, as Docker answers then: before the end of
what it is sent."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from modelferry.artifacts import Descriptor, Layer
from modelferry.engine import Engine, EngineFacts
from modelferry.errors import BuildError
from modelferry.image.compose import LAYER_TYPE, AppImage, Composition, compose
from modelferry.image.load import load_image
from modelferry.image.run_images import RunImages
from modelferry.progress import LogMeter, Meter, shown_by
from modelferry.values import Digest

FULL = b'{"message":"write /var/lib/docker/tmp/layer.tar: no space left on device"}'


class Handler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        asked = self.request.recv(1 << 16)
        loads = asked.startswith(b"POST")
        status, body = (b"500 Internal", FULL) if loads else (b"404 Not Found", b"{}")
        if b"/images/json?" in asked:
            status, body = b"200 OK", b"[]"
        head = b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        self.request.sendall(head % (status, len(body)) + body)
        self.request.shutdown(socket.SHUT_WR)
        while loads and len(self.request.recv(1 << 16)) == 1 << 16:
            pass


@pytest.fixture
def full(tmp_path: Path) -> Iterator[RunImages]:
    address = str(tmp_path / "docker.sock")
    with socketserver.ThreadingUnixStreamServer(address, Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        facts = EngineFacts(
            version="29",
            store="classic",
            driver="overlay2",
            platform="linux/amd64",
            data_root=Path("/full"),
        )
        client = docker.DockerClient(base_url=f"unix://{address}", version="1.44")
        engine = Engine(address=f"unix://{address}", client=client, facts=facts)
        yield RunImages(engine=engine, key="app", run_label="run")
        client.close()
        server.shutdown()
        thread.join()


class Streamed:
    digest = Digest("sha256:" + "0" * 64)
    size_bytes = 8 << 20
    left = False
    was_read = False

    def read(self, start: int, stop: int) -> bytes:
        self.was_read = True
        return bytes(stop - start)

    def leave(self) -> None:
        self.left = True


def never() -> Composition:
    raise AssertionError("it is known before the image is")


def test_a_full_disk_is_told_before_the_image_is_known(full: RunImages) -> None:
    layer = Streamed()
    with pytest.raises(BuildError, match="did not load") as caught:
        load_image(full, (layer,), never)
    assert "no space left" in caught.value.seen
    assert caught.value.do == "Its disk is full: free some below /full."
    assert layer.left


def test_too_little_room_is_told_before_a_byte_is_read(full: RunImages, tmp_path: Path) -> None:
    facts = replace(full.engine.facts, data_root=tmp_path)
    images = replace(full, engine=replace(full.engine, facts=facts))
    layer = Streamed()
    layer.size_bytes = 1 << 60
    with pytest.raises(BuildError, match=f"not enough disk for the image below {tmp_path}"):
        load_image(images, (layer,), never)
    assert not layer.was_read


def test_the_room_of_an_engine_elsewhere_is_not_asked_here(full: RunImages, tmp_path: Path) -> None:
    facts = replace(full.engine.facts, data_root=tmp_path)
    assert (replace(full.engine, facts=facts).free_bytes() or 0) > 0
    assert replace(full.engine, facts=facts, address="tcp://dind:2375").free_bytes() is None


def test_a_load_of_what_is_known_says_how_much_it_is(full: RunImages) -> None:
    blob = Descriptor(media_type=LAYER_TYPE, digest=Streamed.digest, size_bytes=8 << 20)
    layer = Layer(descriptor=blob, diff_id=blob.digest, origin="model", read=Streamed().read)
    image = compose(AppImage(config=b'{"os":"linux"}', layers=(layer,)), ())
    shown: list[tuple[str, int | None]] = []

    @contextmanager
    def show(label: str, total_bytes: int | None) -> Iterator[Meter]:
        shown.append((label, total_bytes))
        yield LogMeter(label, total_bytes)

    with shown_by(show), pytest.raises(BuildError, match="did not load"):
        load_image(full, (), lambda: image)
    assert shown == [("load", 8 << 20)]
