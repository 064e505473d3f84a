#!/usr/bin/env bash
# Nothing of this step stays, whatever happened to it: after a kill, too, which Python cannot answer.
set -uo pipefail

case ${FOLDER:-} in "$RUNNER_TEMP"/modelferry-*) ;; *) exit 0 ;; esac

# A run that ended by itself has removed its folder, which is named like its label.
for run in "$FOLDER"/runs/*/; do
  [ -d "$run" ] || continue
  label=label=modelferry.run=$(basename "$run")
  docker ps --all --quiet --filter "$label" | xargs --no-run-if-empty docker rm --force --volumes
  docker network ls --quiet --filter "$label" | xargs --no-run-if-empty docker network rm
  docker volume ls --quiet --filter "$label" | xargs --no-run-if-empty docker volume rm --force
done
rm -rf "$FOLDER"
