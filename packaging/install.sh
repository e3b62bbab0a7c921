#!/bin/bash
# install.sh BINARY PREFIX: the binary, the user unit, completions.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$1 prefix=$2
[ -x "$binary" ] || { echo "install: $binary is not there: run make build first" >&2; exit 1; }
install -D -m 755 "$binary" "$prefix/bin/k3c"
install -d "$prefix/lib/systemd/user"
sed "s|^ExecStart=[^ ]*|ExecStart=${prefix#"${DESTDIR:-}"}/bin/k3c|" packaging/k3c.service > "$prefix/lib/systemd/user/k3c.service"
chmod 644 "$prefix/lib/systemd/user/k3c.service"
completion() { install -d "$(dirname "$prefix/$2")"; "$binary" completion "$1" > "$prefix/$2"; }
completion bash share/bash-completion/completions/k3c
completion zsh share/zsh/site-functions/_k3c
completion fish share/fish/vendor_completions.d/k3c.fish
