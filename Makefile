# Longshore: building, testing, trying. `make` lists what there is.
# Everything that is built or downloaded goes below target/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

STEP := scripts/step
STATE ?= target/cluster
TRIPLE := x86_64-unknown-linux-gnu
NAMESPACE ?= longshore
RELEASE ?= longshore
VALUES ?=
ARGS ?=
LIVES ?= 10000

# How the programs of the images are built.
STATIC := CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS="-C target-feature=+crt-static"
RELEASED := --locked --release --target $(TRIPLE) --target-dir target/static \
    -p longshore-operator -p longshore-bot -p longshore-runner -p kubectl-longshore \
    -p longshore-model -p longshore-telegram-emulator

##@ Try it

.PHONY: demo
demo: ## Cluster, images, chart and one conversation to watch; ONCE=1 leaves after it
	@scripts/demo

##@ Test

.PHONY: check
check: ## The fast part: format, lints, unit and contract tests
	@python3 scripts/suites.py check

.PHONY: test
test: ## Everything, with the end-to-end tests on the embedded cluster
	@python3 scripts/suites.py test

.PHONY: test-cluster
test-cluster: setup cluster-build ## The embedded cluster alone: start, isolation, policies, volumes, crash and repair
	@$(STEP) "test the embedded cluster" env CGO_ENABLED=0 go test -C e2e/cluster -tags cluster -count=1 -timeout 14m -v ./test

# Optimised: most of its time goes into reading and writing JSON. With the packages of the images, as far as tests do not want
# other features of them; so only some twenty dependencies are built again.
.PHONY: simulation
simulation: ## Sessions and tasks in a simulated cluster in which everything fails (LIVES=10000)
	@SIMULATION_LIVES=$(LIVES) $(STATIC) $(STEP) "play $(LIVES) simulated lives" cargo test $(RELEASED) --bin longshore-operator -- \
	    --exact simulation::sessions_and_tasks_live_through_everything_and_no_promise_is_broken --show-output

.PHONY: deny
deny: ## Licences and sources of dependencies, and none that are banned (builds cargo-deny the first time)
	@$(STEP) "build cargo-deny unless it is there" scripts/tool cargo-deny
	@$(STEP) "check dependencies" target/tools/bin/cargo-deny check bans licenses sources

##@ Cluster

.PHONY: cluster-up
cluster-up: setup cluster-build ## Start the embedded cluster; kubeconfig in target/cluster, kubectl and helm in target/cluster/bin
	@$(STEP) "start the cluster" target/bin/cluster up --state $(STATE)

.PHONY: cluster-down
cluster-down: ## Stop it and remove its state; loaded images are kept for the next time
	@if test -x target/bin/cluster; then $(STEP) "stop the cluster" target/bin/cluster down --state $(STATE); fi

.PHONY: install
install: ## Install or upgrade the chart in the current context (NAMESPACE, VALUES=file, ARGS="--set ...")
	@NAMESPACE=$(NAMESPACE) RELEASE=$(RELEASE) VALUES=$(VALUES) STATE=$(STATE) $(STEP) "install the chart" scripts/install $(ARGS)

##@ Build

.PHONY: setup
setup: ## Install missing Debian packages, check the toolchains
	@$(STEP) "look for what is missing" scripts/setup

.PHONY: images
images: setup claude binaries ## Build the images, and load them into the embedded cluster if it runs
	@$(STEP) "write the images" python3 images/build.py images
	@if test -x target/bin/cluster && target/bin/cluster status --state $(STATE) > /dev/null 2>&1; then \
	    $(STEP) "load the images into the cluster" scripts/load-images $(STATE); fi

.PHONY: binaries
binaries: ## Static binaries for the images, and the plugin for the tests, in one go
	@$(STATIC) $(STEP) "build the static binaries" cargo build $(RELEASED)

.PHONY: plugin
plugin: ## Build the kubectl plugin, and say where it is
	@$(STEP) "build the kubectl plugin" cargo build --locked --release --target-dir target -p kubectl-longshore
	@echo "target/release/kubectl-longshore: copy it to a folder of your PATH, then: kubectl longshore status"

.PHONY: claude
claude: ## Fetch the pinned claude CLI to target/claude/claude
	@$(STEP) "fetch the pinned claude CLI unless it is there" python3 images/build.py claude

.PHONY: cluster-build
cluster-build: ## Build the program that is the embedded cluster (about 6 minutes the first time)
	@$(STEP) "build the cluster program" e2e/cluster/build.sh target/bin/cluster

.PHONY: generate
generate: ## Write generated files anew: CRDs in manifests/ and chart, golden files
	@$(STEP) "generate" env UPDATE_GOLDEN=1 cargo test --locked -p longshore-crds -p longshore-wire

.PHONY: clean
clean: cluster-down ## Remove everything that was built or downloaded
	@if test -x target/bin/cluster; then for state in target/cluster target/test/cluster target/test/cluster-alone; do \
	    target/bin/cluster down --state $$state --purge; done; fi
	@rm -rf target

##@ Help

.PHONY: help
help: ## This list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
