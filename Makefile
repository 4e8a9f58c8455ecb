# Commands of a working copy. Everything they do is a cargo, npm or node command that can be run by hand.
.DEFAULT_GOAL := help
.PHONY: help run test check cluster e2e faults install-tools fmt

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## A working video call on this machine (same as cargo run)
	cargo run

test: ## Installs what the tests need, then runs everything; prints the seconds of each stage
	@deploy/stages.sh

check: ## The fast part: format, lints, docs, JavaScript, rules of the house; installs and starts nothing
	@deploy/stages.sh format lints docs javascript house

cluster: ## Two nodes, Redis, HAProxy and coturn as plain processes; ends with Ctrl-C
	cargo build --workspace
	node deploy/local/main.js

e2e: ## Builds, then drives real browsers
	@deploy/stages.sh build browser

faults: ## Breaks a cluster of three nodes for half an hour and checks the promises; SEED=n draws the same faults
	cargo build --release -p signal-node -p fault-suite
	target/release/fault-suite all $(if $(SEED),--seed $(SEED)) --write docs/RELIABILITY.md

install-tools: ## Installs what the tests need (Debian and Ubuntu)
	@deploy/install-test-tools.sh

fmt: ## Formats the Rust code
	cargo fmt --all
