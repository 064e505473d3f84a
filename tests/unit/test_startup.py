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
    "urllib3",
    "yaml",
    "subprocess",
)
# of ours, what a run may do without
LATE = (
    "modelferry.last_release",
    "modelferry.image.released",
    "modelferry.registry.client",
    "modelferry.rollout.manifests",
    "modelferry.stages.build",
    "modelferry.stages.deploy",
)


def loaded_by(module: str) -> set[str]:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_starting_imports_no_sdk_and_no_stage() -> None:
    loaded = loaded_by("modelferry.__main__")
    names = {name.partition(".")[0] for name in loaded}
    assert names.isdisjoint(SLOW), sorted(names.intersection(SLOW))
    assert loaded.isdisjoint(LATE), sorted(loaded.intersection(LATE))


def test_a_comparison_with_the_last_release_imports_no_builder() -> None:
    loaded = loaded_by("modelferry.last_release.compare, modelferry.last_release.take")
    assert {"modelferry.stages.build", "modelferry.process", "tarfile"}.isdisjoint(loaded)
