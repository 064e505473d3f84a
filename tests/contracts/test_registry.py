"""The registry client against the testbed's registry: a real one, with Azure's token flow."""

from __future__ import annotations

import base64
import hashlib
import json
import time
import tracemalloc
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import jwt
import pytest

from modelferry.errors import IdentityError
from modelferry.registry import upload
from modelferry.registry.access import RegistryAccess
from modelferry.registry.client import Registry, pull_scopes, push_scopes
from modelferry.values import Secret, digest_of
from prove.blob import Bytes

TOKEN_USER = "00000000-0000-0000-0000-000000000000"
OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"

Open = Callable[..., Registry]


@pytest.fixture
def registry(testbed: dict[str, str]) -> Registry:
    return login(
        testbed, testbed["TESTBED_REGISTRY_USERNAME"], testbed["TESTBED_REGISTRY_PASSWORD"]
    )


def login(testbed: dict[str, str], username: str | None, password: str | None) -> Registry:
    """`plain_http` is left out: a loopback address falls back to http by itself."""
    access = RegistryAccess(
        host=testbed["TESTBED_REGISTRY"],
        username=username,
        password=Secret(password) if password else None,
        plain_http=False,
    )
    return Registry(access, {"DOCKER_CONFIG": "/nonexistent"})


def refresh_token(testbed: dict[str, str]) -> str:
    """As an Entra identity gets one from an Azure registry."""
    host = testbed["TESTBED_REGISTRY"]
    claims = {"aud": "https://containerregistry.azure.net", "oid": "me", "exp": time.time() + 600}
    form = {
        "grant_type": "access_token",
        "service": host,
        "access_token": jwt.encode(claims, "x" * 32),
    }
    request = urllib.request.Request(
        f"http://{host}/oauth2/exchange", data=urlencode(form).encode()
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)["refresh_token"]


def ignore(_: int) -> None: ...


def image_manifest(config: Bytes) -> bytes:
    descriptor = {
        "mediaType": "application/vnd.oci.image.config.v1+json",
        "digest": config.digest,
        "size": config.size_bytes,
    }
    manifest = {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": descriptor, "layers": []}
    return json.dumps(manifest).encode()


def test_a_blob_goes_there_and_comes_back(registry: Registry, unique: str) -> None:
    blob = Bytes(b"config " + unique.encode())
    assert not registry.has_blob(unique, blob.digest)
    registry.upload_blob(unique, blob, ignore)
    assert registry.has_blob(unique, blob.digest)
    assert registry.read_blob(unique, blob.digest) == blob.data


def test_a_large_blob_goes_in_pieces(
    registry: Registry, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PIECE_BYTES", (1 << 20,))
    blob = Bytes(hashlib.shake_256(unique.encode()).digest((3 << 20) + 5))
    sent: list[int] = []
    registry.upload_blob(unique, blob, sent.append)
    assert sum(sent) == blob.size_bytes
    assert registry.read_blob(unique, blob.digest) == blob.data


def test_a_large_blob_is_never_held_in_memory(registry: Registry, unique: str) -> None:
    class Repeated(Bytes):
        """160 MiB of a few bytes."""

        size_bytes = 160 << 20
        digest = digest_of(b"model" * (32 << 20))

        def read(self, start: int, stop: int) -> bytes:
            return (self.data * ((stop - start) // 5 + 2))[start % 5 :][: stop - start]

    tracemalloc.start()
    registry.upload_blob(unique, Repeated(b"model"), ignore)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert registry.has_blob(unique, Repeated.digest)
    assert peak_bytes < 8 << 20


def test_any_range_of_a_blob_is_read(registry: Registry, unique: str) -> None:
    blob = Bytes(hashlib.shake_256(unique.encode()).digest((9 << 20) + 7))
    registry.upload_blob(unique, blob, ignore)
    for start, stop in ((0, 1), (5, 4096), (1 << 20, blob.size_bytes), (0, blob.size_bytes)):
        assert registry.read_range(unique, blob.digest, start, stop) == blob.data[start:stop]


def test_an_upload_survives_a_broken_line(
    registry: Registry, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PIECE_BYTES", (4 << 20,))

    class Breaking(Bytes):
        broken = False

        def read(self, start: int, stop: int) -> bytes:
            if start >= 6 << 20 and not Breaking.broken:
                Breaking.broken = True
                raise ConnectionResetError
            return super().read(start, stop)

    blob = Breaking(hashlib.shake_256(unique.encode()).digest(12 << 20))
    sent: list[int] = []
    registry.upload_blob(unique, blob, sent.append)
    assert Breaking.broken
    assert sum(sent) <= blob.size_bytes + (6 << 20)  # this registry cannot resume inside a piece
    assert registry.read_blob(unique, blob.digest) == blob.data


def test_a_blob_is_taken_over_from_another_repository(registry: Registry, unique: str) -> None:
    blob = Bytes(unique.encode())
    registry.upload_blob(f"{unique}/a", blob, ignore)
    assert registry.mount_blob(f"{unique}/b", blob.digest, f"{unique}/a")
    assert registry.has_blob(f"{unique}/b", blob.digest)
    missing = Bytes(b"never pushed")
    assert not registry.mount_blob(f"{unique}/b", missing.digest, f"{unique}/a")


def test_a_manifest_is_kept_under_its_digest_and_tag(registry: Registry, unique: str) -> None:
    config = Bytes(b'{"architecture":"amd64","os":"linux"}')
    registry.upload_blob(unique, config, ignore)
    data = image_manifest(config)
    assert registry.get_manifest(unique, "v1") is None
    assert registry.head_manifest(unique, "v1") is None
    digest = registry.put_manifest(unique, digest_of(data), data, OCI_IMAGE)
    registry.put_manifest(unique, "v1", data, OCI_IMAGE)
    stored = registry.get_manifest(unique, "v1")
    assert stored is not None
    assert (stored.data, stored.digest, stored.media_type) == (data, digest, OCI_IMAGE)
    assert registry.head_manifest(unique, "v1") == digest == digest_of(data)


def test_checking_leaves_no_repository_behind(registry: Registry, unique: str) -> None:
    registry.check_push(unique)
    assert registry.get_manifest(unique, "latest") is None


def test_a_wrong_password_names_the_user(testbed: dict[str, str], unique: str) -> None:
    name = testbed["TESTBED_REGISTRY_USERNAME"]
    with pytest.raises(IdentityError) as caught:
        login(testbed, name, "hunter2").check_push(unique)
    assert f"user {name} from the inputs" in caught.value.what
    assert "invalid username or password" in caught.value.seen
    assert "hunter2" not in str(caught.value)
    assert "`password`" in caught.value.do


def test_nobody_may_not_push(testbed: dict[str, str], unique: str) -> None:
    with pytest.raises(IdentityError, match="without a login"):
        login(testbed, None, None).check_push(unique)


def test_a_right_to_read_is_no_right_to_push(registry: Registry, unique: str) -> None:
    """The token asked for pull alone, so the registry itself refuses the write."""
    with pytest.raises(IdentityError, match=f"does not let us push to {unique}"):
        upload.Uploads(registry._transport, unique, pull_scopes(unique)).session().open()
    assert upload.Uploads(registry._transport, unique, push_scopes(unique)).session().open()


def test_azures_refresh_token_logs_in_as_its_user(testbed: dict[str, str], unique: str) -> None:
    login(testbed, TOKEN_USER, refresh_token(testbed)).check_push(unique)


def test_a_login_left_by_docker_is_used(
    testbed: dict[str, str], unique: str, tmp_path: Path
) -> None:
    user, password = testbed["TESTBED_REGISTRY_USERNAME"], testbed["TESTBED_REGISTRY_PASSWORD"]
    basic = {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}
    identity = {"auth": "", "identitytoken": refresh_token(testbed)}
    for given in (basic, identity):
        config = {"auths": {testbed["TESTBED_REGISTRY"]: given}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        access = RegistryAccess(
            host=testbed["TESTBED_REGISTRY"], username=None, password=None, plain_http=False
        )
        Registry(access, {"DOCKER_CONFIG": str(tmp_path)}).check_push(unique)
