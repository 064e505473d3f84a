#!/usr/bin/env bash
# Output `python`: a Python new enough that can make a venv, or nothing when setup-python shall bring one.
set -euo pipefail

if [ "$(uname -s)" != Linux ]; then
  echo "::error title=Modelferry needs Linux::This runner is $(uname -s). Use a Linux runner, such as runs-on: ubuntu-latest."
  exit 2
fi

usable='import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
tools=${RUNNER_TOOL_CACHE:-/opt/hostedtoolcache}/Python
for candidate in python3 python3.13 python3.12 python3.11 "$tools"/3.1[1-9].*/*/bin/python3; do
  python=$(command -v "$candidate") || continue
  if "$python" -c "$usable" 2>/dev/null; then
    echo "python=$python" >> "$GITHUB_OUTPUT"
    exit 0
  fi
done

if [ "$SETUP_PYTHON" != true ]; then
  echo "::error title=Modelferry needs Python 3.11 or newer::This runner has none that can make a venv. Install python3 and python3-venv, or leave the input setup-python at true."
  exit 2
fi
