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
        document.write(json.loads(options.document.read_text()))
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
        "--document", type=Path, metavar="FILE", help="measure nothing: put FILE's rows into docs"
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

    scale = QUICK if options.quick else TINY if options.tiny else FULL
    about = facts.machine()
    began = time.monotonic()
    with Cloud().up() as cloud:
        about |= facts.versions(buildkitd_version())
        rows, failed = _rows(Session(cloud, scale), options.rows, verbose=options.verbose)
    about["run"] = f"{_scale_name(options)}, {time.monotonic() - began:.0f} s"
    sys.stdout.write(f"{table.text(rows)}\n\n{table.facts(about)}\n")
    for name, cause in failed.items():
        sys.stdout.write(f"row {name} could not be taken: {cause}\n")
    body = document.to_json(rows, about, failed)
    if options.json:
        options.json.write_text(json.dumps(body, indent=1, ensure_ascii=False) + "\n")
    return 1 if failed else 0


def _scale_name(options: argparse.Namespace) -> str:
    return "quick" if options.quick else "tiny" if options.tiny else "full"


def _rows(
    session: Session, wanted: Sequence[str], *, verbose: bool
) -> tuple[list[Row], dict[str, str]]:
    """A row that fails is told, and the others go on."""
    from bench.rows import measures

    rows: list[Row] = []
    failed: dict[str, str] = {}
    for ids, measure in measures().items():
        if not set(ids) & set(wanted):
            continue
        began = time.monotonic()
        log.info("· %s", ", ".join(ids))
        try:
            for row in measure(session):
                if row.id in wanted:
                    rows.append(row)
                    log.info(
                        "%s", table.raw(row) if verbose else "  " + "  ".join(table.cells(row))
                    )
        except Exception as error:
            log.exception("row %s", ids[0])
            failed[", ".join(ids)] = f"{type(error).__name__}: {error}"
        log.info("  %s in %.0f s", ", ".join(ids), time.monotonic() - began)
    return rows, failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
