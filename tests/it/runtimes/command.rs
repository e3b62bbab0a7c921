//! Our runtime's command line beside runc's.

use super::bed::{Bed, bundle, plain_spec};
use super::same;
use anyhow::Result;
use serde_json::json;

/// A container's life, in words and codes.
const LIFE: &str = r#"
B=$PWD/life
try() { "$@" > out-$NAME 2>&1 < /dev/null; c=$?; cat out-$NAME; echo "$(echo "$*" | sed "s|.*--root [^ ]* ||") = $c"; }
status() { $R state $1 2>&1 | grep -E '"(status|ociVersion|annotations|a)"' | tr -d ' ,'; }
is() { for n in $(seq 100); do $R state $1 2>/dev/null | grep -q "\"$2\"" && return; sleep 0.05; done; echo "never $2"; }
try $R state a; try $R start a; try $R kill a; try $R delete a; try $R delete --force a; try $R exec a true
try $R create --bundle $B a/b; try $R create --bundle $PWD/cgroup-x a; try $R create --bundle $PWD/rootfs a
try $R create --bundle $B --pid-file pid-$NAME a
test "$(cat pid-$NAME)" = "$($R state a | grep '"pid"' | tr -dc 0-9)" && echo its number
status a
try $R create --bundle $B a
try $R exec a echo from an exec before
try $R start a; try $R start a; is a running; status a
try $R exec a sh -c 'echo $A; pwd; exit 7'
try $R exec --cwd /tmp --env A=2 --user 1000:7 a sh -c 'echo $A; pwd; id -u; id -g'
try $R exec a nope; try $R exec --cwd /no/such a true; try $R exec a
echo '{"args": ["sh", "-c", "id -u; grep NoNew /proc/self/status; kill -9 $$"], "cwd": "/data", "user": {"uid": 5, "gid": 5}, "env": ["PATH=/bin"], "noNewPrivileges": true, "capabilities": {}}' > process-$NAME
try $R exec --process process-$NAME a
try $R exec --detach --pid-file pid2-$NAME a sleep 1000
$R ps --format json a | tr , '\n' | grep -c .
try $R delete a; try $R kill a NOPE
try $R pause a; status a; try $R pause a; try $R exec a true; try $R resume a; status a; try $R resume a
try $R kill a 0; try $R kill a KILL; is a stopped; status a
try $R kill a; try $R start a; try $R exec a true; try $R list --quiet
try $R delete a; try $R state a
try $R create --bundle $B b; try $R delete b; try $R state b
try $R run --detach --bundle $B c; is c running; try $R delete --force c; try $R state c
try $R --log log-$NAME --log-format json start a; try $R --log log-$NAME --log-format json exec b true; sed 's/,"time".*//' log-$NAME
mkdir state-$NAME/half; try $R state half; try $R list --quiet; try $R create --bundle $B half; try $R delete half; try $R delete half
mkdir state-$NAME/half; try $R delete --force half; try $R state half
try $R create --bundle $PWD/terminal d; try $R run --detach --bundle $PWD/terminal d
try $R run --bundle $PWD/short e; try $R run --bundle $PWD/nope f; try $R state f
(echo 'echo to a terminal; tty; exit 3'; sleep 1) | script -qec "$R run --bundle $PWD/terminal g" /dev/null | grep -E '^/dev/' | sort -u; try $R state g
(sleep 0.7; $R kill h TERM) & try $R run --bundle $PWD/trap h; wait
"#;

pub(super) fn the_command_line() -> Result<()> {
    for root in [true, false] {
        let bed = Bed::new(root)?;
        let mut life = plain_spec(&["sleep", "1000"]);
        life["process"]["env"] = json!(["PATH=/bin", "A=1"]);
        life["annotations"] = json!({ "a": "b" });
        bundle(&bed, "life", &life)?;
        let mut terminal = plain_spec(&["sh"]);
        terminal["process"]["terminal"] = json!(true);
        bundle(&bed, "terminal", &terminal)?;
        bundle(&bed, "short", &plain_spec(&["sh", "-c", "echo out; sleep 0.3; echo err >&2; exit 9"]))?;
        bundle(&bed, "nope", &plain_spec(&["nope"]))?;
        bundle(
            &bed,
            "trap",
            &plain_spec(&["sh", "-c", "trap 'echo trapped; exit 4' TERM; while :; do sleep 0.1; done"]),
        )?;
        bed.own()?;
        let [ours, runcs] = bed.both(120, LIFE)?;
        same(if root { "root" } else { "rootless" }, &ours, &runcs)?;
        anyhow::ensure!(ours == runcs && ours.contains("trapped"), "in another order:\n{ours}\n---\n{runcs}");
        bed.end()?;
    }
    Ok(())
}
