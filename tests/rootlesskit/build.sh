#!/bin/sh
# Builds RootlessKit and its client, rootlessctl, into images/out/tools/rootlesskit. Nothing is rebuilt while the inputs are
# what they were.
set -eu
cd "$(dirname "$0")"
OUT=${TOOLS:-../../images/out/tools}/rootlesskit
T=github.com/rootless-containers/rootlesskit/v2
inputs="$(cat go.mod go.sum build.sh | sha256sum | cut -c1-64) $(go version)"
[ "$(cat "$OUT/inputs" 2>/dev/null)" = "$inputs" ] && exit 0
echo "building RootlessKit" >&2
rm -rf "$OUT"; mkdir -p "$OUT"
export CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false -mod=readonly"
go build -ldflags "-s -w" -o "$OUT/" $T/cmd/rootlessctl $T/cmd/rootlesskit
printf '%s' "$inputs" > "$OUT/inputs"
