//! Flags of `run` and `create`: what they do, and what they refuse.

use super::Line;

pub(super) const FLAGS_OF_RUN: &[Line] = &[
    ("k3c run --rm --init $DEMO ps", 0, &["1 root     /sbin/docker-init -- ps"]),
    ("k3c run --rm --init $DEMO sh -c 'exit 7'", 7, &[]),
    ("k3c run --rm --init $DEMO sh -c 'kill -TERM $$'", 143, &[]),
    ("k3c run --rm --init $DEMO nope", 127, &["nope", "not found"]),
    ("k3c run --rm --shm-size 10m $DEMO df -k /dev/shm", 0, &["10240"]),
    ("k3c run --rm --ulimit nofile=77:88 $DEMO sh -c 'ulimit -n; ulimit -Hn'", 0, &["77\n88"]),
    (
        "k3c run --rm --dns 9.9.9.9 --dns-search a.b --dns-option ndots:3 $DEMO cat /etc/resolv.conf",
        0,
        &["search a.b", "nameserver 9.9.9.9", "options ndots:3"],
    ),
    ("k3c run --rm --dns-search a.b $DEMO cat /etc/resolv.conf", 0, &["search a.b", "nameserver"]),
    (
        "k3c run --rm --add-host db:1.2.3.4 -h box --domainname dom.x $DEMO cat /etc/hosts",
        0,
        &["1.2.3.4\tdb", "\tbox.dom.x box"],
    ),
    (
        "k3c run --rm -h box --domainname dom.x $DEMO cat /proc/sys/kernel/domainname /etc/hosts",
        0,
        &["dom.x", "\tbox.dom.x box"],
    ),
    ("k3c run --rm --sysctl kernel.msgmax=1234 $DEMO cat /proc/sys/kernel/msgmax", 0, &["1234"]),
    // Low ports and ping are for every user in the container, unless a flag says otherwise.
    (
        "k3c run --rm -u nobody $DEMO sh -c 'echo hi | nc -l -p 80 & for i in 1 2 3 4 5; do nc 127.0.0.1 80 < /dev/null && break; sleep 1; done'",
        0,
        &["hi"],
    ),
    ("k3c run --rm $DEMO cat /proc/sys/net/ipv4/ping_group_range", 0, &["0\t65536"]),
    (
        "k3c run --rm --sysctl net.ipv4.ip_unprivileged_port_start=1000 $DEMO cat /proc/sys/net/ipv4/ip_unprivileged_port_start",
        0,
        &["=1000"],
    ),
    ("k3c run --rm --group-add 77 --group-add nobody $DEMO id", 0, &["groups=0(root),77,65534(nobody)"]),
    ("k3c run --rm --security-opt no-new-privileges $DEMO grep NoNewPrivs /proc/self/status", 0, &["1"]),
    ("k3c run --rm --security-opt seccomp=unconfined $DEMO grep Seccomp: /proc/self/status", 0, &["0"]),
    (
        "echo '{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{\"names\": [\"mkdir\", \"mkdirat\"], \"action\": \
         \"SCMP_ACT_ERRNO\"}]}' > profile.json; k3c run --rm --security-opt seccomp=profile.json $DEMO mkdir /x",
        1,
        &["Operation not permitted"],
    ),
    (
        "k3c run --rm --device /dev/null:/dev/mine $DEMO sh -c 'echo x > /dev/mine && test -c /dev/mine'",
        0,
        &[],
    ),
    ("k3c run --rm --oom-score-adj 500 $DEMO cat /proc/self/oom_score_adj", 0, &["500"]),
    (
        "echo a=1 > labels; k3c create --label-file labels -l b=2 --annotation x=y --name labelled $DEMO",
        0,
        &[],
    ),
    (
        "k3c inspect -f '{{.Config.Labels.a}}{{.Config.Labels.b}} {{.HostConfig.Annotations.x}}' labelled",
        0,
        &["12 y"],
    ),
    ("k3c rm labelled", 0, &["labelled"]),
    ("k3c run --rm --platform linux/s390x $DEMO true", 125, &["does not provide the specified platform"]),
    ("k3c run --rm --runtime runc --log-driver none $DEMO echo seen", 0, &["seen"]),
];

pub(super) const NAMESPACES_OF_OTHERS: &[Line] = &[
    ("k3c run -d --name donor --ipc shareable $DEMO sleep 100", 0, &[]),
    (
        "k3c run --rm --ipc container:donor --pid container:donor $DEMO sh -c 'ps; echo hi > /dev/shm/x'",
        0,
        &["1 root     sleep 100"],
    ),
    ("k3c exec donor cat /dev/shm/x", 0, &["hi"]),
    ("k3c run -d --name private $DEMO sleep 100", 0, &[]),
    ("k3c run --rm --ipc container:private $DEMO true", 125, &["non-shareable IPC"]),
    ("k3c rm -f private", 0, &[]),
    ("k3c kill donor && k3c wait donor", 0, &["137"]),
    ("k3c run --rm --pid container:donor $DEMO true", 125, &["failed to join PID namespace: container "]),
    ("k3c run --rm --pid container:no-such $DEMO true", 125, &["No such container: no-such"]),
    ("k3c rm donor", 0, &[]),
    ("k3c run --rm --pid host $DEMO sh -c 'test $$ -gt 100'", 0, &[]),
    ("k3c run --rm --uts host $DEMO hostname | grep -qx $(hostname)", 0, &[]),
    ("k3c run --rm --ipc host --cgroupns host $DEMO true", 0, &[]),
    ("k3c run --rm --ipc none $DEMO sh -c '! test -e /dev/shm'", 0, &[]),
];

pub(super) const MOUNTS: &[Line] = &[
    ("k3c run --rm --tmpfs /t:size=1m,mode=1770 $DEMO sh -c 'df -k /t; stat -c %a /t'", 0, &["1024", "1770"]),
    ("k3c run --rm --mount type=tmpfs,dst=/t,tmpfs-size=1m,ro $DEMO touch /t/x", 1, &["Read-only"]),
    ("k3c run --rm --read-only --tmpfs /tmp $DEMO touch /tmp/x", 0, &[]),
    (
        "mkdir -p 'say \"hi\", twice' && echo seen > 'say \"hi\", twice/f' && \
         k3c run --rm --mount 'type=bind,\"src=./say \"\"hi\"\", twice\",dst=/m' $DEMO cat /m/f",
        0,
        &["=seen"],
    ),
    ("k3c run --rm --mount type=image,src=$DEMO,dst=/img $DEMO sh -c 'ls /img; ! touch /img/x'", 0, &["bin"]),
    ("k3c run -d --name owner -v /kept $DEMO sh -c 'echo 1 > /kept/f; sleep 100'", 0, &[]),
    ("sleep 1; k3c run --rm --volumes-from owner:ro $DEMO sh -c 'cat /kept/f; ! touch /kept/g'", 0, &["1"]),
    ("k3c run --rm --volumes-from no-such $DEMO true", 125, &["No such container: no-such"]),
    ("k3c rm -fv owner", 0, &["owner"]),
    ("k3c run --rm -v parts:/d $DEMO mkdir -p /d/a/b", 0, &[]),
    ("k3c run --rm --mount src=parts,dst=/x,volume-subpath=a $DEMO ls /x", 0, &["b"]),
    ("k3c run --rm --mount src=parts,dst=/x,volume-subpath=no $DEMO ls /x", 127, &["cannot access path no"]),
    ("k3c run --rm -v fresh:/bin:nocopy --entrypoint /none $DEMO", 127, &[]),
    ("k3c volume rm parts fresh", 0, &["parts\nfresh"]),
];

pub(super) const REFUSED_FLAGS: &[Line] = &[
    (
        "k3c run -v Name $DEMO",
        125,
        &[
            "invalid volume spec \"Name\": invalid volume specification: 'Name': invalid mount config for type \"volume\": \
           invalid mount path: 'Name' mount path must be absolute",
        ],
    ),
    ("k3c run --mount 'type=bind,src=\"/a,b\",dst=/c' $DEMO", 125, &["bare \" in non-quoted field"]),
    (
        "k3c run --mount 'type=bind,\"src=/a\"b,dst=/c' $DEMO",
        125,
        &["extraneous or missing \" in quoted-field"],
    ),
    ("k3c run -p 80/sctp $DEMO", 125, &["SCTP ports cannot be published or exposed: use tcp or udp"]),
    ("k3c run --gpus all $DEMO", 125, &["--gpus is not supported", "Usage:  k3c run"]),
    ("k3c run --no-such $DEMO", 125, &["unknown flag: --no-such"]),
    ("k3c run -m 1m $DEMO", 125, &["Minimum memory limit allowed is 6MB"]),
    // The exit code comes from the words "no such file", as in Docker's client.
    ("k3c run --device /dev/no-such $DEMO", 127, &["error gathering device information", "no such file"]),
    ("k3c run --device /etc/passwd $DEMO", 125, &["not a device node"]),
    ("k3c run --ulimit nofile=1:999999999999 $DEMO", 125, &["above the"]),
    ("k3c run --ulimit no=1 $DEMO", 125, &["invalid ulimit type: no"]),
    (
        "k3c run --security-opt seccomp=no-such.json $DEMO",
        125,
        &["opening seccomp profile (no-such.json) failed"],
    ),
    (
        "echo '[' > bad.json; k3c run --security-opt seccomp=bad.json $DEMO",
        125,
        &["compacting json for seccomp profile"],
    ),
    ("k3c run --security-opt what $DEMO", 125, &["Invalid --security-opt"]),
    ("k3c run --log-driver gelf $DEMO", 125, &["no log driver named 'gelf'"]),
    ("k3c run --log-opt env-regex=[ $DEMO", 125, &["invalid value for log opt env-regex: \"[\": unclosed"]),
    (
        "k3c run --log-opt tag={{.No}} $DEMO",
        125,
        &["invalid value for log opt tag: \".No\": there are {{.ID}}"],
    ),
    ("k3c run --log-opt what=x $DEMO", 125, &["unknown log opt 'what' for json-file log driver"]),
    ("k3c run --log-driver none --log-opt tag=x $DEMO", 125, &["unknown log opt 'tag' for none log driver"]),
    ("k3c run --log-opt max-size=x $DEMO", 125, &["invalid value for log opt max-size"]),
    ("k3c run --runtime crun $DEMO", 125, &["unknown or invalid runtime name: crun"]),
    ("k3c run --sysctl vm.swappiness=1 $DEMO", 125, &["sysctl 'vm.swappiness=1' is not allowed"]),
    (
        "k3c run --add-host up:host-gateway $DEMO",
        125,
        &["may not reach the host's loopback", "host-loopback = true"],
    ),
    ("k3c run --add-host x:y $DEMO", 125, &["invalid IP address in add-host"]),
    ("k3c run --uts host -h x $DEMO", 125, &["conflicting options: hostname and the UTS mode"]),
    ("k3c run --uts host --domainname x $DEMO", 125, &["conflicting options: domainname and the UTS mode"]),
    ("k3c run --group-add no-such $DEMO", 125, &["Unable to find group no-such"]),
    ("k3c run --health-cmd x --no-healthcheck $DEMO", 125, &["--no-healthcheck conflicts"]),
    ("k3c run --health-interval 5 $DEMO", 125, &["missing unit in duration"]),
    ("k3c run --tmpfs /t:what $DEMO", 125, &["invalid tmpfs option"]),
    ("k3c run --cpus 1 --cpu-quota 5 $DEMO", 125, &["Conflicting options"]),
    ("k3c run --label-file no-such $DEMO", 125, &["open no-such"]),
    ("k3c update nobody", 1, &["you must provide one or more flags"]),
    ("k3c update --restart always nobody", 1, &["No such container: nobody"]),
];
