import hashlib
import threading
from collections.abc import Callable

from modelferry.errors import RegistryError
from modelferry.image.sending import Blob, Sending
from modelferry.values import Digest


def blob(data: bytes) -> Blob:
    digest = Digest(f"sha256:{hashlib.sha256(data).hexdigest()}")
    return Blob(digest=digest, size_bytes=len(data), read=lambda start, stop: data[start:stop])


def test_each_blob_is_sent_once_and_its_bytes_are_counted() -> None:
    sent: list[bytes] = []

    def send(one: Blob, on_sent: Callable[[int], None]) -> None:
        sent.append(one.read(0, one.size_bytes))
        on_sent(one.size_bytes)

    sending = Sending()
    for data in (b"base", b"code!", b"base"):
        sending.begin(blob(data), send)
    sending.finish()
    assert sorted(sent) == [b"base", b"code!"]
    assert sending.sent_bytes == 9


def test_what_fails_is_left_to_the_push() -> None:
    def send(one: Blob, _: Callable[[int], None]) -> None:
        if one.size_bytes == 3:
            raise RegistryError("no")

    sending = Sending()
    failed, arrived = sending.begin(blob(b"bad"), send), sending.begin(blob(b"good"), send)
    sending.finish()
    assert (failed.result(), arrived.result()) == (False, True)


def test_an_abandoned_blob_ends_at_its_next_read() -> None:
    reading, going_on = threading.Event(), threading.Event()

    def send(one: Blob, _: Callable[[int], None]) -> None:
        one.read(0, 1)
        reading.set()
        going_on.wait(10)
        one.read(1, 2)

    sending = Sending()
    sent = sending.begin(blob(b"weights"), send)
    assert reading.wait(10)
    sending.abandon()
    going_on.set()
    assert sent.result(10) is False
