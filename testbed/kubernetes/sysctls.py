"""Kernel settings that the kubelet changes without being asked, put back when it is gone."""

import json
from pathlib import Path

from testbed import layout
from testbed.kubernetes import settings

_ROOT = Path("/proc/sys")
_NAMES = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)


def remember() -> None:
    values = {name: (_ROOT / name).read_text() for name in _NAMES}
    layout.write_private(_file(), json.dumps(values, indent=1))


def restore() -> None:
    """After a reboot too: what was remembered is what the machine sets itself."""
    if _file().exists():
        for name, value in json.loads(_file().read_text()).items():
            (_ROOT / name).write_text(value)


def _file() -> Path:
    return settings.config("sysctls.json")
