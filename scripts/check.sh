#!/usr/bin/env bash
# Everything that must hold before a change goes in, cheapest first. Each stage ends in one line with its seconds; the
# first that fails ends the run. `scripts/check.sh STAGE...` runs only those stages.
set -euo pipefail
cd "$(dirname "$0")/.."

# A check makes no release: it needs no version stamp, and a checkout of another user's must not stop it.
export GOFLAGS="${GOFLAGS:+$GOFLAGS }-buildvcs=false"
exec </dev/null

tool() { go tool -modfile=tools/go.mod "$@"; }

# What go cannot fetch by itself: git for the list of files, a C compiler for the race detector, strace to make a disk
# fail, the tools of two file systems to cut their power, a scanner of TLS servers, Node to build what pages load, a
# browser to read them with.
stage_install() {
  local missing=()
  command -v git >/dev/null || missing+=(git)
  command -v gcc >/dev/null || missing+=(gcc libc6-dev)
  command -v strace >/dev/null || missing+=(strace)
  command -v mkfs.ext4 >/dev/null || missing+=(e2fsprogs)
  command -v mkfs.xfs >/dev/null || missing+=(xfsprogs)
  command -v mount >/dev/null || missing+=(mount)
  command -v testssl >/dev/null || missing+=(testssl.sh)
  command -v node >/dev/null || missing+=(nodejs)
  command -v npm >/dev/null || missing+=(npm)
  command -v chromium >/dev/null || missing+=(chromium fonts-liberation)
  command -v pdftotext >/dev/null || missing+=(poppler-utils)
  if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
      echo "Missing: ${missing[*]}. Install them, for instance as root: apt-get install ${missing[*]}" >&2
      return 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}"
  fi
  node_is_new || install_node
}

# What builds the pages needs Node 20.19, and Debian 12 has 18.
node_is_new() { node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || a === 20 && b >= 19 ? 0 : 1)'; }

# install_node puts a newer one before an old one, from npm.
install_node() {
  if [ "$(id -u)" -ne 0 ]; then
    echo "Node $(node --version) is too old: 20.19 or later is needed. Install it, for instance as root: npm install --global node@20.20.0" >&2
    return 1
  fi
  npm install --silent --global node@20.20.0
  hash -r
  node_is_new
}

stage_gofmt() {
  local unformatted
  unformatted=$(gofmt -l ./*/)
  if [ -z "$unformatted" ]; then return; fi
  printf 'Not formatted (make fmt mends it):\n%s\n' "$unformatted" >&2
  return 1
}

# Some code is built under a tag only: the harness of the processes, and fail-points that do something.
stage_vet() {
  go vet ./...
  go vet -tags crash,failpoint,nosync ./internal/crash ./internal/failpoint ./internal/store/bolt
  go vet -tags e2e ./internal/e2e
}

stage_staticcheck() {
  tool staticcheck ./...
  tool staticcheck -tags crash,failpoint,nosync ./internal/crash ./internal/failpoint ./internal/store/bolt
  tool staticcheck -tags e2e ./internal/e2e
}

# Whether the generated code is fresh is a house rule; see internal/house.
stage_buf() {
  tool buf lint
  tool buf format --diff --exit-code
  tool buf breaking --against proto/baseline.binpb
}

# What pages load is committed, so that go build needs no Node: built again from the pinned packages, it is the same.
stage_assets() {
  local fresh assets=internal/web/assets
  if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(a * 100 + +b < 2019 ? 1 : 0)'; then
    echo "What pages load is built with Node 20.19 or later; this is $(node --version). Install a later one" >&2
    return 1
  fi
  npm --prefix "$assets" ci --silent
  fresh=$(mktemp -d)
  node "$assets/build.mjs" "$fresh/dist" "$fresh/fixtures"
  if diff -r "$fresh/dist" "$assets/dist" && diff -r "$fresh/fixtures" internal/web/ui/testdata/fixtures; then
    rm -r "$fresh"
    return
  fi
  echo "What pages load is not what its sources say; run make assets" >&2
  return 1
}

# A certified provider of OpenID Connect, for the tests of signing in: they run it as a process of its own.
stage_provider() { npm --prefix internal/signin/testdata/provider ci --silent --ignore-scripts; }

stage_policy() { go run ./cmd/postern policy test policy; }

stage_test() { CGO_ENABLED=1 go test -race -timeout 20m ./...; }

# Ten thousand ways to tamper with an export, each found: too many for the race detector, which sees a few of each kind.
stage_tamper() { go test -count=1 -v -run '^TestTamperings$' ./internal/ledger/archive; }

# What comes from another party is fuzzed a thousand times a target, after its seeds ran as tests; in a soak everything is,
# a hundred thousand times.
stage_fuzz() {
  if [ "${POSTERN_SOAK:-}" = 1 ]; then scripts/fuzz.sh 100000; return; fi
  scripts/fuzz.sh 1000 internal/rpc internal/envelope internal/identity internal/ledger/verify internal/ledger/archive internal/directory internal/delivery
}

# A hundred thousand messages that were sent before, by others or as something else change nothing; under every attack an
# honest desk is served. Too many for the race detector, which sees a few of each.
stage_storm() { GOTMPDIR=${TMPDIR:-/tmp} TMPDIR=$(memory) go test -count=1 -timeout 30m -v -run '^(TestAStormChangesNothing|TestHonestDesksAreServedUnderAttack)$' ./internal/testkit/door | grep -v '^ *\(===\|---\|{\)'; }

# Another program than ours reads the export of a demo's hub.
stage_fsck() { scripts/fsck.sh; }

# Two thousand flipped bits in a hub's live database, each found: bbolt alone is read in child processes, which may die.
stage_flips() { go test -count=1 -v -run '^(TestEveryFlippedBitIsFoundOrHarmless|TestFlipChild)$' ./internal/store/bolt; }

# crash runs tests of internal/crash, which start, kill and starve real processes, and prints the line of each. Too slow
# for the race detector.
crash() { go test -tags crash -count=1 -timeout "${POSTERN_CRASH_TIMEOUT:-20m}" -v -run "$1" ./internal/crash | grep -vE '^(===|    ---)'; }

# Three hundred kills of hub, desk and inbox in the middle of work, judged by a ledger outside; and what must be found out.
stage_kills() { crash '^(TestKills|TestNamesAreFound|TestTheJudgeFindsEachFault|TestAPartyThatForgetsIsFoundOut|TestAnInterruptedCheckLeavesNoProcess)$'; }

# Every fail-point kills, fails and delays.
stage_failpoints() { crash '^TestFailpoints$'; }

# Every system call that writes fails now and then; a volume is filled to the last byte.
stage_disk() { crash '^(TestDiskErrors|TestFullDisk)$'; }

# The power is cut under hub, desk and inbox, on ext4 and XFS; a store that does not sync must be found out.
stage_power() { crash '^(TestPowerCuts|TestAStoreThatBelievesThePageCacheIsFoundOut)$'; }

# What a power cut at any moment may leave of a database: every image opens, and holds what was durable.
stage_images() {
  go test -tags crash -count=1 -timeout "${POSTERN_CRASH_TIMEOUT:-20m}" -v \
    -run '^(TestEveryCrashImageHoldsWhatWasDurable|TestADiskThatLiesIsFoundOut)$' ./internal/store/bolt | grep -vE '^(===|    ---)'
}

# An inbox that says nothing delays nobody else.
stage_slow() { crash '^TestASilentInboxDelaysNobodyElse$'; }

# memory is a folder for what a simulated hub syncs, in memory where there is one: what its crash forgets, the simulator says.
memory() { if [ -w /dev/shm ]; then echo /dev/shm; else echo "${TMPDIR:-/tmp}"; fi; }

# Four hundred histories of the simulator, half of them on each processor: without the race detector, since everything in
# one happens on one goroutine.
stage_world() {
  local dir one other ended=0
  dir=$(mktemp -d)
  go test -c -o "$dir/world.test" ./internal/testkit/world
  histories() { (cd internal/testkit/world && TMPDIR=$(memory) "$dir/world.test" -test.timeout 20m -test.run '^TestWorld$' -from "$1" -seeds 200 >"$dir/$1" 2>&1); }
  histories 1 &
  one=$!
  histories 201 &
  other=$!
  wait $one || ended=1
  wait $other || ended=1
  cat "$dir/1" "$dir/201"
  rm -r "$dir"
  return $ended
}

# Every seeded bug is built into the program, and caught.
stage_bugs() { go test -count=1 -timeout 30m -v -parallel 2 -run '^TestSeededBugs$' ./internal/testkit/world -kill -memory "$(memory)" | grep -v '^ *\(===\|---\)'; }

# A thousand pairs of worlds that a prison must not tell apart, on both processors; and a leak of each kind, which must show.
stage_valve() {
  local dir pairs=500 half
  if [ -n "${POSTERN_SOAK:-}" ]; then pairs=5000; fi
  dir=$(mktemp -d)
  go test -c -o "$dir/valve.test" ./internal/testkit/valve
  (cd internal/testkit/valve && TMPDIR=$(memory) "$dir/valve.test" -test.timeout 60m -test.run '^TestTwoWorlds$' -pairs $pairs -from 1001 | grep -v '^ *\(===\|---\)\|^valve:  ') &
  half=$!
  (cd internal/testkit/valve && TMPDIR=$(memory) "$dir/valve.test" -test.timeout 60m -test.run '^TestTwoWorlds$' -pairs $pairs | grep -v '^ *\(===\|---\)')
  wait $half
  rm -r "$dir"
  TMPDIR=$(memory) go test -count=1 -timeout 20m -v -run '^TestEveryKindOfLeakIsCaught$' ./internal/testkit/valve -leaks | grep -v '^ *\(===\|---\)'
}

# A hub loses everything but its keys while desks live.
stage_loss() { crash '^TestLossOfTheHubsDisk$'; }

# A scanner that others wrote looks at a hub and an inbox; a weak server must be found out.
stage_tls() { crash '^(TestTLS|TestAWeakServerIsFoundOut)$'; }

# The same sources make the same bytes, and the bill of materials is what was linked.
stage_reproduce() { scripts/reproduce.sh; }

# Every page of every site in a real browser, and each check seen to find a broken page. Screenshots stay in screenshots/.
stage_e2e() { go test -tags e2e -count=1 -timeout 20m ./internal/e2e; }

stage_demo() { go run ./cmd/postern demo --once; }

# now prints the time in milliseconds; EPOCHREALTIME has six digits after a point or, in some locales, a comma.
now() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }

# line WHAT SINCE prints the one line of a stage.
line() {
  local ms=$(($(now) - $2))
  printf 'check: %-12s %5d.%d s\n' "$1" $((ms / 1000)) $((ms % 1000 / 100))
}

stages=(install gofmt vet staticcheck buf assets provider policy test tamper storm fuzz fsck flips world bugs valve kills failpoints disk power images slow loss tls reproduce e2e demo)
if [ $# -gt 0 ]; then stages=("$@"); fi

# A stage is called plainly, never after `if` or before `||`: bash would then go on after a failing line within it.
failed() { echo "check: failed in stage $stage" >&2; }
trap failed ERR
set -o errtrace

first=$(now)
for stage in "${stages[@]}"; do
  start=$(now)
  "stage_$stage"
  line "$stage" "$start"
done
line total "$first"
