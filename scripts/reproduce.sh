#!/usr/bin/env bash
# The same sources make the same bytes: the program is built from a copy with an empty cache, and released from another
# copy, in a deeper folder, with the cache that is there. A change of one letter must be found out.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GOFLAGS="${GOFLAGS:+$GOFLAGS }-buildvcs=false" # a copy is no checkout

copy() {
  mkdir -p "$1"
  git -c safe.directory='*' ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' f; do if [ -f "$f" ]; then printf '%s\0' "$f"; fi; done |
    tar --null --files-from=- -cf - | tar -xf - -C "$1"
}

platform=$(go env GOOS)/$(go env GOARCH)
copy "$work/one"
copy "$work/another/and/deeper"
GOCACHE=$work/cache "$work/one/scripts/build.sh" "$work/cold" "$platform"
"$work/another/and/deeper/scripts/release.sh" "$work/dist" "$platform" >/dev/null
warm=$work/dist/postern-${platform/\//-}
if ! cmp "$work/cold" "$warm"; then
  echo "Two builds of the same sources differ." >&2
  exit 1
fi

# Every module that the linker took is in the bill, and nothing else.
go version -m "$warm" | awk '$1 == "dep" { print $2 "@" $3 }' | sort >"$work/linked"
grep -o '"purl": "pkg:golang/[^"?]*' "$warm.cdx.json" | sed 's,.*pkg:golang/,,' | grep -v '^std@' | grep '@' | sort -u >"$work/billed"
if ! [ -s "$work/linked" ] || ! diff "$work/linked" "$work/billed"; then
  echo "The bill of materials is not what was linked." >&2
  exit 1
fi
if grep -aq "$work" "$warm" || grep -aq "$PWD" "$warm"; then
  echo "The program holds a path of this machine." >&2
  exit 1
fi

# The control: a program that says another word is another program.
sed -i 's/"devel"/"Devel"/' "$work/another/and/deeper/cmd/postern/version.go"
"$work/another/and/deeper/scripts/build.sh" "$work/changed" "$platform"
if cmp -s "$work/cold" "$work/changed"; then
  echo "The comparison finds no change." >&2
  exit 1
fi
echo "$(sha256sum <"$work/cold" | cut -c1-64) twice, $(wc -l <"$work/linked") modules, $(stat -c %s "$work/cold") bytes"
