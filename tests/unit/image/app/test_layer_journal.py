import base64
import io
import json
import tarfile

from modelferry.image.app.layer_journal import JournalTar
from modelferry.image.layer_entries import scan_layer
from modelferry.image.workers import Stop

LONG = "x" * 150


def layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, content in (
            ("srv", tarfile.DIRTYPE, b""),
            ("srv/big", tarfile.REGTYPE, b"b" * 2_000_000),
            (f"srv/{LONG}", tarfile.REGTYPE, b"1"),
            ("lib", tarfile.SYMTYPE, b""),
            ("srv/.wh.gone", tarfile.REGTYPE, b""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.size, info.mode, info.uid = kind, len(content), 0o750, 7
            info.linkname = "usr/lib" if kind == tarfile.SYMTYPE else ""
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def journal(tar: bytes) -> bytes:
    """As tar-split writes it: what is between the contents, and how long each of these is."""
    lines: list[dict[str, object]] = []
    at = 0

    def headers(stop: int) -> None:
        lines.append({"type": 2, "payload": base64.b64encode(tar[at:stop]).decode()})

    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        for member in opened:
            headers(member.offset_data)
            lines.append({"type": 1, "name": member.name, "size": member.size})
            at = member.offset_data + member.size
    headers(len(tar))
    return b"\n".join(json.dumps(line).encode() for line in lines)


def test_it_says_of_a_layer_what_the_layer_says() -> None:
    tar = layer()
    made = JournalTar(journal(tar))
    assert made.size_bytes == len(tar)
    found, wanted = (
        scan_layer(content, len(tar), "", Stop())
        for content in (made.read, lambda start, stop: tar[start:stop])
    )
    assert found == wanted
    assert found["/srv/big"].kind == "file"
    assert found["/lib"].target == "usr/lib"


def test_contents_are_zeros_and_the_rest_is_as_it_was() -> None:
    tar = layer()
    made = JournalTar(journal(tar))
    whole = tar.replace(b"b" * 2_000_000, bytes(2_000_000))
    for start, stop in ((0, 512), (400, 3000), (1_000_000, 1_000_009), (len(tar) - 99, len(tar))):
        assert made.read(start, stop)[:399] == whole[start:stop][:399]
