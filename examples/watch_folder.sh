#!/usr/bin/env bash
# Encodes what arrives in a folder; put it into cron with --once, or run it as a service:
#     watch_folder.sh [--once] inbox outbox
# A clip counts as arrived once nothing has written to it for SETTLE seconds. Its stream appears whole or not at all; a
# clip that fails gets NAME.failed beside it, with what dcvc said, and is left alone until that file is gone.
set -euo pipefail
once=false
[ "$1" = --once ] && { once=true; shift; }
inbox=$1 outbox=$2
settle=${SETTLE:-10}
mkdir -p "$outbox"
# One watcher an outbox: cron may start the next one before this one is done.
exec 9> "$outbox/.lock"
flock -n 9 || exit 0

encode_arrived() {
  local now clip stem
  now=$(date +%s)
  find "$inbox" -maxdepth 1 -type f \( -name '*.y4m' -o -name '*.mp4' -o -name '*.mkv' \) -print0 | sort -z |
    while IFS= read -r -d '' clip; do
      stem=$(basename "${clip%.*}")
      [ -e "$clip.failed" ] && continue
      [ -e "$outbox/$stem.dcvc" ] && continue
      [ $((now - $(stat -c %Y "$clip"))) -ge "$settle" ] || continue
      dcvc encode "$clip" -o "$outbox/$stem.dcvc" --progress none < /dev/null 2> "$outbox/$stem.log" ||
        mv "$outbox/$stem.log" "$clip.failed"
    done
}

while true; do
  encode_arrived
  $once && break
  sleep 5
done
