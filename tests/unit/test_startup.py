"""Starting is cheap: no SDK is imported before a stage needs it."""

from __future__ import annotations

import json
import subprocess
import sys

SLOW = (
    "docker",
    "kubernetes",
    "azure",
    "boto3",
    "botocore",
    "obstore",
    "actions_toolkit",
    "rich",
    "requests",
)


def test_starting_imports_no_sdk() -> None:
    code = "import json, sys, modelferry.__main__; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert loaded.isdisjoint(SLOW), sorted(loaded.intersection(SLOW))
