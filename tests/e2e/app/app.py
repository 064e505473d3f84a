"""A model server in twenty lines that misbehaves as MOOD says: "deaf", "crash", "sick"."""

import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MOOD = os.environ.get("MOOD", "")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = Path("/model/weights.csv").read_bytes()
        self.send_response(500 if MOOD == "sick" else 200)
        self.end_headers()
        self.wfile.write(body)


print("starting", flush=True)
if MOOD == "crash":
    sys.exit("the licence server said no")
if MOOD == "deaf":
    time.sleep(3600)
ThreadingHTTPServer(("", 8080), Handler).serve_forever()
