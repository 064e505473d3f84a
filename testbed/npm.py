"""Node packages, each in a folder of its own below the cache."""

from dataclasses import dataclass
from pathlib import Path

from testbed import layout
from testbed.commands import run


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
    wanted = f"{package.name}@{package.version}"
    with layout.drafted(home) as draft:
        draft.mkdir()
        run("npm", "install", "--prefix", draft, "--no-audit", "--no-fund", wanted)
