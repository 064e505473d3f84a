#!/bin/sh
set -eu
for name in *.txt; do
  echo "$name"
done
