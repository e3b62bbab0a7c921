#!/bin/sh
# Builds the parts of the bundle: images/out/linux-$ARCH/{bin,tools} and from them bundle.tar.zst.
#
#   ARCH=amd64|arm64   default amd64; for arm64 runc is a second step, because it needs a C cross compiler:
#                      CC=aarch64-linux-gnu-gcc and libseccomp-dev:arm64, then ARCH=arm64 RUNC=1 images/build.sh
#
# The same inputs give the same bytes. Nothing is rebuilt while the inputs are what they were.
set -eu
cd "$(dirname "$0")"
ARCH=${ARCH:-amd64}
OUT=${OUT:-out/linux-$ARCH}
TOOLS=${TOOLS:-out/tools}
[ "$ARCH" = amd64 ] && RUNC=1
inputs=$(find . -path ./out -prune -o -path ./hello -prune -o -type f -print | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-64)
inputs="$inputs $(go version) $(dpkg-query -W -f '${Version}' busybox-static libseccomp-dev 2>/dev/null || true)"
if [ -f "$OUT/bundle.tar.zst" ] && [ "$(cat "$OUT/inputs" 2>/dev/null)" = "$inputs" ] && [ -x "$TOOLS/cnitool" ]; then
    exit 0
fi
rm -rf "$OUT"; mkdir -p "$OUT/bin" "$OUT/images" "$TOOLS"

export CGO_ENABLED=0 GOOS=linux GOARCH="$ARCH" GOFLAGS="-trimpath -buildvcs=false -mod=readonly"
build() { # output tags package [version variables]
    echo "building $(basename "$1")" >&2
    go build -tags "$2" -ldflags "-s -w -buildid= ${4:-}" -o "$1" "$3"
}
version() { go list -m -f '{{.Version}}' "$1"; }
C=github.com/containerd/containerd/v2
B=github.com/moby/buildkit
R=github.com/opencontainers/runc
CTAGS="no_btrfs no_zfs no_devmapper netgo osusergo"
CV="-X $C/version.Version=$(version $C)"
BV="-X $B/version.Version=$(version $B) -X $B/version.Package=$B"
build "$OUT/bin/containerd" "$CTAGS" $C/cmd/containerd "$CV"
build "$OUT/bin/buildkitd" "netgo osusergo" $B/cmd/buildkitd "$BV"
if [ -n "${RUNC:-}" ]; then
    echo "building runc" >&2
    CGO_ENABLED=1 go build -tags "seccomp netgo osusergo" \
        -ldflags "-s -w -buildid= -X main.version=$(version $R | sed s/^v//) -linkmode external -extldflags '-static -Wl,--build-id=none'" \
        -o "$OUT/bin/runc" $R
fi
if [ "$ARCH" = amd64 ]; then
    build "$TOOLS/ctr" "$CTAGS" $C/cmd/ctr "$CV"
    build "$TOOLS/buildctl" "netgo osusergo" $B/cmd/buildctl "$BV"
    build "$TOOLS/cnitool" "netgo osusergo" github.com/containernetworking/cni/cnitool
fi

# The images and the archive are made by a program of ours, which runs here, not on $ARCH.
case $ARCH in
    amd64) SMALL_CC=${CC:-gcc} ;;
    arm64) SMALL_CC=${CC:-aarch64-linux-gnu-gcc} ;;
esac
small() { # output source
    $SMALL_CC -Os -static -nostdlib -ffreestanding -fno-stack-protector -fno-pic -no-pie -fno-builtin \
        -fno-asynchronous-unwind-tables -Wl,--build-id=none -Wl,-z,noseparate-code -s -o "$1" "$2"
}
small "$OUT/bin/k3c-reaper" reaper/reaper.c
small "$OUT/bin/k3c-init" init/init.c
env -u GOOS -u GOARCH go run ./mkbundle -arch "$ARCH" -out "$OUT" -busybox "${BUSYBOX:-/bin/busybox}"
zstd -q -f --ultra -19 --long=27 -T1 "$OUT/bundle.tar" -o "$OUT/bundle.tar.zst"
printf '%s' "$inputs" > "$OUT/inputs"
