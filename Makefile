# k3c: `make demo` and `make test` set up everything they need. Each target says in one line what it does.
SHELL := /bin/bash
PREFIX ?= /usr/local
TRIPLE := $(shell uname -m)-unknown-linux-gnu
BIN := target/$(TRIPLE)/release/k3c
TOOLCHAIN := if [ -f "$$HOME/.cargo/env" ]; then . "$$HOME/.cargo/env"; fi; PATH=$$PATH:/usr/local/go/bin;
# One static file (glibc inside), at a fixed address: a static-pie writes to 750 KiB of itself at each start, in every
# shim. The flags do not reach build scripts and proc-macros, because --target is given.
STATIC := CARGO_TARGET_$(shell echo $(TRIPLE) | tr a-z- A-Z_)_RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static"
UNIT := --workspace --lib --test proto

.PHONY: help deps bundle build demo test compile-tests unit it lint check-cross proto bench compare-docker install clean
help:        ## this list
	@sed -n 's/^\([a-z-]*\): .*## /  \1\t/p' Makefile | expand -t 18
deps:        ## install what a build, a run and the tests need
	@packaging/deps.sh
bundle: deps ## build containerd, buildkit, runc and the images inside the binary
	$(TOOLCHAIN) images/build.sh && tests/validation/build.sh && tests/rootlesskit/build.sh
build: bundle ## build the release binary: one static file
	$(TOOLCHAIN) $(STATIC) cargo build --locked --release --bin k3c --target $(TRIPLE)
demo: build  ## build images/hello with k3c and run it
	@packaging/demo.sh $(BIN)
compile-tests: deps ## compile all tests
	$(TOOLCHAIN) cargo test --locked $(UNIT) --test it --no-run
unit: deps   ## run the tests that need no binary
	$(TOOLCHAIN) cargo test --locked $(UNIT)
test: unit it ## run all tests
it: build    ## run the tests of the whole against the release binary
	$(TOOLCHAIN) K3C_TEST_BIN=$(CURDIR)/$(BIN) cargo test --locked --test it -- $(TESTS)
lint: deps   ## rustfmt, clippy, cargo-deny
	$(TOOLCHAIN) packaging/lint.sh
check-cross: deps ## type-check the command line for Windows, Linux arm64 and macOS arm64
	$(TOOLCHAIN) packaging/check-cross.sh
proto: deps  ## regenerate src/proto/generated
	$(TOOLCHAIN) K3C_PROTO_WRITE=1 cargo test --locked -p k3c-proto --test proto
bench: build ## time, CPU, memory and processes, beside podman's and docker's where they are at hand (BENCH=images, unpack, memory, ports: other benches)
	$(TOOLCHAIN) K3C_BENCH=$(or $(BENCH),1) K3C_TEST_BIN=$(CURDIR)/$(BIN) cargo test --locked --test it
compare-docker: build ## run the tests' tables against Docker and print what differs
	$(TOOLCHAIN) K3C_COMPARE=1 K3C_TEST_BIN=$(CURDIR)/$(BIN) cargo test --locked --test it
install:     ## copy the binary, the user unit and shell completions below PREFIX (/usr/local)
	@packaging/install.sh $(BIN) $(DESTDIR)$(PREFIX)
clean:       ## remove what was built
	rm -rf target images/out .cross
