//! `stop`, `kill`, `pause`, `wait`, `restart`, `rm`, and what containers left in their logs.

use super::Line;

pub(super) const SIGNALS: &[Line] = &[
    (
        "k3c run -d --name sig $DEMO sh -c 'trap \"echo term; exit 3\" TERM; trap \"echo hup\" HUP; trap \"echo usr1\" USR1; echo ready; while :; do sleep 0.1; done' | wc -c; \
         until k3c logs sig | grep -q ready; do sleep 0.1; done",
        0,
        &["=65"],
    ),
    (
        "k3c kill -s HUP sig; sleep 1; k3c kill --signal SIGUSR1 sig; sleep 1; k3c kill -s 1 sig; sleep 1; k3c logs sig",
        0,
        &["sig\nsig\nsig\n", "ready\nhup\nusr1\nhup\n"],
    ),
    (
        "k3c kill -s FOO sig",
        1,
        &["=Error response from daemon: cannot kill container: sig: invalid signal: FOO"],
    ),
    ("k3c kill -s 99 sig", 1, &["cannot kill container: sig: "]),
    ("k3c stop sig; k3c wait sig; k3c logs --tail 1 sig", 0, &["=sig\n3\nterm"]),
    ("k3c stop sig; k3c stop /sig", 0, &["=sig\n/sig"]),
    (
        "k3c kill sig 2>&1 | sed 's/[0-9a-f]\\{64\\}/ID/'",
        0,
        &["=Error response from daemon: cannot kill container: sig: container ID is not running"],
    ),
    ("k3c rm sig", 0, &["=sig"]),
    // The signal is the container's, or the one of the flag.
    (
        "k3c run -d --name sig --stop-signal USR2 --stop-timeout 60 $DEMO sh -c 'trap \"exit 4\" USR2; trap \"exit 5\" INT; echo ready; while :; do sleep 0.1; done' | wc -c; \
         until k3c logs sig | grep -q ready; do sleep 0.1; done; k3c stop sig; k3c wait sig",
        0,
        &["=65\nsig\n4"],
    ),
    (
        "k3c start sig; until k3c logs --since 1s sig | grep -q ready; do sleep 0.1; done; k3c stop -s INT sig; k3c wait sig; k3c rm sig",
        0,
        &["=sig\nsig\n5\nsig"],
    ),
    // A process that ignores the signal is killed: after the container's time, or the one of the flag.
    (
        "k3c run -d --name deaf-one --stop-timeout 1 $DEMO sleep 1000 | wc -c; timeout 8 k3c stop deaf-one; k3c wait deaf-one",
        0,
        &["=65\ndeaf-one\n137"],
    ),
    (
        "k3c start deaf-one; timeout 8 k3c stop --time 1 deaf-one; k3c start deaf-one; timeout 8 k3c stop -t 0 deaf-one; k3c wait deaf-one",
        0,
        &["=deaf-one\ndeaf-one\ndeaf-one\ndeaf-one\n137"],
    ),
    (
        "for i in 1 2 3 4 5 6; do k3c start deaf-one; k3c stop -t 0 deaf-one; k3c wait deaf-one; done | grep -c 137",
        0,
        &["=6"],
    ),
    ("k3c start deaf-one; timeout 3 k3c stop -t -1 deaf-one", 124, &["=deaf-one"]),
    ("k3c kill deaf-one; k3c wait deaf-one; k3c rm deaf-one", 0, &["=deaf-one\n137\ndeaf-one"]),
    ("k3c stop -t x nobody", 125, &["invalid argument \"x\" for \"-t, --time"]),
    (
        "k3c stop nobody; k3c kill nobody; k3c wait nobody; k3c restart nobody; k3c pause nobody; k3c unpause nobody; k3c top nobody; k3c port nobody; k3c diff nobody; k3c attach nobody; k3c logs nobody",
        1,
        &[
            "!error:",
            "=Error response from daemon: No such container: nobody\nError response from daemon: cannot kill container: nobody: No such container: nobody\nError response from daemon: No such container: nobody\nError response from daemon: No such container: nobody\nError response from daemon: No such container: nobody\nError response from daemon: No such container: nobody\nError response from daemon: No such container: nobody\nError response from daemon: No such container: nobody\nError response from daemon: No such container: nobody\nError response from daemon: No such container: nobody\nError response from daemon: No such container: nobody",
        ],
    ),
];

pub(super) const STATES: &[Line] = &[
    ("k3c run -d --name st $DEMO sleep 1000 > st.id", 0, &["="]),
    (
        "k3c pause st; k3c ps -f name=st --format '{{.State}} {{.Status}}'",
        0,
        &["st\npaused Up ", "(Paused)\n"],
    ),
    (
        "k3c pause st 2>&1 | sed s/$(cat st.id)/ID/",
        0,
        &["=Error response from daemon: Container ID is already paused"],
    ),
    ("k3c attach st", 1, &["cannot attach to a paused container, unpause it first"]),
    ("k3c rm st", 1, &["container is paused and must be unpaused first"]),
    ("k3c inspect -f '{{.State.Running}} {{.State.Paused}}' st", 0, &["=true true"]),
    ("k3c unpause st", 0, &["=st"]),
    (
        "k3c unpause st 2>&1 | sed s/$(cat st.id)/ID/",
        0,
        &["=Error response from daemon: Container ID is not paused"],
    ),
    (
        "k3c top st | head -1",
        0,
        &[
            "=UID                 PID                 PPID                C                   STIME               TTY                 TIME                CMD",
        ],
    ),
    ("k3c top st -eo pid,comm | sed 's/[0-9]\\+ */N /'", 0, &["=PID                 COMMAND\nN sleep"]),
    (
        "k3c top st -o foo",
        1,
        &["=Error response from daemon: ps: error: unknown user-defined format specifier \"foo\""],
    ),
    ("k3c exec st touch /made; k3c diff st", 0, &["=A /made"]),
    ("k3c port st; k3c port st 80", 1, &["=no public port '80' published for st"]),
    ("k3c port st foo", 1, &["invalid port"]),
    ("k3c update st", 1, &["=you must provide one or more flags when using this command"]),
    ("k3c update --restart foo st", 1, &["invalid restart policy: unknown policy 'foo'"]),
    (
        "k3c update --restart always st; k3c inspect -f {{.HostConfig.RestartPolicy.Name}} st; k3c update --restart no st",
        0,
        &["=st\nalways\nst"],
    ),
    ("k3c stats --no-stream st | head -1", 0, &["CONTAINER ID   NAME      CPU %     MEM USAGE / LIMIT"]),
    ("k3c stats --no-stream --format json st", 0, &["{\"BlockIO\":\"", "\"Name\":\"st\"", "\"PIDs\":\""]),
    (
        "k3c stats --no-stream --format '{{.Container}}' /st; k3c stats --no-stream --format '{{.Container}}' | wc -c",
        0,
        &["=/st\n13"],
    ),
    ("k3c stats --no-stream --format '{{.Foo}}' st", 1, &["template parsing error: ", "at <.Foo>"]),
    ("k3c restart -t 0 st; k3c inspect -f '{{.State.Running}} {{.RestartCount}}' st", 0, &["=st\ntrue 0"]),
    ("k3c kill st > /dev/null; k3c wait st", 0, &["=137"]),
    (
        "for v in exec\\ st\\ true pause\\ st top\\ st; do k3c $v 2>&1 | sed s/$(cat st.id)/ID/; done | uniq -c",
        0,
        &["=3 Error response from daemon: container ID is not running"],
    ),
    ("k3c attach st", 1, &["cannot attach to a stopped container, start it first"]),
    ("k3c unpause st", 1, &["is not paused"]),
    (
        "k3c stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}' st",
        0,
        &["=st -- -- / -- --"],
    ),
    ("k3c wait st; k3c wait st", 0, &["=137\n137"]),
    ("k3c rm st; rm st.id", 0, &["=st"]),
];

pub(super) const RESTARTS: &[Line] = &[
    ("k3c run -d --name again --restart always $DEMO sh -c 'sleep 0.2; exit 6' | wc -c", 0, &["=65"]),
    (
        "until k3c ps -f status=restarting | grep -q again && k3c ps -af name=again --format '{{.State}} {{.Status}}' | grep -E '^restarting Restarting \\(6\\) .* ago$'; do :; done",
        0,
        &["Restarting (6) "],
    ),
    ("until [ $(k3c inspect -f '{{.RestartCount}}' again) -gt 3 ]; do sleep 0.2; done", 0, &["="]),
    // A container between two attempts; by now the pauses are long enough to try it.
    (
        "until k3c ps -qf name=again -f status=restarting | grep -q . && k3c attach again 2>&1 | grep -q 'restarting container, wait until it is running'; do :; done",
        0,
        &["="],
    ),
    (
        "until k3c exec again true 2>&1 | grep -q 'is restarting, wait until the container is running'; do sleep 0.1; done",
        0,
        &["="],
    ),
    (
        "until k3c rm again 2>&1 | grep -q 'container is restarting: stop the container before removing or force remove'; do sleep 0.1; done",
        0,
        &["="],
    ),
    (
        "k3c stop again; sleep 2; k3c inspect -f '{{.State.Status}} {{.State.ExitCode}}' again | cut -d' ' -f1; k3c rm again",
        0,
        &["=again\nexited\nagain"],
    ),
    (
        "k3c run -d --name tries --restart on-failure:2 $DEMO sh -c 'echo try; exit 1' | wc -c; until [ $(k3c inspect -f '{{.RestartCount}}{{.State.Status}}' tries) = 2exited ]; do sleep 0.2; done",
        0,
        &["=65"],
    ),
    (
        "k3c logs tries; k3c inspect -f '{{.State.ExitCode}}' tries; k3c rm tries",
        0,
        &["=try\ntry\ntry\n1\ntries"],
    ),
    (
        "k3c run -d --name fine --restart on-failure $DEMO true | wc -c; k3c wait fine; sleep 1; k3c inspect -f '{{.RestartCount}} {{.State.Status}}' fine; k3c rm fine",
        0,
        &["=65\n0\n0 exited\nfine"],
    ),
    (
        "k3c run -d --name unless --restart unless-stopped $DEMO sh -c 'sleep 0.3; true' | wc -c; until [ $(k3c inspect -f '{{.RestartCount}}' unless) -gt 0 ]; do sleep 0.2; done; k3c rm -f unless",
        0,
        &["=65\nunless"],
    ),
];

/// Commands that wait for a container's end, and when they return.
pub(super) const WAITING: &[Line] = &[
    // The next end counts, also of a container that comes back by itself, as in Docker.
    ("k3c run -d --name round --restart always $DEMO sh -c 'sleep 1; exit 6' | wc -c", 0, &["=65"]),
    ("timeout 60 k3c wait round; timeout 60 k3c wait round", 0, &["=6\n6"]),
    ("k3c inspect -f '{{.State.Running}}' round; k3c rm -f round", 0, &["=true\nround"]),
    (
        "timeout 60 k3c run --name round --restart always $DEMO sh -c 'sleep 1; echo once; exit 5'; echo $?; k3c rm -f round",
        0,
        &["=once\n5\nround"],
    ),
    // The end of a `--rm` container is its removal, for every attached client.
    ("k3c create --rm --name brief $DEMO sh -c 'echo said; exit 3' | wc -c", 0, &["=65"]),
    ("k3c start -a brief; echo $?; k3c ps -aqf name=brief", 0, &["=said\n3"]),
    ("k3c run -d --rm --name brief $DEMO sh -c 'sleep 2; exit 4' | wc -c", 0, &["=65"]),
    ("k3c attach --no-stdin brief; echo $?; k3c ps -aqf name=brief", 0, &["=4"]),
    (
        "for i in 1 2 3 4 5 6; do k3c run --rm --name brief $DEMO true && k3c ps -aqf name=brief; done",
        0,
        &["="],
    ),
    (
        "for i in 1 2 3 4; do k3c create --rm --name brief $DEMO true > /dev/null && k3c start -a brief && \
         k3c ps -aqf name=brief; done",
        0,
        &["="],
    ),
    // A terminal makes no difference to that.
    (
        "script -qec 'k3c run -it --rm --name brief $DEMO sh -c \"exit 9\"' /dev/null < /dev/null > /dev/null; echo $?; k3c ps -aqf name=brief",
        0,
        &["=9"],
    ),
];

pub(super) const REMOVAL: &[Line] = &[
    ("k3c run -d --name live -v /anon -v live-vol:/v $DEMO sleep 1000 | wc -c", 0, &["=65"]),
    (
        "k3c rm live",
        1,
        &[
            "cannot remove container \"",
            "container is running: stop the container before removing or force remove",
        ],
    ),
    (
        "k3c inspect -f '{{range .Mounts}}{{.Name}}\n{{end}}' live | grep -v live-vol | grep . > live.anon; k3c rm -f live",
        0,
        &["=live"],
    ),
    // Only -v takes the volumes along, and only those without a name.
    ("k3c volume ls -q | grep -c -f live.anon", 0, &["=1"]),
    (
        "k3c volume rm $(cat live.anon) > /dev/null; k3c run --name live -v /anon -v live-vol:/v $DEMO true; k3c inspect -f '{{range .Mounts}}{{.Name}}\n{{end}}' live | grep -v live-vol | grep . > live.anon; k3c rm -v live",
        0,
        &["=live"],
    ),
    ("k3c volume ls -q | grep -c -f live.anon; k3c volume rm live-vol; rm live.anon", 0, &["=0\nlive-vol"]),
    ("k3c rm nobody", 1, &["=Error response from daemon: No such container: nobody"]),
    ("k3c rm -f nobody", 0, &["="]),
    ("k3c rm ''", 1, &["ontainer name cannot be empty"]),
    ("k3c create --name slashed $DEMO > /dev/null; k3c rm /slashed", 0, &["=/slashed"]),
    (
        "k3c create --name kept $DEMO > /dev/null; k3c rmi $DEMO",
        1,
        &["conflict: unable to ", "must be forced", "container "],
    ),
    ("k3c rm kept", 0, &["=kept"]),
];

pub(super) const LOGS: &[Line] = &[
    (
        "k3c run --name log $DEMO sh -c 'for i in 1 2 3; do echo out $i; echo err $i >&2; sleep 0.01; done' > /dev/null 2>&1; k3c logs log 2>/dev/null",
        0,
        &["=out 1\nout 2\nout 3"],
    ),
    ("k3c logs log 2>&1 >/dev/null", 0, &["=err 1\nerr 2\nerr 3"]),
    ("k3c logs -f log 2>&1 | wc -l", 0, &["=6"]),
    (
        "k3c logs -n 2 log 2>&1 | sort; k3c logs --tail 0 log; k3c logs --tail all log 2>&1 | wc -l",
        0,
        &["=err 3\nout 3\n6"],
    ),
    (
        "k3c logs --tail -1 log 2>/dev/null | wc -l; k3c logs --tail foo log 2>/dev/null | wc -l",
        0,
        &["=3\n3"],
    ),
    ("k3c logs -t log 2>/dev/null | grep -cE '^2[0-9-]{9}T[0-9:]{8}\\.[0-9]{9}Z out [123]$'", 0, &["=3"]),
    ("k3c logs --details log 2>/dev/null", 0, &[" out 1\n out 2\n out 3\n"]),
    (
        "k3c logs --since 1h log 2>/dev/null | wc -l; k3c logs --since 2001-01-01 log 2>/dev/null | wc -l; k3c logs --since 2001-01-01T10:00:00Z log 2>/dev/null | wc -l; k3c logs --since 1000000000 log 2>/dev/null | wc -l",
        0,
        &["=3\n3\n3\n3"],
    ),
    (
        "k3c logs --until 1h log 2>&1 | wc -l; k3c logs --until 2001-01-01 log 2>&1 | wc -l; k3c logs --since 2101-01-01 log 2>&1 | wc -l",
        0,
        &["=0\n0\n0"],
    ),
    (
        "s=$(k3c logs -t log 2>/dev/null | sed -n '2s/ .*//p'); k3c logs --since $s log 2>/dev/null; k3c logs --until $s log 2>/dev/null",
        0,
        &["=out 2\nout 3\nout 1\nout 2"],
    ),
    (
        "k3c logs --since foo log",
        1,
        &["=invalid value for \"since\": failed to parse value as time or duration: \"foo\""],
    ),
    (
        "k3c logs --until foo log",
        1,
        &["invalid value for \"until\": failed to parse value as time or duration: \"foo\""],
    ),
    ("k3c rm log", 0, &["=log"]),
    (
        "k3c run --name log -l a.x=1 -l a.y='2, 3' -l b=4 -e V=5 -e W=6 --log-opt labels-regex='^a[.]' --log-opt labels=none \
         --log-opt env=V,none --log-opt tag='{{.Name}}' $DEMO echo out; k3c logs --details log; k3c logs log",
        0,
        &["=out\nV=5,a.x=1,a.y=2%2C+3,tag=log out\nout"],
    ),
    (
        "k3c logs -tf --details log | grep -cE '^2[^ ]*Z V=5,a.x=1,a.y=2%2C[+]3,tag=log out$'; k3c rm log",
        0,
        &["=1\nlog"],
    ),
    (
        "k3c run --name log -t $DEMO sh -c 'echo out; echo err >&2' > /dev/null; k3c logs log 2>/dev/null | tr -d '\\r'; k3c rm log",
        0,
        &["=out\nerr\nlog"],
    ),
    (
        "k3c run -d --name log $DEMO sh -c 'for i in 1 2 3 4; do echo $i; sleep 0.4; done' > /dev/null; k3c logs -f log | xargs; k3c rm log",
        0,
        &["=1 2 3 4\nlog"],
    ),
    (
        "k3c run -d --name log $DEMO sh -c 'printf no-end; sleep 1000' > /dev/null; until k3c logs log | grep -q no-end; do sleep 0.1; done; k3c rm -f log",
        0,
        &["=log"],
    ),
    (
        "k3c run --name mute --log-driver none $DEMO echo said; k3c logs mute",
        1,
        &["said\n", "Error response from daemon: configured logging driver does not support reading"],
    ),
    ("k3c rm mute", 0, &["=mute"]),
];
