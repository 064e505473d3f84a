"""A service that can do everything wrong that a pod can do; MODE says what."""

import http.server
import os
import pathlib
import sys
import time

MODE = os.environ.get("MODE", "serve")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(500 if MODE == "sick" else 200, f"version {os.environ['VERSION']}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/eat":
            print("CUDA error: out of memory", flush=True)
            os._exit(1)
        self.answer(200, f"{len(body)} bytes")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


if MODE == "crash":
    print("loading the model")
    sys.exit("ImportError: no module named onnxruntime")
if MODE == "crash-late":  # after it has looked healthy
    time.sleep(3)
    sys.exit("CUDA error: out of memory")
if MODE == "crash-first":  # heals: what it needs comes a moment later
    marker = pathlib.Path("/shared/started")
    if not marker.exists():
        marker.touch()
        sys.exit("the database is not there yet")
if MODE == "sick":
    print("the weights are not there yet", flush=True)
if MODE == "eat":
    eaten = [bytearray(64 << 20) for _ in range(64)]
if MODE == "end":
    print("all rows are scored")
    sys.exit(0)
if MODE == "stop":
    sys.exit("the input is empty")
http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler).serve_forever()
