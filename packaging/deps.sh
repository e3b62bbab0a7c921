#!/bin/bash
# Installs every system package that a build, a run or a test needs (Debian, Ubuntu); elsewhere says what is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

# command or file that shows it is there : Debian package
needs=(
    gcc:gcc /usr/include/stdlib.h:libc6-dev make:make pkg-config:pkg-config git:git file:file
    protoc:protobuf-compiler /usr/include/google/protobuf/any.proto:libprotobuf-dev
    /usr/include/seccomp.h:libseccomp-dev zstd:zstd xz:xz-utils
    newuidmap:uidmap slirp4netns:slirp4netns ip:iproute2 nft:nftables
    pgrep:procps setpriv:util-linux useradd:passwd mount:mount mkfs.ext4:e2fsprogs
    busybox:busybox-static debootstrap:debootstrap strace:strace cpio:cpio depmod:kmod tmux:tmux
    $([ "$(uname -m)" = x86_64 ] && echo qemu-system-x86_64:qemu-system-x86 || true)
    skopeo:skopeo podman:podman
    docker-registry:docker-registry ssh-agent:openssh-client sshd:openssh-server python3:python3 /usr/share/python-wheels:python3-venv systemd-analyze:systemd
    /etc/ssl/certs/ca-certificates.crt:ca-certificates
)
has() { if [[ $1 == /* ]]; then [ -e "$1" ]; else PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null; fi; }
installed() { dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null | grep -qx installed; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

debian=; command -v apt-get >/dev/null && command -v dpkg-query >/dev/null && debian=1
missing=()
for need in "${needs[@]}"; do
    package=${need##*:}
    if [ "$debian" ]; then
        # What someone installed in another way is as good, but for what is linked or read by its path.
        installed "$package" || { [[ ${need%:*} != /* ]] && has "${need%:*}" && [ "$package" != busybox-static ]; } || missing+=("$package")
    else
        has "${need%:*}" || missing+=("$package")
    fi
done

# A version at least as new as the one asked for.
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n1)" = "$2" ]; }
candidate() { [ "$debian" ] && apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([0-9]*:\)\?\([0-9.]*\).*/\2/p'; }
rust_wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
go_wanted=$(sed -n 's/^go \(.*\)/\1/p' images/go.mod)
PATH=$HOME/.cargo/bin:$PATH:/usr/local/go/bin
rust_have=$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)
go_have=$(GOTOOLCHAIN=local go version 2>/dev/null | sed 's/.*go\([0-9.]*\).*/\1/' || true)
rust_ok=; at_least "${rust_have:-0}" "$rust_wanted" && has cargo && rust_ok=1
go_ok=; at_least "${go_have:-0}" "$go_wanted" && go_ok=1

if [ "$debian" ] && { [ ${#missing[@]} -gt 0 ] || [ -z "$rust_ok" ] || [ -z "$go_ok" ]; }; then
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        echo "deps: as root: apt-get install ${missing[*]}" >&2; exit 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    as_root apt-get update -qq
    [ "$rust_ok" ] || ! at_least "$(candidate rustc || true)" "$rust_wanted" || { missing+=(rustc cargo rustfmt rust-clippy); rust_ok=1; }
    [ "$go_ok" ] || ! at_least "$(candidate golang-go | sed 's/^[0-9]*://' || true)" "$go_wanted" || { missing+=(golang-go); go_ok=1; }
    if [ ${#missing[@]} -gt 0 ]; then
        echo "deps: installing ${missing[*]}" >&2
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >/dev/null
    fi
elif [ ${#missing[@]} -gt 0 ]; then
    echo "deps: missing (Debian's names): ${missing[*]}; install them by your distribution's package manager" >&2
    exit 1
fi

status=0
if [ -z "$rust_ok" ]; then
    printf 'deps: Rust %s or newer is needed (here: %s). Get it by\n  curl -sSf https://sh.rustup.rs | sh -s -- -y\n  . "$HOME/.cargo/env" && rustup toolchain install stable\n' \
        "$rust_wanted" "${rust_have:-none}" >&2
    status=1
fi
if [ -z "$go_ok" ]; then
    printf 'deps: Go %s or newer is needed (here: %s). Get it by\n  curl -sSfL https://go.dev/dl/go%s.linux-%s.tar.gz -o /tmp/go.tar.gz\n  sudo tar -C /usr/local -xzf /tmp/go.tar.gz\n' \
        "$go_wanted" "${go_have:-none}" "$go_wanted" "$(uname -m | sed 's/x86_64/amd64/;s/aarch64/arm64/')" >&2
    status=1
fi
exit $status
