#!/usr/bin/env bash
# The one way in which a released program is built: build.sh FILE [GOOS/GOARCH]. The same sources and the same Go give the
# same bytes, in any folder, on any machine, with any cache; scripts/reproduce.sh tries it.
set -euo pipefail
cd "$(dirname "$0")/.."

file=${1:?usage: build.sh FILE [GOOS/GOARCH]}
platform=${2:-$(go env GOOS)/$(go env GOARCH)}

# No C compiler and no paths of this machine; no symbols, which only a debugger reads; exactly the modules of go.sum.
CGO_ENABLED=0 GOOS=${platform%/*} GOARCH=${platform#*/} \
  go build -trimpath -mod=readonly -ldflags='-s -w' -o "$file" ./cmd/postern
