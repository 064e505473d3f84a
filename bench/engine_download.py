"""`python -m bench.engine_download`: the product's download engine alone, into nothing.

Takes the inputs as INPUT_*, as the step does. Prints the seconds from the first request to the
last byte, the processor's in them, and the bytes.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import obstore.store  # noqa: F401 - the clock is for bytes, not for imports

from modelferry.inputs import read_environment
from modelferry.memory import keep_freed_memory
from modelferry.plan import make_plan, run_context
from modelferry.preflight import resolve
from modelferry.sources import azure_blob, open_source, s3  # noqa: F401 - not on the clock
from modelferry.sources.ranges import in_order, parts_of


def main() -> None:
    keep_freed_memory()  # as the step does
    inputs, _ = read_environment(os.environ)
    plan = make_plan(inputs, run_context(os.environ), environ=os.environ).model
    assert plan, "no model is given"
    workspace = Path.cwd()
    began, worked = time.monotonic(), time.process_time()
    files = resolve(plan, workspace).files
    sources = {
        line.line: open_source(line, plan.access, workspace=workspace) for line in plan.lines
    }
    taken = 0
    for line, source in sources.items():
        parts = [part for file in files if file.source_line == line for part in parts_of(file)]
        for _, body in in_order(source.read, parts, connections=source.connections):
            taken += len(body)
    sys.stdout.write(f"{time.monotonic() - began} {time.process_time() - worked} {taken}\n")


if __name__ == "__main__":
    main()
