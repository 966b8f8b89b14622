#!/usr/bin/env bash
# scripts/fuzz.sh TIMES [PACKAGE...] fuzzes every target of these packages, or of all, so many times each, one after the
# other, and prints how often each ran. It counts and looks at no clock: when the time of the go fuzzer ends in the middle
# of a run, it sometimes calls that a failure. What is found is written beside its test, as a seed: commit it with the fix.
set -euo pipefail
cd "$(dirname "$0")/.."
times=$1
shift
if [ $# -eq 0 ]; then
  mapfile -t files < <(git grep -l '^func Fuzz' -- '*_test.go')
  mapfile -t packages < <(printf '%s\n' "${files[@]%/*}" | sort -u)
  set -- "${packages[@]}"
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
root=$PWD total=0 targets=0
for package in "$@"; do
  go test -c -fuzz=. -o "$dir/fuzz.test" "./$package"
  for target in $(grep -ho '^func Fuzz[A-Za-z0-9]*' "$package"/*_test.go | cut -c6-); do
    cd "$root/$package"
    if ! "$dir/fuzz.test" -test.run='^$' -test.fuzz="^$target\$" -test.fuzztime="${times}x" -test.parallel=2 -test.fuzzminimizetime=10x -test.fuzzcachedir="$dir/cache" >"$dir/out" 2>&1; then
      cat "$dir/out" >&2
      exit 1
    fi
    cd "$root"
    runs=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$dir/out" | tail -1)
    printf '%-24s %-28s %9d\n' "${package#internal/}" "$target" "$runs"
    total=$((total + runs)) targets=$((targets + 1))
  done
done
printf 'fuzz: %d targets, %d executions\n' "$targets" "$total"
