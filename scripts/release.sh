#!/usr/bin/env bash
# What is handed out: release.sh FOLDER [GOOS/GOARCH...] makes the program for each platform, a bill of what is in it
# (CycloneDX), the licences of all that, and the SHA-256 of each file. Whoever does not believe it runs it again from the
# same commit with the same Go and compares SHA256SUMS. Signing that one file is for whoever hands it out.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:?usage: release.sh FOLDER [GOOS/GOARCH...]}
platforms=(linux/amd64 linux/arm64)
if [ $# -gt 1 ]; then platforms=("${@:2}"); fi
if git rev-parse --git-dir >/dev/null 2>&1 && [ -n "$(git status --porcelain)" ]; then
  echo "Commit first: a release is of a commit, which stands in the program." >&2
  exit 1
fi
if [ -e "$out" ]; then
  echo "$out is there already: name a new folder." >&2
  exit 1
fi
mkdir -p "$out"
out=$(cd "$out" && pwd)

go mod verify
for platform in "${platforms[@]}"; do
  name=$out/postern-${platform/\//-}
  scripts/build.sh "$name" "$platform"
  # Without a serial number and a time, which would be all that differs the next time.
  go tool -modfile=tools/sbom/go.mod cyclonedx-gomod bin -json -std -noserial -notimestamp -output "$name.cdx.json" "$name"
done
go run ./internal/licences -texts >"$out/LICENCES.txt"
# The style sheet and the scripts of the pages are no Go modules; they were built from these.
printf '==== pages ====\n\n' | cat - internal/web/assets/LICENCES.txt >>"$out/LICENCES.txt"
cp LICENSE "$out/"
(cd "$out" && sha256sum -- * >SHA256SUMS)
cat "$out/SHA256SUMS"
