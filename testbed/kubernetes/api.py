"""The testbed's own few requests to the API server, as its administrator."""

import http.client
import json
import ssl
import urllib.request
from typing import Any

from testbed.kubernetes import settings

FAULTS = (OSError, http.client.HTTPException)  # no connection, a refusal, an answer cut short
_TIMEOUT_S = 5
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"
_FIELD_MANAGER = "fieldManager=modelferry-testbed&force=true"


class Client:
    def __init__(self) -> None:
        context = ssl.create_default_context(cafile=str(settings.config("ca.crt")))
        context.load_cert_chain(settings.config("admin.crt"), settings.config("admin.key"))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )

    def get(self, path: str) -> Any:
        return json.loads(self._request("GET", path))

    def patch(self, path: str, body: dict[str, Any]) -> None:
        self._request("PATCH", path, json.dumps(body).encode(), {"Content-Type": _MERGE})

    def apply(self, path: str, body: dict[str, Any]) -> None:
        """Create the object at `path`, or make it so."""
        headers = {"Content-Type": _APPLY}
        self._request("PATCH", f"{path}?{_FIELD_MANAGER}", json.dumps(body).encode(), headers)

    def answers(self, path: str) -> bool:
        """Whether the path is there and served, for waiting."""
        try:
            self._request("GET", path)
        except FAULTS:
            return False
        return True

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> bytes:
        url = settings.api_server_url() + path
        request = urllib.request.Request(url, body, headers or {}, method=method)
        with self._opener.open(request, timeout=_TIMEOUT_S) as response:
            return response.read()


def node_ready(client: Client) -> bool:
    try:
        node = client.get(f"/api/v1/nodes/{settings.NODE_NAME}")
    except FAULTS:
        return False
    conditions = node["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
