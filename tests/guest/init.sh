#!/bin/sh
# The guest's first process: all controllers, an ordinary user's delegated cgroup as systemd would make it, and an
# agent on the second serial port: a line in is a command, its answer is `K3C-BEGIN`, output, error and code.
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null; mkdir -p /dev/pts /dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts /dev/pts; mount -t tmpfs -o mode=1777 shm /dev/shm
mount -t tmpfs -o mode=0755 run /run; mount -t tmpfs -o mode=1777 tmp /tmp
mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup2 /sys/fs/cgroup
ip link set lo up; hostname guest
modprobe tun; chmod 666 /dev/net/tun
mkdir -p /run/user/1000; chown 1000:1000 /run/user/1000; chmod 700 /run/user/1000
all='+cpu +cpuset +memory +io +pids'
G=/sys/fs/cgroup/user.slice/user@1000.service
mkdir -p $G /sys/fs/cgroup/system.slice
for dir in /sys/fs/cgroup /sys/fs/cgroup/user.slice; do for c in $all; do echo $c >$dir/cgroup.subtree_control; done; done
chown 1000 $G $G/cgroup.procs $G/cgroup.subtree_control $G/cgroup.threads
# `as-user COMMAND` runs it as the ordinary user (busybox's own setpriv is another).
cat >/usr/local/bin/as-user <<'AS'
#!/bin/sh
cd /home/u
exec /usr/bin/setpriv --reuid 1000 --regid 1000 --init-groups /usr/bin/env -i HOME=/home/u USER=u PATH=$PATH \
    XDG_RUNTIME_DIR=/run/user/1000 K3C_AUTOSTART=never "$@"
AS
chmod 755 /usr/local/bin/as-user
sh -c "echo \$\$ >$G/cgroup.procs; exec as-user k3c daemon" >/tmp/daemon.out 2>&1 &
exec </dev/ttyS1 >/dev/ttyS1 2>/dev/console
stty raw -echo </dev/ttyS1
echo K3C-READY
while read -r line; do
    [ "$line" ] || continue
    sh -c "$line" </dev/null >/tmp/.out 2>/tmp/.err; code=$?
    echo "K3C-BEGIN $code"; base64 /tmp/.out; echo K3C-ERR; base64 /tmp/.err; echo K3C-END
done
sync; poweroff -f
