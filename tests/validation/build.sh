#!/bin/sh
# Builds opencontainers/runtime-tools' validation programs, with the root filesystem that they unpack, into
# images/out/tools/validation. Nothing is rebuilt while the inputs are what they were.
set -eu
cd "$(dirname "$0")"
OUT=${TOOLS:-../../images/out/tools}/validation
T=github.com/opencontainers/runtime-tools
inputs="$(cat go.mod go.sum build.sh | sha256sum | cut -c1-64) $(go version)"
[ "$(cat "$OUT/inputs" 2>/dev/null)" = "$inputs" ] && exit 0
echo "building runtime-tools' validation" >&2
rm -rf "$OUT"; mkdir -p "$OUT/programs"
export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false -mod=readonly"
go build -ldflags "-s -w" -o "$OUT/runtimetest" $T/cmd/runtimetest
go build -ldflags "-s -w" -o "$OUT/programs/" $(go list -f '{{if eq .Name "main"}}{{.ImportPath}}{{end}}' $T/validation/...)
install -m 644 "$(go list -m -f '{{.Dir}}' $T)/rootfs-amd64.tar.gz" "$OUT/rootfs-amd64.tar.gz"
printf '%s' "$inputs" > "$OUT/inputs"
