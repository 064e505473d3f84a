"""Programs built from the Go sources in this folder; their go.mod and go.sum pin all they need."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from testbed import layout
from testbed.commands import run


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    name: str  # also the folder's
    linker_flags: str = "-s -w"

    def path(self) -> Path:
        """Another one whenever the source changes."""
        digest = hashlib.sha256(self.linker_flags.encode())
        for file in sorted(self._source().iterdir()):
            digest.update(file.read_bytes())
        return layout.tool_path(self.name, digest.hexdigest()[:12])

    def build(self) -> None:
        """Takes minutes the first time; Go's own cache keeps what an interrupted build did."""
        path = self.path()
        with layout.locked("go"):
            if path.exists():
                return
            # Without version control: git may refuse a checkout that belongs to somebody else.
            build = ("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", self.linker_flags)
            with layout.drafted(path) as draft:
                run(*build, "-o", draft, ".", cwd=self._source())

    def _source(self) -> Path:
        return Path(__file__).with_name(self.name)
