# lvsform: `make` alone prints what it can do.

GO       ?= go
BIN      := bin/lvsform
LINT     := bin/tools/golangci-lint-v2.12.2
DEADCODE := bin/tools/deadcode-v0.52.0
# Packages that are there for tests; and the lab's way to a host, which the
# stories of cmd use from their own package.
FOR_TESTS := (test|/fake)/[^/]*\.go:|unreachable func: Lab\.Dial$$
# Packages whose code or tests have goroutines, without those that boot labs. The
# first have laws, of which a few checks will do.
RACE_LAWS := ./agent ./apply
RACE      := ./agent/wire ./kernel/fake ./kernel/traffic ./remote ./verify
# Architectures of hosts, in Go's words: those of goArch in package remote. An
# armv6l and an i586 are served, too.
ARCHS    := 386 amd64 arm arm64 loong64 ppc64le riscv64 s390x
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)
# Packages with tests that change a kernel: they run a second time, in the lab,
# -short of the laws that need none.
KERNEL   := ./kernel ./kernel/traffic ./agent/... ./verify
ifdef MODE
DEMO     := modes/$(MODE)
DEMO_VIP := 192.0.2.30
else
DEMO     := tutorials/dr-one-subnet
DEMO_VIP := 192.168.91.30
endif
FUZZTIME ?= 30s
SOAK     ?= 100
SEED     ?= 1
export CGO_ENABLED := 0

.PHONY: help setup build demo test test-unit test-kernel lint race soak bench fuzz agents clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what the lab and the tests need (Debian packages, as root), or say what is missing
	@sh testenv/setup.sh

build: ## build bin/lvsform, one static binary
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/lvsform

agents: ## build the agent for every other architecture, beside bin/lvsform
	for arch in $(ARCHS); do \
	  GOARCH=$$arch GOARM=6 GO386=softfloat $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/lvsform-linux-$$arch ./cmd/lvsform || exit 1; done

demo: setup build ## plan, apply, prove and undo a tutorial on a real kernel; MODE=nat|dr|tun|fullnat shows a mode
	$(BIN) lab examples/$(DEMO)/lvsform.yaml -- sh $(CURDIR)/examples/demo.sh client http://$(DEMO_VIP)/

test: setup build test-unit test-kernel ## all tests, those that need a real kernel included

test-unit: build # tests on this machine; the ones that boot a lab are among them
	$(GO) test -p 1 -timeout 75m ./...

test-kernel: build # tests that change a kernel, inside the lab
	$(GO) test -count=1 -short -exec '$(CURDIR)/$(BIN) lab --here $(CURDIR)/testenv/testdata/kernel.yaml --' $(KERNEL)

lint: $(LINT) $(DEADCODE) ## golangci-lint, pinned, with the linters of .golangci.yml; and code that only tests reach
	$(LINT) run ./...
	@dead=$$($(DEADCODE) ./...) || exit 1; \
	dead=$$(printf '%s\n' "$$dead" | grep -Ev '$(FOR_TESTS)'); \
	[ -z "$$dead" ] || { echo "no command reaches this code; move it into the tests that use it, or remove it:"; echo "$$dead"; exit 1; } >&2

race: ## look for data races in the packages with goroutines (installs gcc as root, if there is none)
	@sh testenv/setup.sh
	@sh testenv/setup.sh gcc:gcc libc6-dev:/usr/include/stdio.h
	CGO_ENABLED=1 $(GO) test -race -short $(RACE)
	CGO_ENABLED=1 $(GO) test -race -short $(RACE_LAWS) -rapid.checks=20

$(LINT):
	@mkdir -p $(@D)
	cd $(@D) && GOBIN=$(CURDIR)/$(@D) $(GO) install -ldflags='-s -w' github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(subst golangci-lint-,,$(@F))
	mv $(@D)/golangci-lint $@

$(DEADCODE):
	@mkdir -p $(@D)
	cd $(@D) && GOBIN=$(CURDIR)/$(@D) $(GO) install -ldflags='-s -w' golang.org/x/tools/cmd/deadcode@$(subst deadcode-,,$(@F))
	mv $(@D)/deadcode $@

soak: setup ## verify again and again, on idle hosts, under load, after changes, on a busy machine: SOAK=100 times each
	$(GO) test ./cmd/lvsform -run TestSoak -v -count=1 -timeout 2h -soak $(SOAK) -soak-changes -soak-seed $(SEED)

bench: setup build ## measure the speed the docs claim, as ratios in one run
	$(GO) test -run '^$$' -bench . -benchtime 3x ./plan ./inventory ./remote

fuzz: ## fuzz every parser of outside input, 30 seconds each; FUZZTIME=5m for longer
	@grep -r --include='*_test.go' '^func Fuzz' . | sed -E 's|^\./(.*)/[^/]*:func (Fuzz[A-Za-z0-9]*).*|\1 \2|' | sort | \
	while read -r package target; do echo "$$package $$target"; \
	  $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x ./$$package </dev/null || exit 1; done

clean: ## remove what make has built
	rm -rf bin
