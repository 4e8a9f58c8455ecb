# Commands of a working copy. Everything they do is a cargo, npm or node command that can be run by hand.
.DEFAULT_GOAL := help
.PHONY: help run test test-ops check cluster e2e faults simulate kubernetes fuzz load bench install-tools fmt site

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## A working video call on this machine (same as cargo run)
	cargo run

test: ## Installs what the tests need, then runs everything; prints the seconds of each stage
	@deploy/stages.sh

test-ops: ## What operators get: the chart (rendered, checked and run), images, units, Compose, kustomize
	@deploy/stages.sh install build ops

check: ## The fast part: format, lints, docs, JavaScript, rules of the house; installs and starts nothing
	@deploy/stages.sh format lints docs site javascript house

cluster: ## Two nodes, Redis, HAProxy and coturn as plain processes; ends with Ctrl-C
	cargo build --workspace
	node deploy/local/main.js

e2e: ## Builds, then drives real browsers
	@deploy/stages.sh build browser

SEEDS ?= 2000
FROM ?= 1
faults: ## Breaks a cluster of three nodes for an hour and checks the promises; SEED=n draws the same faults
	cargo build --release -p signal-node -p turn-cred-service
	# On its own: the simulation asks for a feature of tokio that the node is not built with.
	cargo build --release -p fault-suite
	target/release/fault-suite simulate --seeds $(SEEDS)
	target/release/fault-suite all $(if $(SEED),--seed $(SEED)) --write docs/RELIABILITY.md

# In a folder of its own, since the flag by which the seed decides tokio's choices too rebuilds everything.
simulate: ## SEEDS interleavings of a simulated cluster, from seed FROM on; the same seed is the same history
	RUSTFLAGS='--cfg tokio_unstable' cargo run --release -p fault-suite --target-dir target/simulation -- \
		simulate --seeds $(SEEDS) --from $(FROM)

kubernetes: ## The chart in a real Kubernetes, broken under calls; SCENARIO="rollout drain"; as root, or with your KUBECONFIG
	cargo build --release -p signal-node -p turn-cred-service
	cargo build --release -p fault-suite
	deploy/stages.sh install
	node deploy/kubernetes/main.js $(if $(SCENARIO),$(SCENARIO),--write)

FOR ?= 600
fuzz: ## What strangers can send, guided by coverage, FOR seconds each: SEED=n, TARGET=frames; see fuzz/run.sh
	@$(if $(SEED),SEED=$(SEED)) fuzz/run.sh --seconds $(FOR) $(TARGET)

PROFILE ?= smoke
load: ## Asks two nodes questions under load with k6: PROFILE=smoke, small or full, QUESTION=calls; see loadtest/README.md
	cargo build --release -p signal-node -p turn-cred-service
	node loadtest/run.js --binaries target/release --profile $(PROFILE) $(QUESTION)

# Measured as well where it is installed: cargo install matchbox_server
MATCHBOX = $(addprefix --matchbox ,$(shell command -v matchbox_server))
bench: ## Nodes beside their peers, how they grow, how fast credentials are made; most of an hour, on a quiet machine
	cargo build --release -p signal-node -p signal-bench
	cd loadtest/peers && npm ci --no-audit --no-fund
	target/release/signal-bench compare $(MATCHBOX) --write docs/BENCHMARKS.md --plot docs/images/bench.svg
	target/release/signal-bench growth --write docs/BENCHMARKS.md
	cargo bench -p turn-cred-service

install-tools: ## Installs what the tests need (Debian and Ubuntu)
	@deploy/install-test-tools.sh

site: ## The pages of docs/ as a site with search, in target/site
	@deploy/stages.sh install site

fmt: ## Formats the Rust code
	cargo fmt --all
