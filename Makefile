# Postern. `make` alone lists what there is.

TOOL := go tool -modfile=tools/go.mod

.PHONY: help check soak assets e2e proto baseline fmt bench bench-10m demo release licences

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

check: ## everything that must hold: format, vet, staticcheck, protos, policy, tests, the demo
	@scripts/check.sh

soak: ## the long counts: ten thousand kills and more; takes hours
	POSTERN_SOAK=1 POSTERN_CRASH_TIMEOUT=24h scripts/check.sh install kills failpoints disk power images slow loss valve fuzz

demo: ## all parties on this machine, with invented families
	go run ./cmd/postern demo

proto: ## generate the Go code of the protos; it is committed beside them
	$(TOOL) buf generate

baseline: ## accept the protos as they are; from then on a breaking change fails the check
	$(TOOL) buf build --exclude-source-info -o proto/baseline.binpb

assets: ## build the style sheet and scripts of the pages from pinned npm packages; they are committed
	npm --prefix internal/web/assets ci --silent
	node internal/web/assets/build.mjs internal/web/assets/dist internal/web/ui/testdata/fixtures

e2e: ## every page in a real browser; needs what the install stage of the check installs
	@scripts/check.sh assets e2e

release: ## what is handed out, in dist/: the program, what is in it, its licences, the sum of each file
	scripts/release.sh dist

licences: ## list the licence of every module that is built in
	go run ./internal/licences > docs/licences.new && mv docs/licences.new docs/licences.md

fmt: ## format Go and proto files
	gofmt -w ./*/
	$(TOOL) buf format -w

bench: ## measure beside the peers, and write docs/benchmarks.md
	go run ./internal/bench -out docs/benchmarks.md

bench-10m: ## the rows about a long log, with ten million entries of 200 bytes of input; takes over an hour and 60 GB
	go run ./internal/bench -rows 5,6,9 -entries 10000000 -input 200
