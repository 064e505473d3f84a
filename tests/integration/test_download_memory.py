"""What a process that reads a model into a hash takes of memory, for a small one and a larger."""

from __future__ import annotations

import json
import subprocess
import sys

MIB = 1 << 20
MOST_MIB = 160
MOST_GROWTH = 1.05

# Sparse files sent by the kernel: the server costs nothing, and the bytes are of no matter.
_SERVER = """
import os, re, sys, tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

file = tempfile.TemporaryFile()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        size = int(re.search(r"/(\\d+)\\.bin", self.path)[1])
        first, last = re.match(r"bytes=(\\d+)-(\\d+)", self.headers["Range"]).groups()
        first, last = int(first), min(int(last), size - 1)
        self.send_response(206)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Tue, 17 Nov 2026 10:00:00 GMT")
        self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(last - first + 1))
        self.end_headers()
        os.truncate(file.fileno(), size)
        while first <= last:
            first += os.sendfile(self.wfile.fileno(), file.fileno(), first, last - first + 1)

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""

_CLIENT = """
import hashlib, json, sys, threading, time
from pathlib import PurePosixPath
from modelferry.memory import keep_freed_memory
keep_freed_memory()
import modelferry.__main__
from modelferry.artifacts import ModelFile
from modelferry.sources import open_source
from modelferry.sources.ranges import in_order, parts_of
from modelferry.sources.spec import BlobAccess, ModelLine, S3Access, SourceKind, StorageAccess

port, size = map(int, sys.argv[1:])
line = ModelLine(
    line=1, kind=SourceKind.AZBLOB, authority="acct", container="c", key=f"{size}.bin", query="",
    version_id=None, snapshot=None, target=PurePosixPath("/m"), target_is_folder=False,
)
blob = BlobAccess(endpoint=f"http://127.0.0.1:{port}/acct", suffix="")
source = open_source(line, StorageAccess(blob=blob, s3=S3Access(endpoint=None, region=None)))
file = ModelFile(
    uri=line.uri, image_path=PurePosixPath("/m"), size_bytes=size, etag='"1"', version_id=None,
    modified=None, source_line=1,
)
most = 0
def watch():
    global most
    while True:
        for line in open("/proc/self/smaps_rollup"):
            if line.startswith("Pss:"):
                most = max(most, int(line.split()[1]))
        time.sleep(0.01)
threading.Thread(target=watch, daemon=True).start()
sha256, taken = hashlib.sha256(), 0
for _, piece in in_order(source.read, parts_of(file), connections=source.connections):
    sha256.update(piece)
    taken += len(piece)
time.sleep(0.05)
print(json.dumps({"taken": taken, "most_kib": most}))
"""


def test_memory_is_small_and_does_not_grow_with_the_model() -> None:
    command = [sys.executable, "-c", _SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            port = server.stdout.readline().strip()
            half, larger = (_most_mib(port, size * MIB) for size in (512, 2048))
        finally:
            server.kill()
    assert half <= MOST_MIB
    assert larger <= half * MOST_GROWTH


def _most_mib(port: str, size: int) -> float:
    command = [sys.executable, "-c", _CLIENT, port, str(size)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert told["taken"] == size
    sys.stdout.write(f"{size // MIB} MiB read: {told['most_kib'] / 1024:.1f} MiB of memory\n")
    return told["most_kib"] / 1024
