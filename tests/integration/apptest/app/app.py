"""An app that misbehaves as MODE tells it to."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MODE = os.environ.get("MODE", "good")
STARTED = time.monotonic()


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        match self.path:
            case "/health":
                self.answer(503 if MODE == "sick" else 200)
            case "/version":
                self.answer(200, {"version": "1.3.0" if MODE == "old" else "1.4.2"})
            case "/self":
                self.answer(200, seen_from_inside())
            case "/moved":
                self.answer(302, location="/version")
            case "/warming":
                self.answer(200 if time.monotonic() - STARTED > 2 else 503, {"state": "warming"})
            case "/die":
                print("asked to die", flush=True)
                os._exit(7)
            case "/endless":
                self.stream_for_ever()
            case _:
                self.answer(500 if MODE == "broken" else 404)

    def do_HEAD(self):
        self.do_GET()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.headers.get("Content-Type", "")
        self.answer(201 if self.path == "/made" else 200, {"kind": kind, "body": body.decode()})

    def answer(self, status, content=None, location=None):
        body = json.dumps(content).encode()
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def stream_for_ever(self):
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b"x" * 65536)


def seen_from_inside():
    status = Path("/proc/self/status").read_text()
    return {
        "environ": dict(os.environ),
        "mounts": Path("/proc/self/mountinfo").read_text(),
        "capabilities": next(x.split()[1] for x in status.splitlines() if x.startswith("CapEff")),
        "socket": Path("/var/run/docker.sock").exists(),
    }


print(f"starting in mode {MODE}", flush=True)
match MODE:
    case "exits":
        for number in range(200):
            print(f"line {number}", flush=True)
        # On the same stream: the engine does not keep the order of two.
        print("model.onnx is missing", flush=True)
        sys.exit(1)
    case "deaf":
        print("listening to nobody", flush=True)
        time.sleep(3600)
    case "late":
        time.sleep(2)
ThreadingHTTPServer(("0.0.0.0", 8080), App).serve_forever()
