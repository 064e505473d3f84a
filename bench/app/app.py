"""The service that the benchmark delivers: says its version and how large its model is."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

VERSION = "1"
MODEL = Path("/srv/model")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        size = sum(file.stat().st_size for file in MODEL.rglob("*") if file.is_file())
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"version {VERSION}, model {size} bytes\n".encode())


HTTPServer(("", 8080), Handler).serve_forever()
