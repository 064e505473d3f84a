"""Runs the stage as told by a JSON file, in a process or container of its own; cancelled by signals
as the product is. Its last line is what came of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from modelferry import engine as engines
from modelferry.__main__ import _cancel_by_signal
from modelferry.apptest.spec import AppTests
from modelferry.apptest.where import find_place
from modelferry.artifacts import Image
from modelferry.checks import parse_checks
from modelferry.errors import Cancelled, FerryError
from modelferry.runner import Runner, logging_to
from modelferry.stages.test import run_tests
from modelferry.values import Digest


def main(told: dict) -> None:
    engine = engines.connect()
    place = find_place(engine)
    tests = AppTests(
        unit_tests=told.get("unit_tests"),
        port=8080,
        health_path="/health",
        start_timeout_s=told.get("start_timeout_s", 20.0),
        env=(("MODE", told.get("mode", "good")),),
        checks=parse_checks("GET /version contains 1.4.2")[0],
        integration_tests=told.get("integration_tests"),
        test_requirements=Path(told["requirements"]) if "requirements" in told else None,
        test_target=None,
    )
    image = Image(
        config=b"{}",
        manifest=b"",
        manifest_media_type="",
        digest=Digest(""),
        engine_id=told["image"],
        layers=(),
    )
    try:
        run_tests(
            tests,
            image,
            engine=engine,
            workspace=Path(told["workspace"]),
            temp=Path(told["temp"]),
            run_label=told["run_label"],
        )
        end = "passed"
    except FerryError as error:
        end = f"{type(error).__name__}: {error.what}"
    except Cancelled as cancelled:
        end = f"Cancelled: {cancelled}"
    report = {"end": end, "own_image": place.own_image, "attach": place.attach}
    report["route"] = default_route()
    print(json.dumps(report), flush=True)


def default_route() -> list[str]:
    routes = Path("/proc/net/route").read_text().splitlines()[1:]
    return [route.split()[2] for route in routes if route.split()[1] == "00000000"]


if __name__ == "__main__":
    with logging_to(Runner(sys.stdout, {}), debug=False), _cancel_by_signal():
        main(json.loads(Path(sys.argv[1]).read_text()))
