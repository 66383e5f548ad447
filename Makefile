# Each target first installs what it lacks. `make run` and `make test` are all a newcomer needs; `make help` lists the rest.

CARGO  ?= cargo
TOOLS  := target/tools/bin
KERNEL_C := $(wildcard bpf/*.[ch] bpf/*/*.[ch])
SUDO   := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)
# Settings a user gave that sudo would drop.
KEEP   := $(shell env | sed -n 's/^\(\(KANARY\|OTEL\)_[A-Z0-9_]*\)=.*/\1/p' | paste -sd,)
export PATH := $(PATH):$(HOME)/.cargo/bin

.PHONY: help run build test incident lint fetch bench eval toolchain
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

run: build ## build kanary and start it, with root's rights where they can be had
	@echo
	@echo "metrics for Prometheus    http://localhost:9477/metrics"
	@echo "what runs, what does not  http://localhost:9478/status"
	@echo "what is unusual now       http://localhost:9478/anomalies"
	@echo "dashboards, alerts        dashboards/, alerts/, or all at once: docker compose up"
	@echo "Ctrl-C ends it."
	@echo
	@$(if $(SUDO),$(SUDO) $(if $(KEEP),--preserve-env=$(KEEP)),exec) target/release/kanary

build: toolchain ## build the release binary, target/release/kanary
	$(CARGO) build --release --locked

test: lint ## check style and licences, then run every test (as root: those of the kernel programs too)
	@[ "$$(id -u)" = 0 ] || echo "not root: tests that attach kernel programs will SKIP"
	$(CARGO) test --locked --lib --bins --tests -- --skip incident::
	$(CARGO) test --locked --test e2e -- incident:: --nocapture

incident: toolchain fetch ## of the tests only this: load the host, follow scores, contributions and alerts (10 minutes, alone, as root)
	$(CARGO) test --locked --test e2e -- incident:: --nocapture

lint: toolchain fetch ## formatting, clippy, licences
	@for part in fmt clippy; do $(CARGO) $$part --version >/dev/null 2>&1 && continue; \
		echo "installing $$part, which checks the style"; \
		case $$part in fmt) rustup component add rustfmt;; *) rustup component add $$part;; esac || exit 1; done
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	PATH="$(TOOLS):$$PATH" clang-format --dry-run -Werror $(KERNEL_C)
	PATH="$(TOOLS):$$PATH" $(CARGO) deny --locked check bans licenses sources

fetch: ## programs the tests run, unpacked under target/tools
	@tests/tools/fetch.sh

bench: toolchain fetch ## measure kanary beside node_exporter and bpftrace (as root, on a quiet machine)
	PATH="$(CURDIR)/$(TOOLS):$$PATH" $(CARGO) bench --locked --bench '*'

eval: build ## score the detector on labelled series in ../shared/anomaly-data
	tests/tools/eval.sh

# clang compiles the kernel programs against libbpf's headers; Rust links with gcc against libc.
toolchain:
	@command -v $(CARGO) >/dev/null || { echo "no cargo: install Rust 1.95 or newer, see https://rustup.rs"; exit 1; }
	@lack=; \
	command -v clang >/dev/null || lack="$$lack clang"; \
	[ -e /usr/include/bpf/bpf_helpers.h ] || lack="$$lack libbpf-dev"; \
	command -v cc >/dev/null || lack="$$lack gcc"; \
	[ -e /usr/include/stdio.h ] || lack="$$lack libc6-dev"; \
	[ -n "$$lack" ] || exit 0; \
	command -v apt-get >/dev/null || { echo "install what Debian calls$$lack, then try again"; exit 1; }; \
	echo "installing$$lack: clang and libbpf-dev build the kernel programs, gcc and libc6-dev link the binary"; \
	$(SUDO) apt-get update -q && $(SUDO) apt-get install -q -y --no-install-recommends $$lack
