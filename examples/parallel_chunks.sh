#!/usr/bin/env bash
# Codes one film with GNU parallel, two chunks at once, and joins them:
#     parallel_chunks.sh film.mkv film.dcvc
# Plan and parts stand in film.dcvc.parts until the stream is there; a second run goes on where the first one ended.
# Where GNU parallel is not installed, xargs does the same.
set -euo pipefail
film=$1 stream=$2
work=$stream.parts
mkdir -p "$work"
[ -e "$work/plan.json" ] || dcvc plan "$film" -o "$work/plan.json" --progress none
last=$(($(grep -c '"begins"' "$work/plan.json") - 1))
encode=(dcvc encode "$film" --chunk "$work/plan.json:{}" -o "$work/{}.dcvc" --skip-existing --threads 1 --progress none)
if command -v parallel > /dev/null; then
  seq 0 "$last" | parallel --quote --jobs 2 --halt now,fail=1 "${encode[@]}"
else
  seq 0 "$last" | xargs -P 2 -I {} "${encode[@]}"
fi
dcvc concat --plan "$work/plan.json" "$work" -o "$stream" --overwrite
rm -r "$work"
