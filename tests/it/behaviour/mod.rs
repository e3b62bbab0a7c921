//! How the command line behaves, in tables: a line for the shell, its exit code, and what is in its output. Lines of one
//! table run in order on the shared instance, and each table removes what it made.

use crate::containers::{DEMO, within};
use crate::env::installed;
use crate::{Case, DAEMON, shared};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::Duration;

/// All tables that are nothing but a table; `compare` runs them against Docker, too.
pub(crate) const TABLES: &[(&str, &[Line])] = &[
    ("flags_of_run", FLAGS_OF_RUN),
    ("namespaces_of_others", NAMESPACES_OF_OTHERS),
    ("mounts", MOUNTS),
    ("refused_flags", REFUSED_FLAGS),
    ("create_and_start", CREATE_AND_START),
    ("files_in_and_out", FILES_IN_AND_OUT),
    ("nothing_escapes", NOTHING_ESCAPES),
    ("images_of_containers", IMAGES_OF_CONTAINERS),
    ("volumes", VOLUMES),
    ("pruning", PRUNING),
];

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, DAEMON, run);
    vec![
        case("behaviour::flags_of_run", || table(FLAGS_OF_RUN)),
        case("behaviour::namespaces_of_others", || table(NAMESPACES_OF_OTHERS)),
        case("behaviour::mounts", || table(MOUNTS)),
        case("behaviour::refused_flags", || table(REFUSED_FLAGS)),
        case("behaviour::create_and_start", || table(CREATE_AND_START)),
        case("behaviour::files_in_and_out", || table(FILES_IN_AND_OUT)),
        case("behaviour::nothing_escapes", || table(NOTHING_ESCAPES)),
        case("behaviour::images_of_containers", || table(IMAGES_OF_CONTAINERS)),
        case("behaviour::volumes", || table(VOLUMES)),
        case("behaviour::pruning", || table(PRUNING)),
        case("behaviour::figures", figures),
        case("behaviour::health", health),
        case("behaviour::rotated_logs", rotated_logs),
    ]
}

/// A line, its exit code, and what its output (both streams) has; `!` before a part: has not.
pub(crate) type Line = (&'static str, i32, &'static [&'static str]);

fn table(lines: &[Line]) -> Result<()> {
    for (line, code, parts) in lines {
        let (got, text) = shell(line)?;
        let fits = got == *code && lacks(&text, parts).is_none();
        ensure!(fits, "$ {line}\n{text}\nexit {got}, expected {code} and {parts:?}");
    }
    Ok(())
}

/// The first part that is not as it should be.
pub(crate) fn lacks(text: &str, parts: &[&'static str]) -> Option<&'static str> {
    parts.iter().copied().find(|part| match part.strip_prefix('!') {
        Some(part) => text.contains(part),
        None => !text.contains(part),
    })
}

/// Runs a line as the user: `k3c` is the binary, `$DEMO` the image.
fn shell(line: &str) -> Result<(i32, String)> {
    let env = shared::env()?;
    let script = format!("k3c() {{ '{}' \"$@\"; }}; DEMO={DEMO}; {line}", installed().display());
    let ran = env.program(Path::new("/bin/sh"), &["-c", &script])?;
    Ok((ran.code, format!("{}{}", ran.stdout, ran.stderr)))
}

const FLAGS_OF_RUN: &[Line] = &[
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

const NAMESPACES_OF_OTHERS: &[Line] = &[
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

const MOUNTS: &[Line] = &[
    ("k3c run --rm --tmpfs /t:size=1m,mode=1770 $DEMO sh -c 'df -k /t; stat -c %a /t'", 0, &["1024", "1770"]),
    ("k3c run --rm --mount type=tmpfs,dst=/t,tmpfs-size=1m,ro $DEMO touch /t/x", 1, &["Read-only"]),
    ("k3c run --rm --read-only --tmpfs /tmp $DEMO touch /tmp/x", 0, &[]),
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

const REFUSED_FLAGS: &[Line] = &[
    ("k3c run -p 80 $DEMO", 125, &["-p, --publish is not supported: every container is on the one network"]),
    ("k3c run --gpus all $DEMO", 125, &["--gpus is not supported", "Usage:  k3c run"]),
    ("k3c run --no-such $DEMO", 125, &["unknown flag: --no-such"]),
    ("k3c run -m 1m $DEMO", 125, &["Minimum memory limit allowed is 6MB"]),
    // Docker's client reads the words, too.
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
    ("k3c run --log-opt max-size=x $DEMO", 125, &["invalid value for log opt max-size"]),
    ("k3c run --runtime crun $DEMO", 125, &["unknown or invalid runtime name: crun"]),
    ("k3c run --sysctl vm.swappiness=1 $DEMO", 125, &["sysctl 'vm.swappiness=1' is not allowed"]),
    ("k3c run --add-host up:host-gateway $DEMO", 125, &["no way to the host"]),
    ("k3c run --add-host x:y $DEMO", 125, &["invalid IP address in add-host"]),
    ("k3c run --group-add no-such $DEMO", 125, &["Unable to find group no-such"]),
    ("k3c run --health-cmd x --no-healthcheck $DEMO", 125, &["--no-healthcheck conflicts"]),
    ("k3c run --health-interval 5 $DEMO", 125, &["missing unit in duration"]),
    ("k3c run --tmpfs /t:what $DEMO", 125, &["invalid tmpfs option"]),
    ("k3c run --cpus 1 --cpu-quota 5 $DEMO", 125, &["Conflicting options"]),
    ("k3c run --label-file no-such $DEMO", 125, &["open no-such"]),
    ("k3c update nobody", 1, &["you must provide one or more flags"]),
    ("k3c update --restart always nobody", 1, &["No such container: nobody"]),
];

const CREATE_AND_START: &[Line] = &[
    (
        "k3c create --name made --cidfile made.id $DEMO sh -c 'cat /new; exit 3'; cat made.id | wc -c",
        0,
        &["64"],
    ),
    ("k3c create --name made $DEMO", 1, &["Conflict. The container name \"/made\" is already in use"]),
    ("k3c create --pull never --name no no.local/no", 1, &["No such image: no.local/no:latest"]),
    ("k3c inspect -f '{{.State.Status}} {{.State.StartedAt}}' made", 0, &["created 0001-01-01T00:00:00Z"]),
    ("echo brought > new; k3c cp new made:/new", 0, &[]),
    ("k3c start -a made", 3, &["brought"]),
    ("k3c logs made", 0, &["brought"]),
    // Fresh: what was copied is gone, and that was said.
    ("k3c cp new made:/new", 0, &["its next start is fresh"]),
    ("k3c start -a made", 3, &["can't open '/new'"]),
    ("k3c update --restart on-failure:3 made", 0, &["made"]),
    ("k3c inspect -f '{{.HostConfig.RestartPolicy.MaximumRetryCount}}' made", 0, &["3"]),
    ("k3c inspect --cri made | grep -c CONTAINER_EXITED", 0, &["1"]),
    (
        "k3c events --since 5m --until 0s --filter container=made --format '{{.Action}}' | head -4 | xargs",
        0,
        &["create attach start die"],
    ),
    ("k3c inspect -f '{{.ResolvConfPath}} {{.HostnamePath}}' made", 0, &["/resolv.conf ", "/hostname"]),
    ("k3c port made", 0, &[]),
    ("k3c port made 80", 1, &["no public port '80' published for made"]),
    ("k3c container rm made", 0, &["made"]),
];

const FILES_IN_AND_OUT: &[Line] = &[
    ("mkdir -p cp/d/e cp/out; echo 1 > cp/d/f; ln -s f cp/d/l; chmod 750 cp/d/f", 0, &[]),
    ("k3c run -d --name box -v cpvol:/vol $DEMO sleep 100", 0, &[]),
    ("k3c cp cp/d box:/tmp", 0, &["!Successfully"]),
    ("k3c exec box ls -l /tmp/d; k3c exec box stat -c %a:%u /tmp/d/f | grep -x 750:$(id -u)", 0, &["l -> f"]),
    ("k3c cp cp/d/. box:/tmp/flat && k3c exec box cat /tmp/flat/f", 0, &["1"]),
    ("k3c cp cp/d/f box:/tmp/g && k3c exec box cat /tmp/g", 0, &["1"]),
    ("k3c cp cp/d/f box:/tmp/no/such/", 1, &["no such directory"]),
    ("k3c cp cp/d box:/tmp/g", 1, &["cannot copy directory"]),
    ("k3c cp cp/no box:/tmp", 1, &["lstat /", "cp/no: no such file or directory"]),
    ("k3c cp cp/d/f box:/vol/v && k3c exec box cat /vol/v", 0, &["1"]),
    ("k3c cp box:/tmp/d cp/out && cat cp/out/d/f && readlink cp/out/d/l", 0, &["1\nf"]),
    ("k3c cp box:/tmp/d/. cp/out2 && cat cp/out2/f", 0, &["1"]),
    ("k3c cp box:/tmp/d/l cp/link && readlink cp/link", 0, &["f"]),
    ("k3c cp -L box:/tmp/d/l cp/real && cat cp/real", 0, &["1"]),
    ("k3c cp box:/tmp/d - | tar t", 0, &["d/\n", "d/f"]),
    ("tar c -C cp/d f | k3c cp - box:/var && k3c exec box cat /var/f", 0, &["1"]),
    ("k3c cp box:/no-such cp/out", 1, &["Could not find the file /no-such in container box"]),
    ("k3c cp nobody:/x cp/out", 1, &["No such container: nobody"]),
    ("k3c cp box:/a box:/b", 1, &["copying between containers is not supported"]),
    ("k3c cp cp/d cp/e", 1, &["must specify at least one container source"]),
    ("k3c rm -f box", 0, &[]),
    // One that has never run has its volumes, too.
    ("k3c create --name still -v cpvol:/vol $DEMO true && k3c cp still:/vol/v cp/v && cat cp/v", 0, &["1"]),
    ("k3c rm still && k3c volume rm cpvol && rm -r cp", 0, &[]),
];

/// A container's links lead nowhere but into the container.
const NOTHING_ESCAPES: &[Line] = &[
    ("mkdir -p esc/out; echo secret > esc/secret; echo x > esc/x", 0, &[]),
    (
        "k3c run -d --name sly $DEMO sh -c \"ln -s / /root-link; ln -s $PWD/esc /here; ln -s ../../../../..$PWD/esc /up; \
         sleep 100\"",
        0,
        &[],
    ),
    ("sleep 1; k3c cp sly:/here/secret esc/out", 1, &["Could not find the file"]),
    ("k3c cp sly:/up/secret esc/out", 1, &["Could not find the file"]),
    ("k3c cp esc/x sly:/here/planted", 1, &[]),
    ("k3c cp esc/x sly:/root-link/planted && k3c exec sly cat /planted", 0, &["x"]),
    ("ls -A esc esc/out", 0, &["!planted"]),
    ("k3c rm -f sly && rm -r esc", 0, &[]),
];

const IMAGES_OF_CONTAINERS: &[Line] = &[
    (
        "k3c run --name changed $DEMO sh -c 'echo new > /made; rm /bin/vi; mkdir /dir; chmod 700 /home'",
        0,
        &[],
    ),
    (
        "k3c diff changed",
        0,
        &["A /made", "D /bin/vi", "C /bin", "A /dir", "C /home", "!/etc/hosts", "!/proc"],
    ),
    ("k3c export changed | tar tv", 0, &["made", "bin/busybox", "!bin/vi"]),
    ("k3c export -o out.tar changed && tar xfO out.tar made", 0, &["new"]),
    (
        "k3c export -o no/such/out.tar changed",
        1,
        &["invalid output path: directory \"no/such\" does not exist"],
    ),
    (
        "k3c commit -a me -m why -c 'CMD [\"cat\", \"/made\"]' -c 'ENV A=1' -c 'LABEL l=2' changed my/changed:1",
        0,
        &["sha256:"],
    ),
    ("k3c run --rm my/changed:1", 0, &["new"]),
    ("k3c run --rm my/changed:1 sh -c 'echo $A; ls /bin/vi'", 1, &["1", "No such file"]),
    ("k3c inspect -f '{{.Comment}} {{.Author}} {{.Config.Labels.l}}' my/changed:1", 0, &["why me 2"]),
    (
        "printf 'FROM my/changed:1\\nRUN cat /made\\n' | k3c build -t my/changed:2 --progress plain -",
        0,
        &["new"],
    ),
    ("k3c commit changed > id; k3c run --rm $(cat id) cat /made; k3c rmi $(cat id)", 0, &["new", "Deleted"]),
    ("k3c commit -c 'RUN x' changed", 1, &["RUN is not a valid change command"]),
    ("k3c commit changed UPPER", 1, &["must be lowercase"]),
    ("k3c commit nobody", 1, &["No such container: nobody"]),
    ("k3c rm changed && k3c rmi my/changed:1 my/changed:2", 0, &["Untagged: my/changed:1"]),
];

fn figures() -> Result<()> {
    table(&[
        ("k3c run -d --name busy $DEMO sh -c 'while :; do :; done'", 0, &[]),
        ("k3c top busy", 0, &["UID", "PPID", "sh -c while"]),
        ("k3c top busy -o pid,comm", 0, &["PID", "COMMAND", "sh"]),
        ("k3c top busy --no-such", 1, &["ps:"]),
        ("k3c stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.PIDs}}' busy", 0, &["busy ", "% 1"]),
        ("k3c stats --no-stream --format '{{.MemUsage}}' busy", 0, &["!0B /", "!--"]),
        ("k3c stats --no-stream nobody", 1, &["No such container: nobody"]),
        ("k3c kill busy && k3c wait busy", 0, &["137"]),
        ("k3c stats --no-stream busy", 0, &["busy      --        -- / --"]),
        ("k3c top busy", 1, &["is not running"]),
        ("k3c rm busy", 0, &[]),
    ])?;
    let (_, text) = shell(
        "k3c run -d --name hot $DEMO sh -c 'while :; do :; done' > /dev/null; \
         k3c stats --no-stream --format '{{.CPUPerc}}' hot; k3c rm -f hot > /dev/null",
    )?;
    let percent: f64 = text.trim().trim_end_matches('%').parse().with_context(|| text.clone())?;
    ensure!((5.0..150.0).contains(&percent), "a busy loop uses one CPU: {text}");
    Ok(())
}

const VOLUMES: &[Line] = &[
    ("k3c volume create --label a=1 mine", 0, &["mine"]),
    ("k3c volume create mine", 0, &["mine"]),
    ("k3c volume create x", 1, &["create x: volume name is too short"]),
    ("k3c volume create -d nfs other", 1, &["only the driver local"]),
    ("k3c volume ls --filter name=min", 0, &["DRIVER    VOLUME NAME\nlocal     mine"]),
    ("k3c volume ls -q --filter label=a=1", 0, &["mine"]),
    ("k3c volume ls --filter what=1", 1, &["invalid filter 'what'"]),
    ("k3c volume inspect -f '{{.Labels.a}} {{.Driver}}' mine", 0, &["1 local"]),
    ("k3c inspect --type volume mine", 0, &["\"Name\": \"mine\""]),
    ("k3c volume inspect no", 1, &["[]", "get no: no such volume"]),
    ("k3c create --name holder -v mine:/m $DEMO", 0, &[]),
    ("k3c volume rm mine", 1, &["volume is in use - ["]),
    ("k3c volume ls -q --filter dangling=true", 0, &["!mine"]),
    ("k3c rm holder && k3c volume rm mine no", 1, &["mine", "get no: no such volume"]),
    ("k3c volume rm -f no", 0, &["no"]),
];

const PRUNING: &[Line] = &[
    ("k3c create --name old -l prune=me -v /anon $DEMO > old.id; k3c create --name other $DEMO", 0, &[]),
    ("echo n | k3c container prune --filter label=prune=me", 0, &["Are you sure", "!Deleted"]),
    ("k3c container prune -f --filter label=prune=me | grep -q $(cat old.id)", 0, &[]),
    ("k3c inspect -f '{{.Name}}' other old", 1, &["/other", "no such object: old"]),
    ("k3c container prune -f --filter until=1h --filter label=prune=me", 0, &["Total reclaimed space: 0B"]),
    (
        "k3c container prune -f --filter until=never",
        1,
        &["failed to parse value as time or duration: \"never\""],
    ),
    ("k3c volume create --label prune=me named", 0, &[]),
    ("k3c volume prune -f --filter label=prune=me", 0, &["Total reclaimed space: 0B", "!named"]),
    ("echo y | k3c volume prune -a --filter label=prune=me", 0, &["Deleted Volumes:\nnamed"]),
    ("k3c rm other", 0, &[]),
    ("k3c system df", 0, &["TYPE            TOTAL", "Local Volumes", "Build Cache"]),
    ("k3c info -f '{{len .ID}}'", 0, &["36"]),
    ("k3c system df -v", 0, &["Images space usage:", "CONTAINER ID"]),
    (
        "printf 'FROM $DEMO\\nLABEL prune=me\\n' | sed s,.DEMO,$DEMO, | k3c build -q -t prune:1 -",
        0,
        &["sha256:"],
    ),
    ("k3c image prune -af --filter label=prune=me", 0, &["untagged: prune:1", "Total reclaimed space"]),
    ("echo n | k3c system prune", 0, &["all stopped containers", "!Total"]),
    ("k3c builder prune -f", 0, &["Total reclaimed space"]),
];

fn health() -> Result<()> {
    table(&[(
        "k3c run -d --name well --health-cmd 'test -e /ok' --health-interval 300ms --health-retries 2 $DEMO sleep 100",
        0,
        &[],
    )])?;
    let status = |wanted: &'static str| {
        within(Duration::from_secs(20), wanted, || {
            Ok(shell("k3c inspect -f '{{.State.Health.Status}}' well")?.1.trim() == wanted)
        })
    };
    status("unhealthy")?;
    table(&[
        ("k3c ps --filter health=unhealthy", 0, &["(unhealthy)", "well"]),
        ("k3c exec well touch /ok", 0, &[]),
    ])?;
    status("healthy")?;
    table(&[
        ("k3c inspect -f '{{json .State.Health}}' well", 0, &["\"FailingStreak\":0", "\"ExitCode\":0"]),
        ("k3c ps --format '{{.Status}} {{.HealthStatus}}'", 0, &["(healthy) healthy"]),
        (
            "k3c events --since 1m --until 0s --filter container=well",
            0,
            &["health_status: unhealthy", "health_status: healthy"],
        ),
        ("k3c rm -f well", 0, &[]),
        ("k3c run --rm $DEMO true; k3c ps -a --format '{{.HealthStatus}}' | grep -q healthy", 1, &[]),
    ])
}

/// Many rotations while somebody follows: every line once, in order.
fn rotated_logs() -> Result<()> {
    let script = "i=0; while [ $i -lt 60000 ]; do echo line-$i; i=$((i+1)); [ $((i%6000)) = 0 ] && sleep 1; done; true";
    let (code, text) = shell(&format!(
        "k3c run -d --name chatty --log-opt max-size=100k --log-opt max-file=50 $DEMO sh -c '{script}' >/dev/null; \
         k3c logs -f chatty > followed; k3c logs chatty > all; seq 0 59999 | sed s/^/line-/ > wanted; \
         cmp wanted followed && cmp wanted all && k3c logs --tail 3 chatty && k3c inspect -f '{{{{.LogPath}}}}' chatty"
    ))?;
    ensure!(code == 0 && text.starts_with("line-59997\nline-59998\nline-59999\n"), "{code}: {text}");
    let log = text.lines().last().context("a path")?.to_owned();
    let folder = Path::new(&log).parent().context("a folder")?;
    let files = std::fs::read_dir(folder)?.count();
    ensure!(files > 3, "was rotated only {files} times");
    table(&[
        ("k3c rm chatty && rm followed all wanted", 0, &[]),
        ("k3c run --name mute --log-driver none $DEMO echo said", 0, &["said"]),
        ("k3c logs mute", 1, &["configured logging driver does not support reading"]),
        ("k3c rm mute", 0, &[]),
    ])
}
