from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelferry.plan.model_lines import (
    BlobAddresses,
    file_path,
    parse_model_line,
)
from modelferry.sources.spec import ModelLine, SourceKind

AZURE = BlobAddresses(suffix="blob.core.windows.net", endpoint=None)
AZURITE = BlobAddresses(
    suffix="blob.core.windows.net", endpoint="http://127.0.0.1:10000/devstoreaccount1"
)


def line(text: str, blob: BlobAddresses = AZURE) -> ModelLine:
    return parse_model_line(1, text, blob)


@pytest.mark.parametrize(
    ("text", "kind", "authority", "container", "key"),
    [
        ("azblob://acct/models/v3/m.onnx", "azblob", "acct", "models", "v3/m.onnx"),
        ("azblob://acct/models/v3/", "azblob", "acct", "models", "v3/"),
        ("azblob://acct/models/", "azblob", "acct", "models", ""),
        ("azblob://acct/$root/m.onnx", "azblob", "acct", "$root", "m.onnx"),
        ("azblob://acct/models/a b%20c.onnx", "azblob", "acct", "models", "a b%20c.onnx"),
        ("azblob://acct/models/{latest}/m.onnx", "azblob", "acct", "models", "{latest}/m.onnx"),
        ("azblob://acct/models/v3/*.onnx", "azblob", "acct", "models", "v3/*.onnx"),
        ("s3://bucket/v3/m.onnx", "s3", "bucket", "", "v3/m.onnx"),
        ("s3://bucket/{newest}/", "s3", "bucket", "", "{newest}/"),
        ("S3://bucket/m", "s3", "bucket", "", "m"),
        ("https://host.example/a/m.onnx", "https", "host.example", "", "a/m.onnx"),
        ("https://host.example:8443/m", "https", "host.example:8443", "", "m"),
        ("https://acct.blob.core.windows.net/models/m", "azblob", "acct", "models", "m"),
        ("https://acct.blob.core.windows.net:443/models/m", "azblob", "acct", "models", "m"),
        ("https://ACCT.blob.core.windows.net/models/a%20b", "azblob", "acct", "models", "a b"),
        ("https://acct.blob.core.chinacloudapi.cn/models/m", "https", None, "", "models/m"),
        ("https://acct.blob.core.windows.net.evil.example/models/m", "https", None, "", "models/m"),
        ("https://blob.core.windows.net.evil.example/models/m", "https", None, "", "models/m"),
        ("file:models/m.onnx", "file", "", "", "models/m.onnx"),
        ("file:/srv/m.onnx", "file", "", "", "/srv/m.onnx"),
        ("file:///srv/m.onnx", "file", "", "", "/srv/m.onnx"),
    ],
)
def test_reads_each_grammar(
    text: str, kind: str, authority: str | None, container: str, key: str
) -> None:
    read = line(text)
    assert (read.kind, read.container, read.key) == (kind, container, key)
    assert authority is None or read.authority == authority
    assert (read.target, read.target_is_folder) == (PurePosixPath("/model"), True)


@pytest.mark.parametrize(
    ("text", "account", "container", "key"),
    [
        ("http://127.0.0.1:10000/devstoreaccount1/models/v/m", "devstoreaccount1", "models", "v/m"),
        ("azblob://devstoreaccount1/models/m", "devstoreaccount1", "models", "m"),
    ],
)
def test_addresses_under_the_endpoint_are_blob_storage(
    text: str, account: str, container: str, key: str
) -> None:
    read = line(text, AZURITE)
    assert (read.kind, read.authority) == (SourceKind.AZBLOB, account)
    assert (read.container, read.key) == (container, key)


@pytest.mark.parametrize(
    "text",
    [
        "https://127.0.0.1:10000/devstoreaccount1/models/m",  # another scheme, so another place
        "https://127.0.0.1/devstoreaccount1/models/m",
        "https://storage.example/devstoreaccount1/models/m",
    ],
)
def test_what_only_resembles_the_endpoint_gets_no_key(text: str) -> None:
    assert line(text, AZURITE).kind is SourceKind.HTTPS


def test_virtual_host_endpoint_names_the_account_by_its_first_label() -> None:
    blob = BlobAddresses(suffix="", endpoint="https://acct.blob.stack.example")
    assert line("https://acct.blob.stack.example/models/m", blob).authority == "acct"


def test_versions_are_cut_off_the_key() -> None:
    assert line("azblob://acct/models/m?versionId=2026-01-02T03:04:05Z").version_id
    assert line("azblob://acct/models/m?snapshot=2026-01-02").snapshot == "2026-01-02"
    assert line("s3://bucket/m?versionId=abc").version_id == "abc"
    blob = line("https://acct.blob.core.windows.net/models/m?versionid=abc")
    assert (blob.version_id, blob.key) == ("abc", "m")
    web = line("https://host.example/m?versionId=abc")
    assert (web.version_id, web.query) == (None, "versionId=abc")  # another server's own affair


@pytest.mark.parametrize(
    ("text", "target", "is_folder", "file"),
    [
        ("s3://bucket/v/m.onnx", "/model", True, "/model/m.onnx"),
        ("s3://bucket/v/m.onnx => /code/", "/code", True, "/code/m.onnx"),
        ("s3://bucket/v/m.onnx => /code/net.onnx", "/code/net.onnx", False, "/code/net.onnx"),
        ("s3://bucket/v/m.onnx\t=>\t//code//", "/code", True, "/code/m.onnx"),
        ("s3://bucket/v/ => /", "/", True, None),
        ("s3://bucket/v/*.onnx => /code/", "/code", True, None),
        ("s3://bucket/v/{latest} => /code/net.onnx", "/code/net.onnx", False, None),
        ("https://host.example/a%20b => /code/", "/code", True, "/code/a b"),
        ("file:a => b => /code/", "/code", True, "/code/a => b"),
        ("s3://bucket/m => /etc/hosts.bin", "/etc/hosts.bin", False, "/etc/hosts.bin"),
        ("s3://bucket/m => /device/", "/device", True, "/device/m"),
    ],
)
def test_where_it_goes(text: str, target: str, is_folder: bool, file: str | None) -> None:
    read = line(text)
    assert (str(read.target), read.target_is_folder) == (target, is_folder)
    assert file_path(read) == (PurePosixPath(file) if file else None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models/m.onnx", "must be azblob://"),
        ("m", "must be azblob://"),
        ("/model", "must be azblob://"),
        ("azblob:acct/models/m", "must be azblob://"),
        ("azblobs://acct/models/m", "did you mean azblob?"),
        ("gs://bucket/m", "must be azblob:, s3:"),
        ("ftp://host/m", "must be azblob:, s3:"),
        ("azblob://Acct/models/m", "no storage account"),
        ("azblob://ab/models/m", "no storage account"),
        ("azblob:///models/m", "nothing is no storage account"),
        ("azblob://acct", "needs /BLOB"),
        ("azblob://acct/models", "needs /BLOB"),
        ("azblob://acct/Models/m", "no container"),
        ("azblob://acct/mo--dels/m", "no container"),
        ("azblob://acct/models/m?comp=list", "nothing else"),
        ("azblob://acct/models/m?versionId=", "nothing else"),
        ("azblob://acct/models/m?versionId=1&snapshot=2", "nothing else"),
        ("azblob://acct/models/?versionId=1", "pinned to one version"),
        ("azblob://acct/models/{latest}/m?versionId=1", "pinned to one version"),
        ("azblob://acct/models/*?snapshot=1", "pinned to one version"),
        ("azblob://acct/models/*/m", "in the last segment only"),
        ("azblob://acct/models/v*/m", "in the last segment only"),
        ("azblob://acct/models/v{latest}/m", "alone between slashes"),
        ("azblob://acct/models/{lastest}/m", "did you mean {latest}?"),
        ("azblob://acct/models/{latest}/{newest}", "once"),
        ("azblob://acct/models/{latest}/{latest}/m", "once"),
        ("azblob://user:hunter2@acct/models/m", "user name or password"),
        ("s3://bucket", "needs /KEY"),
        ("s3:///m", "nothing is no bucket"),
        ("s3://bu cket/m", "no bucket"),
        ("s3://bucket/m?snapshot=1", "Blob storage's"),
        ("http://host.example/m", "must be https"),
        ("https:///m", "needs a host"),
        ("https://user:pw@host.example/m", "user name or password"),
        ("https://host.example/m#part", "#fragment"),
        ("https://host.example/", "must name one file"),
        ("https://host.example/v/*.onnx", "must name one file"),
        ("https://host.example/{latest}/m", "must name one file"),
        ("https://acct.blob.core.windows.net/models", "needs /BLOB"),
        ("https://acct.privatelink.blob.core.windows.net/models/m", "azure-storage-endpoint"),
        ("https://[::1/m", "Invalid IPv6"),
        ("file:", "needs a path"),
        ("file://host/m", "must be file:PATH"),
        ("s3://bucket/m =>", "must start with /"),
        ("s3://bucket/m => code/", "must start with /"),
        ("azblob://account/models/../x", "no . and no .."),
        ("s3://bucket/a/./b", "no . and no .."),
        ("s3://bucket/m => ../code/", "must start with /"),
        ("s3://bucket/m => /code/../../etc/", "no . and no .."),
        ("s3://bucket/m => /./code/", "no . and no .."),
        ("file:m => /co\x1bde/", "the path in the image must hold printable characters"),
        ("s3://bucket/m => /etc/.wh.passwd", "begins '.wh.'"),
        ("s3://bucket/m => /code/.wh..wh..opq", "begins '.wh.'"),
        ("s3://bucket/m => /.wh.code/", "begins '.wh.'"),
        ("s3://bucket/m => /proc/", "has a mount at /proc"),
        ("s3://bucket/v/ => /sys/fs/", "has a mount at /sys"),
        ("s3://bucket/m => /dev/shm/m", "has a mount at /dev"),
        ("s3://bucket/m => /etc/hosts", "has a mount at /etc/hosts"),
        ("s3://bucket/hostname => /etc/", "has a mount at /etc/hostname"),
        ("s3://bucket/m => /etc/resolv.conf/", "has a mount at /etc/resolv.conf"),
        ("s3://bucket/m=>/code/", "space on each side"),
        ("s3://bucket/m =>/code/", "space on each side"),
        ("s3://bucket/v/ -> /code/", "after =>, not ->"),
        ("s3://bucket/v/ => /code", "must end in /"),
        ("s3://bucket/v/*.onnx => /code", "must end in /"),
        ("=> /code/", "space on each side"),
        ("file:m/\udcff.bin", "must be UTF-8"),
        ("s3://bucket/m => /\udcff/", "must be UTF-8"),
    ],
)
def test_refuses(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        line(text)


@pytest.mark.parametrize(
    "text",
    [
        "azblob://acct/models/m?sv=2026&sig=hunter2",
        "azblob://acct/models?sv=2026&sig=hunter2",
        "azblob://acct?sig=hunter2/models/m",
        "https://acct.blob.core.windows.net/models/m?sv=2026&sig=hunter2",
        "https://acct.blob.core.windows.net/models/?sp=r&SIG=hunter2",
        "http://127.0.0.1:10000/devstoreaccount1/models/m?sig=hunter2",
    ],
)
def test_a_pasted_sas_token_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="azure-storage-sas-token") as caught:
        line(text, AZURITE)
    assert "hunter2" not in str(caught.value)


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    for start in ("", "azblob://acct/", "s3://bucket/", "https://host/", "file:"):
        try:
            read = line(start + text)
        except ValueError:
            continue
        assert read.target.is_absolute()
        assert ".." not in read.target.parts
        assert "?" not in read.uri or read.kind is SourceKind.FILE
