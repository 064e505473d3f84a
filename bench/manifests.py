"""What the registry says an image is made of."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from base64 import b64encode
from typing import Any

from testbed.registry import access

_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_ACCEPT = (
    "application/vnd.oci.image.manifest.v1+json,"
    "application/vnd.docker.distribution.manifest.v2+json,"
    "application/vnd.oci.image.index.v1+json"
)


def layers(repository: str, reference: str) -> dict[str, int]:
    """Digest -> size, the base's first."""
    manifest = _manifest(repository, reference)
    if "manifests" in manifest:
        runnable = [m for m in manifest["manifests"] if m["platform"]["os"] != "unknown"]
        manifest = _manifest(repository, runnable[0]["digest"])
    return {layer["digest"]: layer["size"] for layer in manifest["layers"]}


def _manifest(repository: str, reference: str) -> dict[str, Any]:
    url = f"http://{access().host}/v2/{repository}/manifests/{reference}"
    headers = {"Accept": _ACCEPT, "Authorization": f"Bearer {_token(repository)}"}
    return json.loads(_get(url, headers))


def _token(repository: str) -> str:
    ours = access()
    query = urllib.parse.urlencode({"service": ours.host, "scope": f"repository:{repository}:pull"})
    login = b64encode(f"{ours.username}:{ours.password}".encode()).decode()
    url = f"http://{ours.host}/oauth2/token?{query}"
    return json.loads(_get(url, {"Authorization": f"Basic {login}"}))["access_token"]


def _get(url: str, headers: dict[str, str]) -> bytes:
    request = urllib.request.Request(url, headers=headers)
    with _DIRECT.open(request, timeout=10) as answer:
        return answer.read()
