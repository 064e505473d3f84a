"""The cluster that MODELFERRY_TESTBED_KUBECONFIG names: used, but neither started nor changed.

A KUBECONFIG of the environment is never read: it may be somebody's production.
"""

import os
from pathlib import Path

from testbed.part import TestbedError

_VARIABLE = "MODELFERRY_TESTBED_KUBECONFIG"
_TIMEOUT_S = 10


def kubeconfig() -> Path | None:
    """Raises TestbedError when the file that is named does not exist."""
    value = os.environ.get(_VARIABLE)
    if not value:
        return None
    path = Path(value).absolute()
    if not path.is_file():
        raise TestbedError(f"{_VARIABLE} names {path}, and there is no such file.")
    return path


def answers(path: Path) -> bool:
    from kubernetes import client, config
    from kubernetes.config import ConfigException
    from urllib3.exceptions import HTTPError

    try:
        with config.new_client_from_config(str(path)) as connection:
            client.VersionApi(connection).get_code(_request_timeout=_TIMEOUT_S)
    except (client.ApiException, ConfigException, HTTPError):
        return False
    return True


def require(path: Path) -> None:
    if not answers(path):
        raise TestbedError(f"The cluster of {path}, named by {_VARIABLE}, does not answer.")
