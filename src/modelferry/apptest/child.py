"""A Bench for a plain host: a child process in the workspace with a clean environment."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from modelferry import process
from modelferry.apptest.integration import Ground
from modelferry.process import Completed


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildBench:
    ground: Ground

    def run(self, argv: tuple[str, ...], env: Mapping[str, str], timeout_s: float) -> Completed:
        return process.run(argv, env=env, cwd=Path(self.ground.workspace), timeout_s=timeout_s)

    def read(self, path: PurePath) -> bytes | None:
        file = Path(path)
        return file.read_bytes() if file.exists() else None


@contextmanager
def child_bench(workspace: Path, temp: Path, model_api_url: str) -> Iterator[ChildBench]:
    with tempfile.TemporaryDirectory(dir=temp, prefix="integration-tests-") as scratch:
        yield ChildBench(
            ground=Ground(
                workspace=workspace.absolute(),
                scratch=Path(scratch).absolute(),
                python=sys.executable,
                model_api_url=model_api_url,
            )
        )
