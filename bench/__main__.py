"""`scripts/bench`: runs the rows, prints the table, writes JSON, draws the charts."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench import document, facts, namespaces, table
from bench.figures import Row
from bench.rows import IDS
from testbed import layout, machine
from testbed.part import TestbedError

if TYPE_CHECKING:
    from bench.session import Session

log = logging.getLogger("bench")


def main(argv: Sequence[str]) -> int:
    options = _options(argv)
    if options.document:
        document.write([json.loads(file.read_text()) for file in options.document])
        return 0
    if options.product:
        os.environ["MODELFERRY_BENCH_PRODUCT"] = str(options.product.absolute())
    if not namespaces.inside():
        return _enter(argv)
    namespaces.settle()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("azure", "botocore", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        return _measure(options)
    except TestbedError as error:
        sys.stderr.write(f"bench: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rows", default=",".join(IDS), metavar="a,c", help="these alone")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small models, in ten minutes")
    size.add_argument(
        "--tiny", action="store_true", help="whether it works; its figures say nothing"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    parser.add_argument("--product", type=Path, metavar="FOLDER", help="another checkout of it")
    parser.add_argument("--verbose", action="store_true", help="print every sample")
    parser.add_argument(
        "--document",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="measure nothing: put the rows of these runs into docs",
    )
    options = parser.parse_args(argv)
    options.rows = options.rows.split(",")
    if unknown := set(options.rows) - set(IDS):
        parser.error(f"no row is called {', '.join(sorted(unknown))}; there are {', '.join(IDS)}")
    return options


def _enter(argv: Sequence[str]) -> int:
    usual, ours = layout.cache_dir(), layout.cache_dir() / "bench"
    from bench.cloud import share_what_is_built

    with layout.locked("bench", _say_waiting):
        try:
            machine.check()
            share_what_is_built(usual, ours)
            return namespaces.enter(argv, ours)
        except TestbedError as error:
            sys.stderr.write(f"bench: {error}\n")
            return 1
        finally:
            layout.remove(ours)


def _say_waiting() -> None:
    sys.stderr.write("bench: waiting for another\n")


def _measure(options: argparse.Namespace) -> int:
    from bench.cloud import Cloud, buildkitd_version
    from bench.session import FULL, QUICK, TINY, Session

    name, scale = (
        ("quick", QUICK) if options.quick else ("tiny", TINY) if options.tiny else ("full", FULL)
    )
    record = _Record(options, name)
    with Cloud().up() as cloud:
        record.about |= facts.versions(buildkitd_version())
        _run(Session(cloud, scale), record)
    sys.stdout.write(f"{table.text(record.rows)}\n\n{table.facts(record.about)}\n")
    for ids, cause in record.failed.items():
        sys.stdout.write(f"row {ids} could not be taken: {cause}\n")
    return 1 if record.failed else 0


class _Record:
    """What was found so far; in FILE after each row, so that an early end loses nothing."""

    def __init__(self, options: argparse.Namespace, scale: str) -> None:
        self.wanted, self._verbose, self._file = options.rows, options.verbose, options.json
        self._scale, self._began = scale, time.monotonic()
        self.about = facts.machine()
        self.rows: list[Row] = []
        self.failed: dict[str, str] = {}

    def add(self, row: Row) -> None:
        self.rows.append(row)
        log.info("%s", table.raw(row) if self._verbose else "  " + "  ".join(table.cells(row)))
        self._write()

    def fail(self, ids: str, error: Exception) -> None:
        self.failed[ids] = f"{type(error).__name__}: {error}"
        self._write()

    def _write(self) -> None:
        self.about["run"] = f"{self._scale}, {time.monotonic() - self._began:.0f} s"
        if self._file:
            body = document.to_json(self.rows, self.about, self.failed)
            self._file.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n")


def _run(session: Session, record: _Record) -> None:
    """A row that fails is told, and the others go on."""
    from bench.rows import measures

    for ids, measure in measures().items():
        if not set(ids) & set(record.wanted):
            continue
        began = time.monotonic()
        log.info("· %s", ", ".join(ids))
        try:
            for row in measure(session):
                if row.id in record.wanted:
                    record.add(row)
        except Exception as error:
            log.exception("row %s", ids[0])
            record.fail(", ".join(ids), error)
        log.info("  %s in %.0f s", ", ".join(ids), time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
