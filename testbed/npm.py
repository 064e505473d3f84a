"""Node packages, each in a folder of its own below the cache."""

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from testbed import layout
from testbed.commands import run
from testbed.part import TestbedError

_MIN_NODE = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePackage:
    name: str
    version: str


def ensure(package: NodePackage) -> Path:
    """The installed package's folder."""
    home = layout.cache_dir() / "npm" / f"{package.name}-{package.version}"
    if not home.exists():
        with layout.locked("npm"):
            if not home.exists():
                _install(package, home)
    return home / "node_modules" / package.name


def _install(package: NodePackage, home: Path) -> None:
    _check_node()
    draft = home.with_name(f".{home.name}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    wanted = f"{package.name}@{package.version}"
    run("npm", "install", "--prefix", draft, "--no-audit", "--no-fund", wanted)
    draft.replace(home)


def _check_node() -> None:
    version = run("node", "--version").strip()
    major = re.match(r"v(\d+)\.", version)
    if not major or int(major[1]) < _MIN_NODE:
        raise TestbedError(f"Node {_MIN_NODE} or newer is needed for the testbed; found {version}.")
