"""Servers on this machine: whether they answer, and what."""

import socket
import urllib.error
import urllib.request
from http.client import HTTPResponse
from pathlib import Path

# Loopback is never reached through a proxy, whatever the environment says.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def answers(url: str) -> bool:
    """True for any HTTP answer, a refusal included."""
    try:
        _DIRECT.open(url, timeout=5).close()
    except urllib.error.HTTPError as refusal:
        refusal.close()
        return True
    except OSError:
        return False
    return True


def opened(request: urllib.request.Request) -> HTTPResponse:
    """The answer; urllib's HTTPError when it is a refusal."""
    return _DIRECT.open(request, timeout=10)


def listens(path: Path) -> bool:
    """Whether somebody accepts connections on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
