#!/bin/bash
# Makes a small test guest: `make.sh K3C OUT` writes OUT/{vmlinuz,initrd,root.ext4}. Debian's cloud kernel with all
# cgroup v2 controllers, busybox, what k3c asks a distribution for, and K3C itself as /usr/local/bin/k3c.
set -euo pipefail
K3C=$(realpath "$1") OUT=$2 HERE=$(dirname "$(realpath "$0")")
CACHE=${K3C_TEST_CACHE:-/var/cache}/k3c-tests/kernel
mkdir -p "$OUT" "$CACHE"

# The kernel, as Debian's package; kept, because it changes seldom.
if ! ls "$CACHE"/linux-image-*.deb >/dev/null 2>&1; then
    name() { apt-cache depends linux-image-cloud-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n1; }
    [ "$(name)" ] || apt-get update -qq
    work=$(mktemp -d "$CACHE/new.XXXXXX")
    chmod 755 "$work"
    (cd "$work" && { apt-get download -qq "$(name)" 2>/dev/null || { apt-get update -qq && apt-get download -qq "$(name)"; }; })
    mv "$work"/*.deb "$CACHE"; rmdir "$work"
fi
W=$(mktemp -d "$OUT/work.XXXXXX")
trap 'rm -rf "$W"' EXIT
dpkg-deb -x "$(ls "$CACHE"/linux-image-*.deb | tail -n1)" "$W/kernel"
V=$(ls "$W/kernel/lib/modules")
cp "$W/kernel/boot/vmlinuz-$V" "$OUT/vmlinuz"

# The first file system: load the disk's driver, go there.
I=$W/initrd
mkdir -p "$I"/{bin,dev,m,proc,root,sys}
cp "$(command -v busybox)" "$I/bin/busybox"
n=0
for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do
    file=$(find "$W/kernel/lib/modules" -name "$module.ko" | head -n1)
    [ -z "$file" ] || { cp "$file" "$I/m/$n-$module.ko"; n=$((n + 1)); }
done
cat >"$I/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mkdir -p /bin /newroot; B=/bin/busybox
$B mount -t devtmpfs dev /dev
for m in /m/*; do $B insmod $m 2>&1; done
i=0; while [ ! -b /dev/vda ] && [ $i -lt 500 ]; do $B usleep 10000; i=$((i + 1)); done
$B mount -t ext4 /dev/vda /newroot && exec $B switch_root /newroot /sbin/init
INIT
chmod 755 "$I/init"
mknod "$I/dev/console" c 5 1
(cd "$I" && find . | cpio -o -H newc --quiet | gzip -1) >"$OUT/initrd"

# The root: busybox's commands, the few real programs with their libraries, modules for networks and overlay.
R=$W/root
mkdir -p "$R"/{bin,sbin,usr/bin,usr/sbin,usr/local/bin,dev,proc,sys,tmp,run,root,home/u,var/tmp,var/lib,etc/iproute2}
chmod 1777 "$R/tmp" "$R/var/tmp"
cp "$(command -v busybox)" "$R/bin/busybox"
for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -s /bin/busybox "$R/bin/$applet"; done
ln -s /bin/env "$R/usr/bin/env"; ln -s /bin/modprobe "$R/sbin/modprobe"
cp "$K3C" "$R/usr/local/bin/k3c"
for program in newuidmap newgidmap slirp4netns ip setpriv; do
    file=$(PATH=$PATH:/usr/sbin:/sbin command -v $program); real=$(realpath "$file")
    rm -f "$R/bin/$program"
    cp -p "$real" "$R/usr/bin/$(basename "$real")"
    [ "$(basename "$real")" = $program ] || ln -s "$(basename "$real")" "$R/usr/bin/$program"
    ldd "$real" | grep -o '/[^ ]*' | while read -r lib; do mkdir -p "$R$(dirname "$lib")"; cp -L "$lib" "$R$lib"; done
done
M=lib/modules/$V/kernel
mkdir -p "$R/$M"/{fs,drivers/net}
cp -r "$W/kernel/$M/net" "$W/kernel/$M/lib" "$R/$M/"
cp -r "$W/kernel/$M/fs/overlayfs" "$R/$M/fs/"
cp "$W/kernel/$M/drivers/net/"{tun,veth,dummy}.ko "$R/$M/drivers/net/"
depmod -b "$R" "$V" 2>/dev/null
printf 'root:x:0:0:root:/root:/bin/sh\nu:x:1000:1000::/home/u:/bin/sh\n' >"$R/etc/passwd"
printf 'root:x:0:\nu:x:1000:\n' >"$R/etc/group"
echo u:100000:65536 | tee "$R/etc/subuid" >"$R/etc/subgid"
echo guest >"$R/etc/hostname"; echo '127.0.0.1 localhost' >"$R/etc/hosts"; echo 'nameserver 127.0.0.1' >"$R/etc/resolv.conf"
head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$R/etc/machine-id"
rm -f "$R/bin/init" "$R/sbin/init"; cp "$HERE/init.sh" "$R/sbin/init"; chmod 755 "$R/sbin/init"
chown -R 1000:1000 "$R/home/u"
rm -f "$OUT/root.ext4"; truncate -s 3G "$OUT/root.ext4"
mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1,nodiscard -d "$R" "$OUT/root.ext4"
