#!/usr/bin/env bash
# Output `folder`: this step's own, with a venv that holds what the lock says, from the runner's package index.
set -euo pipefail

folder=$(mktemp -d "$RUNNER_TEMP/modelferry-XXXXXXXX")
echo "folder=$folder" >> "$GITHUB_OUTPUT"
mkdir "$folder/runs"
"$PYTHON" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-compile \
  --require-hashes --only-binary=:all: --requirement "$GITHUB_ACTION_PATH/../requirements/runtime.txt"
# actions-toolkit brings a top-level package `tests`, which would shadow a user's.
rm -r "$folder"/venv/lib/python3.*/site-packages/tests
