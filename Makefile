# The two commands a newcomer needs are `make run` and `make test`; the rest are for those who change kIM.

.DEFAULT_GOAL := help
.PHONY: help run web test check fmt bench fuzz audit clean-test

FUZZ_SECONDS ?= 60

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

web: ## build the web client into web/dist, if npm is there; without it the pages do without the client
	@tests/support/web.sh

run: web ## build the server and serve here, with the defaults (KIM__… variables and kim.toml are honoured)
	cargo run --release --locked --bin kim -- serve

test: ## install what the tests need, then run all of them on SQLite and on PostgreSQL
	@tests/support/test.sh

check: ## the quick part: format, lints and the tests on SQLite
	@tests/support/test.sh --quick

fmt: ## format the Rust code
	cargo fmt --all

bench: ## criterion benchmarks; the figures in docs/performance.md come from here
	cargo bench --locked --workspace --bench '*'

fuzz: ## fuzz every target for FUZZ_SECONDS (default 60) each, starting from its kept corpus
	@tests/support/fuzz.sh $(FUZZ_SECONDS)

audit: ## ask the public advisory database about our dependencies (needs the internet)
	@tests/support/tools.sh deny
	PATH="$(CURDIR)/.cache/tools/bin:$$PATH" cargo deny check advisories
