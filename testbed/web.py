"""Whether a server on this machine answers."""

import socket
import urllib.error
import urllib.request
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


def listens(path: Path) -> bool:
    """Whether somebody accepts connections on a Unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
