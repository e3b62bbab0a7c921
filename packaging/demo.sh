#!/bin/bash
# Builds images/hello with k3c and runs it: as the caller, and when that is root also as an ordinary user made for it.
# Needs no registry and no network; leaves nothing behind.
#   demo.sh BINARY
set -euo pipefail
cd "$(dirname "$0")/.."
binary=$(realpath "$1")
say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
at_end=(); tidy() { local step; for ((step = ${#at_end[@]} - 1; step >= 0; step--)); do eval "${at_end[step]}" || true; done; }
trap tidy EXIT; trap 'exit 130' INT; trap 'exit 143' TERM

work=$(mktemp -d /var/tmp/k3c-demo.XXXXXX); chmod 755 "$work"; at_end+=("rm -rf '$work'")
cp "$binary" "$work/k3c"; cp -r images/hello "$work/hello"; chmod -R a+rX "$work"

# A daemon that may start containers is inside a cgroup that is its own. root makes one; a user's manager gives one.
enter='umount -R -l /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup
    D=/sys/fs/cgroup/$1; mkdir -p $D 2>/dev/null || { mount -o remount,rw /sys/fs/cgroup && mkdir -p $D; }
    chown $2 $D $D/cgroup.procs $D/cgroup.subtree_control $D/cgroup.threads
    echo $$ > $D/cgroup.procs; shift 2; exec "$@"'
leave='umount -R -l /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup
    for i in 1 2 3 4 5; do find /sys/fs/cgroup/$1 -depth -type d -exec rmdir {} + 2>/dev/null && break; sleep 0.2; done'

# show NAME COMMAND...: COMMAND runs what follows it as the right user with the right environment.
show() {
    local name=$1 group=k3c-demo-$$-$1 daemon; shift
    if [ "$(id -u)" = 0 ]; then
        at_end+=("unshare -m sh -c '$leave' _ $group")
        unshare -m --propagation slave sh -c "$enter" _ "$group" "$(id -u "$name")" "$@" "$work/k3c" daemon 2>"$work/$name.log" &
    elif command -v systemd-run >/dev/null && systemctl --user is-system-running >/dev/null 2>&1; then
        systemd-run --user --scope -q -p Delegate=yes "$@" "$work/k3c" daemon 2>"$work/$name.log" &
    else
        "$@" "$work/k3c" daemon 2>"$work/$name.log" &
    fi
    daemon=$!
    at_end+=("kill $daemon 2>/dev/null; wait $daemon 2>/dev/null")
    for i in $(seq 1 300); do
        "$@" "$work/k3c" version >/dev/null 2>&1 && break
        kill -0 $daemon 2>/dev/null || { cat "$work/$name.log" >&2; echo "demo: the daemon did not start" >&2; exit 1; }
        sleep 0.1
    done
    say "$name: k3c build -t hello images/hello"
    (cd "$work" && "$@" "$work/k3c" build -t hello hello)
    say "$name: k3c run --rm hello"
    "$@" "$work/k3c" run --rm hello
    say "$name: k3c images"
    "$@" "$work/k3c" images
    kill $daemon
    wait $daemon || { cat "$work/$name.log" >&2; echo "demo: the daemon did not end well" >&2; exit 1; }
}

# vars DIR: an environment of its own below DIR, so that a daemon of the caller's is not disturbed.
vars() {
    echo HOME="$1" XDG_RUNTIME_DIR="$1/run" XDG_DATA_HOME="$1/data" XDG_STATE_HOME="$1/state" XDG_CONFIG_HOME="$1/config" \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM="${TERM:-dumb}" K3C_AUTOSTART=never
}

if [ "$(id -u)" != 0 ]; then
    mkdir -m 700 "$work/home" "$work/home/run"
    # shellcheck disable=SC2046
    show "$(id -un)" env $(vars "$work/home")
    exit
fi

if [ -S /run/k3c/k3c.sock ] && K3C_AUTOSTART=never "$work/k3c" version >/dev/null 2>&1; then
    echo "demo: root's daemon runs here already; what root would show is left out" >&2
else
    mkdir -m 700 "$work/root"
    # root's daemon has fixed places; what was not there before is removed again.
    for place in /run/k3c /var/lib/k3c /var/log/k3c; do [ -e $place ] || at_end+=("rm -rf $place"); done
    had_hello=; [ -e /var/lib/k3c ] && had_hello=1
    # shellcheck disable=SC2046
    show root env -i $(vars "$work/root")
    [ -z "$had_hello" ] || echo "demo: /var/lib/k3c was there before; the image hello:latest stays in it" >&2
fi

user=k3cdemo$$
useradd -m -s /bin/sh $user
at_end+=("for i in 1 2 3 4 5 6 7 8 9 10; do userdel $user 2>/dev/null && break; sleep 0.3; done; rm -rf /home/$user")
uid=$(id -u $user)
if ! grep -q "^$user:" /etc/subuid; then
    first=$((200000000 + uid * 65536))
    usermod --add-subuids $first-$((first + 65535)) --add-subgids $first-$((first + 65535)) $user
fi
# On a desktop these are everyone's.
for device in /dev/net/tun /dev/fuse; do
    [ -e $device ] || continue
    mode=$(stat -c %a $device); [ "$mode" = 666 ] || { chmod 666 $device; at_end+=("chmod $mode $device"); }
done
had_run_user=; [ -d /run/user ] && had_run_user=1
mkdir -p /run/user; install -d -m 700 -o $user -g $user "/run/user/$uid"
at_end+=("rm -rf /run/user/$uid"); [ "$had_run_user" ] || at_end+=("rmdir /run/user")
home=$(getent passwd $user | cut -d: -f6)
# shellcheck disable=SC2046
show $user setpriv --reuid "$uid" --regid "$(id -g $user)" --init-groups env -i $(vars "$home") USER=$user XDG_RUNTIME_DIR="/run/user/$uid"
