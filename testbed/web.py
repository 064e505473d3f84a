"""Whether a server on loopback answers."""

import urllib.error
import urllib.request

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
