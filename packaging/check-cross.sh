#!/bin/bash
# Type-checks what the command line needs for other systems, with metadata of a standard library built from its source.
# Cached in .cross; the source comes from ../shared/toolchain, or from Debian by package name.
set -euo pipefail
cd "$(dirname "$0")/.."
TARGETS=${TARGETS:-x86_64-pc-windows-gnu aarch64-unknown-linux-musl aarch64-apple-darwin}
CROSS=$PWD/.cross
version=$(rustc --version | cut -d' ' -f2)
host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "$CROSS"

# The sources of this compiler's standard library; they must be of the very same version.
library=$CROSS/rust-src-$version/library
sources() {
    [ -f "$library/Cargo.lock" ] && return
    rm -rf "$CROSS/rust-src.new"; mkdir -p "$CROSS/rust-src.new"
    local near=../shared/toolchain/rust-src-$version-library.tar.zst sysroot
    sysroot=$(rustc --print sysroot)/lib/rustlib/src/rust/library
    if [ -f "$near" ]; then
        tar --zstd -C "$CROSS/rust-src.new" -xf "$near"
    elif [ -f "$sysroot/Cargo.lock" ]; then
        cp -a "$sysroot" "$CROSS/rust-src.new/library"
    else
        # An apt state of its own: the machine's sources stay as they are.
        local apt=$CROSS/apt uri key=/usr/share/keyrings/debian-archive-keyring.gpg deb
        command -v apt-get >/dev/null && [ -f $key ] || return 1
        mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,etc/parts}; : > "$apt/status"
        uri=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n1)
        uri=${uri:-$(sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -n1)}
        echo "deb [signed-by=$key] $uri trixie-backports main" > "$apt/etc/sources.list"
        printf 'Dir::State "%s/state";\nDir::State::status "%s/status";\nDir::Cache "%s/cache";\nDir::Etc::sourcelist "%s/etc/sources.list";\nDir::Etc::sourceparts "%s/etc/parts";\nAPT::Sandbox::User "root";\n' \
            "$apt" "$apt" "$apt" "$apt" "$apt" > "$apt/apt.conf"
        export APT_CONFIG=$apt/apt.conf
        apt-get update -qq || return 1
        deb=$(apt-cache madison rust-src | cut -d'|' -f2 | tr -d ' ' | grep "^$version+" | head -n1)
        [ -n "$deb" ] && (cd "$apt" && apt-get download -qq "rust-src=$deb") || return 1
        unset APT_CONFIG
        dpkg -x "$apt"/rust-src_*.deb "$CROSS/rust-src.deb"
        mv "$CROSS/rust-src.deb/usr/src/rustc-$version/library" "$CROSS/rust-src.new/library"
    fi
    rm -rf "$CROSS/rust-src-$version"; mv "$CROSS/rust-src.new" "$CROSS/rust-src-$version"
}
if ! sources; then
    echo "check-cross: skipped: no source of the standard library of Rust $version (rustup component add rust-src, or Debian's package rust-src)" >&2
    [ -z "${K3C_TEST_REQUIRE:-}" ]; exit
fi

# What is only type-checked against is never linked, so import libraries may be empty archives, and so may the archives
# of C parts (ring, and on Linux, where the engine is checked too, zstd).
mkdir -p "$CROSS/bin" "$CROSS/stdbuild/src"
cat > "$CROSS/bin/x86_64-w64-mingw32-dlltool" <<'END'
#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = -l ] && printf '!<arch>\n' > "$2"; shift; done
END
cat > "$CROSS/bin/empty-ar" <<'END'
#!/bin/sh
printf '!<arch>\n' > "$2"
END
chmod +x "$CROSS/bin/x86_64-w64-mingw32-dlltool" "$CROSS/bin/empty-ar"
printf '[package]\nname = "stdbuild"\nedition = "2021"\n[profile.dev]\npanic = "unwind"\ndebug = 0\n[workspace]\n' > "$CROSS/stdbuild/Cargo.toml"
echo '#![no_std]' > "$CROSS/stdbuild/src/lib.rs"

for target in $TARGETS; do
    sysroot=$CROSS/sysroot-$version
    lib=$sysroot/lib/rustlib/$target/lib
    if [ ! -f "$lib/done" ]; then
        echo "check-cross: standard library for $target" >&2
        rm -rf "$lib"; mkdir -p "$lib"
        __CARGO_TESTS_ONLY_SRC_ROOT=$library RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zforce-unstable-if-unmarked" PATH=$CROSS/bin:$PATH \
            cargo check -q --lib -Zbuild-std=std,panic_unwind,panic_abort,proc_macro --target "$target" \
            --manifest-path "$CROSS/stdbuild/Cargo.toml" --target-dir "$CROSS/std"
        cp "$CROSS/std/$target"/debug/deps/*.rlib "$lib/"
        # What was only checked has metadata alone, and is good for checking.
        for meta in "$CROSS/std/$target"/debug/deps/*.rmeta; do
            name=$(basename "$meta" .rmeta)
            [ -e "$lib/$name.rlib" ] || cp "$meta" "$lib/"
        done
        rm -f "$lib"/libstdbuild-*; rm -rf "$CROSS/std"
        touch "$lib/done"
    fi
    echo "check-cross: $target" >&2
    variable=CARGO_TARGET_$(echo "$target" | tr a-z- A-Z_)_RUSTFLAGS
    env "CC_${target//-/_}=true" "AR_${target//-/_}=$CROSS/bin/empty-ar" "$variable=--sysroot=$sysroot" cargo check --locked --lib --target "$target" --target-dir "$CROSS/target" "$@"
done
