#!/usr/bin/env bash
# Somebody else's program reads our export: the demo's hub, exported by the demo's auditor, checked by Tessera's fsck, a
# pinned tool that shares no code with us. Its exit code is 0 whatever it finds, and with one worker it hangs when it
# finds something, so its words are read, it gets four workers and a time; and a changed byte must make it say so.
set -euo pipefail
cd "$(dirname "$0")/.."

dir=$(mktemp -d)
hub=
end() {
  if [ -n "$hub" ]; then kill "$hub" 2>/dev/null || true; wait "$hub" 2>/dev/null || true; fi
  rm -rf "$dir"
}
trap end EXIT

go build -o "$dir/postern" ./cmd/postern
go build -modfile=tools/go.mod -o "$dir/fsck" github.com/transparency-dev/tessera/cmd/fsck
"$dir/postern" demo --dir "$dir/demo" --once >"$dir/demo.log" 2>&1 || { cat "$dir/demo.log" >&2; exit 1; }
"$dir/postern" hub --config "$dir/demo/hub.yaml" serve 2>"$dir/hub.log" &
hub=$!
for _ in $(seq 600); do
  if [ -S "$dir/demo/hub/control.sock" ]; then break; fi
  kill -0 "$hub" 2>/dev/null || { cat "$dir/hub.log" >&2; exit 1; }
  sleep 0.1
done
"$dir/postern" audit --config "$dir/demo/auditor.yaml" export "$dir/export" >/dev/null 2>&1
"$dir/postern" audit --config "$dir/demo/auditor.yaml" verify "$dir/export" >/dev/null

# says LOG prints what fsck says of a log of the export.
says() {
  timeout 300 "$dir/fsck" --storage_url="file://$dir/export/$1" --public_key="$dir/demo/hub/$1.vkey" --ui=false --N=4 2>&1 || true
}

for log in sent received; do
  size=$(sed -n 2p "$dir/export/$log/checkpoint")
  words=$(says "$log")
  if ! grep -q "Successfully fsck'd log with size $size " <<<"$words" || grep -q failed <<<"$words"; then
    printf 'fsck does not accept the %s log of %s entries:\n%s\n' "$log" "$size" "$words" >&2
    exit 1
  fi
  echo "fsck accepts the $log log: $size entries"
done

entries=$(find "$dir/export/sent/tile/entries" -type f | head -n 1)
printf '\377' | dd of="$entries" bs=1 seek=30 conv=notrunc status=none
words=$(says sent)
if grep -q Successfully <<<"$words" || ! grep -q 'fsck failed' <<<"$words"; then
  printf 'fsck does not find a changed byte, so its word is worth nothing:\n%s\n' "$words" >&2
  exit 1
fi
echo "fsck finds a changed byte"
