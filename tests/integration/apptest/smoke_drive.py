"""Smoke tests against an address of ours, in a process or container of its own; its last line is
what came of them."""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from modelferry.apptest.smoke import smoke_ground
from modelferry.errors import FerryError
from modelferry.runner import Runner, logging_to


class Pod(BaseHTTPRequestHandler):
    """What the other end of a way would answer."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"version 2")


def main(told: dict) -> None:
    with smoke_ground(
        workspace=Path(told["workspace"]),
        temp=Path(told["temp"]),
        run_label=told["run_label"],
        environ=os.environ,
    ) as ground:
        server = ThreadingHTTPServer((ground.listen_on, 0), Pod)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address, port = server.server_address[:2]
        try:
            ground.run(told["command"], f"http://{address}:{port}", requirements=None)
            end = "passed"
        except FerryError as error:
            end = f"{type(error).__name__}: {error.what}"
        server.shutdown()
        server.server_close()
    report = {"end": end, "listen_on": ground.listen_on, "beside": ground.network is not None}
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    with logging_to(Runner(sys.stdout, {}), debug=False):
        main(json.loads(Path(sys.argv[1]).read_text()))
