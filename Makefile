# Postern. `make` alone lists what there is.

TOOL := go tool -modfile=tools/go.mod

.PHONY: help check proto baseline fmt bench demo

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

check: ## everything that must hold: format, vet, staticcheck, protos, policy, tests, the demo
	@scripts/check.sh

demo: ## all parties on this machine, with invented families
	go run ./cmd/postern demo

proto: ## generate the Go code of the protos; it is committed beside them
	$(TOOL) buf generate

baseline: ## accept the protos as they are; from then on a breaking change fails the check
	$(TOOL) buf build --exclude-source-info -o proto/baseline.binpb

fmt: ## format Go and proto files
	gofmt -w ./*/
	$(TOOL) buf format -w

bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchmem ./...
