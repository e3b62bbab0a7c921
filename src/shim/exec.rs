//! The process that `exec` adds to a container: made from the container's own process as it was really started, amended
//! and adapted, with the exec's wishes on top.

use super::adapt::{Host, raise_oom_score};
use crate::model::capability::NAMES;
use crate::model::exec::{ADDITION, Addition};
use serde_json::{Value, json};

/// Makes the OCI `process`. `container` is the container's; `asked` is JSON, by its type `kind` an [`Addition`], or a whole
/// process, as CRI's exec and containerd's own clients send it.
pub(super) fn describe(
    container: &Value,
    kind: &str,
    asked: &[u8],
    host: &Host,
) -> Result<Value, serde_json::Error> {
    let mut process = match kind {
        ADDITION => add(container, serde_json::from_slice(asked)?, host),
        _ => complete(container, serde_json::from_slice(asked)?),
    };
    raise_oom_score(&mut process, host);
    Ok(process)
}

/// Gives a whole process the limits that its sender did not know of: containerd has the specification before it was amended.
fn complete(container: &Value, mut process: Value) -> Value {
    let none = process["rlimits"].as_array().is_none_or(Vec::is_empty);
    if none && let (Some(limits), Some(process)) = (container.get("rlimits"), process.as_object_mut()) {
        process.insert("rlimits".to_owned(), limits.clone());
    }
    process
}

fn add(container: &Value, asked: Addition, host: &Host) -> Value {
    let mut process = container.clone();
    process["args"] = json!(asked.args);
    process["env"] = json!(environment(container, &asked));
    if !asked.working_dir.is_empty() {
        process["cwd"] = json!(asked.working_dir);
    }
    process["terminal"] = json!(asked.terminal);
    if let Some(process) = process.as_object_mut() {
        // The size is that of the container's own terminal.
        process.remove("consoleSize");
    }
    if let (true, Some((columns, rows))) = (asked.terminal, asked.terminal_size) {
        process["consoleSize"] = json!({ "height": rows, "width": columns });
    }
    if asked.privileged {
        let all = capabilities(host.capabilities);
        process["capabilities"] = json!({ "bounding": all, "effective": all, "permitted": all });
        process["apparmorProfile"] = json!("");
    }
    if let Some(user) = asked.user {
        process["user"] = user.document();
        if user.uid != 0
            && !asked.privileged
            && let Some(sets) = process["capabilities"].as_object_mut()
        {
            // As for a container whose user is not root.
            sets.retain(|key, _| key == "bounding" || key == "inheritable");
        }
    }
    process
}

/// The variable that a terminal brings along, and its value when nobody chose one.
const TERM: &str = "TERM";
const PLAIN: &str = "TERM=xterm";

/// The container's variables, with those that are asked for in their place.
fn environment(container: &Value, asked: &Addition) -> Vec<String> {
    let key = |entry: &str| entry.split('=').next().unwrap_or(entry).to_owned();
    let entries = container["env"].as_array().into_iter().flatten();
    let mut all: Vec<String> = entries.filter_map(|e| e.as_str().map(str::to_owned)).collect();
    if container["terminal"] == true && !asked.terminal {
        // The variable came with the container's terminal.
        all.retain(|e| e != PLAIN);
    }
    if asked.terminal && !all.iter().any(|e| key(e) == TERM) {
        all.push(PLAIN.to_owned());
    }
    for entry in &asked.env {
        all.retain(|e| key(e) != key(entry));
        if entry.contains('=') {
            all.push(entry.clone());
        }
    }
    all
}

/// Names of the capabilities in a set.
fn capabilities(set: u64) -> Vec<String> {
    (0..)
        .zip(NAMES)
        .filter(|(bit, _)| set & (1 << *bit) != 0)
        .map(|(_, name)| format!("CAP_{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::exec::User;

    fn made(container: &Value, asked: Addition) -> Value {
        let asked = serde_json::to_vec(&asked).unwrap();
        describe(container, ADDITION, &asked, &Host { capabilities: 0b101, ..Host::default() }).unwrap()
    }

    #[test]
    fn an_exec_is_the_containers_process_with_other_words() {
        let container = json!({
            "args": ["/sbin/docker-init", "--", "sh"], "cwd": "/tmp", "env": ["A=1"], "terminal": true,
            "consoleSize": {"height": 1, "width": 2}, "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}],
            "noNewPrivileges": true, "apparmorProfile": "mine", "oomScoreAdj": 5, "user": {"uid": 7, "gid": 7},
            "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"], "inheritable": []},
        });
        let plain = made(&container, Addition { args: vec!["ls".into()], ..Addition::default() });
        let mut wanted = container.clone();
        wanted["args"] = json!(["ls"]);
        wanted["terminal"] = json!(false);
        wanted.as_object_mut().unwrap().remove("consoleSize");
        assert_eq!(plain, wanted);
        let user = User { uid: 1, gid: 2, groups: vec![] };
        let other = Addition {
            working_dir: "/".into(),
            user: Some(user.clone()),
            terminal: true,
            terminal_size: Some((80, 24)),
            ..Addition::default()
        };
        let other = made(&container, other);
        assert_eq!(other["cwd"], "/");
        assert_eq!(other["consoleSize"], json!({"height": 24, "width": 80}));
        assert_eq!(other["user"], user.document());
        assert_eq!(other["capabilities"], json!({"bounding": ["CAP_KILL"], "inheritable": []}));
        let all = made(&container, Addition { privileged: true, user: Some(user), ..Addition::default() });
        assert_eq!(all["capabilities"]["effective"], json!(["CAP_CHOWN", "CAP_DAC_READ_SEARCH"]));
        assert_eq!(all["apparmorProfile"], "");
    }

    #[test]
    fn the_environment_is_the_containers_and_more() {
        let env = |container: Value, terminal: bool, more: &[&str]| {
            let env = more.iter().map(|s| (*s).to_owned()).collect();
            environment(&container, &Addition { terminal, env, ..Addition::default() }).join(" ")
        };
        let plain = json!({"env": ["PATH=/bin", "A=1"]});
        assert_eq!(env(plain.clone(), false, &["A=2", "B=3"]), "PATH=/bin A=2 B=3");
        assert_eq!(env(plain.clone(), false, &["A"]), "PATH=/bin");
        assert_eq!(env(plain, true, &[]), "PATH=/bin A=1 TERM=xterm");
        let chosen = json!({"env": ["TERM=vt100"]});
        assert_eq!(env(chosen.clone(), false, &[]), "TERM=vt100");
        assert_eq!(env(chosen, true, &[]), "TERM=vt100");
        let with_terminal = json!({"env": ["TERM=xterm"], "terminal": true});
        assert_eq!(env(with_terminal.clone(), false, &[]), "");
        assert_eq!(env(with_terminal, true, &[]), "TERM=xterm");
    }

    #[test]
    fn whole_processes_get_the_amended_limits() {
        let container = json!({"rlimits": [{"type": "RLIMIT_CORE"}], "env": ["A=1"]});
        let host = Host { rootless: true, oom_score_adj: 100, ..Host::default() };
        let whole = |process: Value| {
            let asked = process.to_string().into_bytes();
            describe(&container, "types.containerd.io/opencontainers/runtime-spec/1/Process", &asked, &host)
                .unwrap()
        };
        assert_eq!(
            whole(json!({"args": ["a"], "oomScoreAdj": -9})),
            json!({"args": ["a"], "oomScoreAdj": 100, "rlimits": [{"type": "RLIMIT_CORE"}]})
        );
        let own = json!({"rlimits": [{"type": "RLIMIT_CPU"}]});
        assert_eq!(whole(own.clone()), own);
        assert!(describe(&container, ADDITION, b"{\"no\": 1}", &host).is_err());
    }
}
