"""Tools built from their Go modules, each once, one after the other (a build fills all cores).

`python -m testbed.gotools NAME` prints the path of one, built if it is missing.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from testbed import layout
from testbed.commands import run


@dataclass(frozen=True, slots=True, kw_only=True)
class GoTool:
    module: str
    package: str  # folder below the module's root
    version: str


TOOLS = {
    "act": GoTool(module="github.com/nektos/act", package=".", version="v0.2.89"),
    "actionlint": GoTool(
        module="github.com/rhysd/actionlint", package="./cmd/actionlint", version="v1.7.12"
    ),
    "buildkitd": GoTool(
        module="github.com/moby/buildkit", package="./cmd/buildkitd", version="v0.34.2"
    ),
    "buildx": GoTool(module="github.com/docker/buildx", package="./cmd/buildx", version="v0.38.2"),
    "helm": GoTool(module="helm.sh/helm/v3", package="./cmd/helm", version="v3.22.0"),
    "toxiproxy": GoTool(
        module="github.com/Shopify/toxiproxy/v2", package="./cmd/server", version="v2.12.0"
    ),
    "versitygw": GoTool(
        module="github.com/versity/versitygw", package="./cmd/versitygw", version="v1.8.0"
    ),
}


@dataclass(slots=True)
class Tool:
    """A part that is only a program: nothing of it runs in between."""

    name: str

    def prepare(self) -> None:
        ensure(self.name)

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def running(self) -> bool:
        return path(self.name).exists()

    def env(self) -> dict[str, str]:
        return {}


def path(name: str) -> Path:
    return layout.tool_path(name, TOOLS[name].version)


def ensure(name: str) -> Path:
    """The tool's binary, built if it is missing."""
    binary = path(name)
    if not binary.exists():
        with layout.locked("go"):
            if not binary.exists():
                _build(TOOLS[name], binary)
    return binary


def _build(tool: GoTool, binary: Path) -> None:
    # Inside the module's own folder, since `go install module@version` refuses replace lines.
    download = run("go", "mod", "download", "-json", f"{tool.module}@{tool.version}")
    source = Path(json.loads(download)["Dir"])
    with layout.drafted(binary) as draft:
        run("go", "build", "-trimpath", "-o", draft, tool.package, cwd=source)


if __name__ == "__main__":
    sys.stdout.write(f"{ensure(sys.argv[1])}\n")
