#!/usr/bin/env bash
# Encodes every clip of a folder with GNU parallel, two at once:
#     parallel.sh clips streams
# Where GNU parallel is not installed, xargs does the same without its log. Exit code: 0 if all clips are there.
set -euo pipefail
clips=$1 streams=$2
mkdir -p "$streams"
encode=(dcvc encode -o "$streams/" --skip-existing --threads 1 --progress none)
if command -v parallel > /dev/null; then
  find "$clips" -maxdepth 1 -name '*.y4m' -print0 | sort -z |
    parallel -0 --jobs 2 --joblog "$streams/jobs.log" "${encode[@]}" {}
else
  find "$clips" -maxdepth 1 -name '*.y4m' -print0 | sort -z | xargs -0 -n 1 -P 2 "${encode[@]}"
fi
