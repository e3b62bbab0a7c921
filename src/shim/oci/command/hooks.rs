//! Hooks: programs of who asks for the container, run beside it with its state on their standard input.

use super::folder::Record;
use super::{Refusal, VERSION};
use crate::shim::reaper::Reaper;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The hooks of a specification. Those that belong into the container's namespaces are not done here.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Hooks {
    pub(super) prestart: Option<Vec<Hook>>,
    pub(super) create_runtime: Option<Vec<Hook>>,
    create_container: Option<Vec<Hook>>,
    start_container: Option<Vec<Hook>>,
    pub(super) poststart: Option<Vec<Hook>>,
    pub(super) poststop: Option<Vec<Hook>>,
}

/// A program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Hook {
    path: String,
    args: Option<Vec<String>>,
    env: Option<Vec<String>>,
    /// Seconds.
    timeout: Option<u64>,
}

impl Hooks {
    /// Takes the hooks out of a specification.
    pub(super) fn take(spec: &mut Value) -> Result<Self, Refusal> {
        let found =
            spec.as_object_mut().and_then(|spec| spec.remove("hooks")).filter(|hooks| !hooks.is_null());
        let hooks = Self::deserialize(found.unwrap_or_else(|| json!({})))
            .map_err(|error| Refusal::Undone(format!("hooks: {error}")))?;
        for (name, which) in
            [("createContainer", &hooks.create_container), ("startContainer", &hooks.start_container)]
        {
            if which.as_ref().is_some_and(|all| !all.is_empty()) {
                return Err(Refusal::Undone(format!("hooks of the kind {name}")));
            }
        }
        let all = [&hooks.prestart, &hooks.create_runtime, &hooks.poststart, &hooks.poststop];
        if let Some(hook) = all.into_iter().flatten().flatten().find(|hook| !hook.path.starts_with('/')) {
            return Err(Refusal::Said(format!("invalid hook path {:?}", hook.path)));
        }
        Ok(hooks)
    }

    /// Whether there are some that run before the container's files are in sight.
    pub(super) fn early(&self) -> bool {
        [&self.prestart, &self.create_runtime].into_iter().flatten().any(|all| !all.is_empty())
    }
}

/// The state as hooks get it.
fn state(record: &Record, status: &str) -> Value {
    json!({
        "ociVersion": VERSION, "id": record.id, "status": status, "pid": record.pid, "bundle": record.bundle,
        "annotations": record.annotations,
    })
}

/// Runs hooks one after the other, up to the first that fails.
pub(super) async fn run(
    reaper: &Reaper,
    hooks: Option<&Vec<Hook>>,
    record: &Record,
    status: &str,
) -> Result<(), String> {
    let text = state(record, status).to_string();
    for (number, hook) in hooks.into_iter().flatten().enumerate() {
        one(reaper, hook, &text).await.map_err(|why| format!("error running hook #{number}: {why}"))?;
    }
    Ok(())
}

async fn one(reaper: &Reaper, hook: &Hook, state: &str) -> Result<(), String> {
    let text = |error: std::io::Error| format!("{}: {error}", hook.path);
    #[expect(clippy::disallowed_methods, reason = "a hook's end is waited for here")]
    let mut command = Command::new(&hook.path);
    let args = hook.args.iter().flatten();
    if let Some(name) = hook.args.iter().flatten().next() {
        std::os::unix::process::CommandExt::arg0(&mut command, name);
    }
    command
        .args(args.skip(1))
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    for entry in hook.env.iter().flatten() {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        command.env(name, value);
    }
    let (mut child, end) = reaper.start_child(&mut command).map_err(text)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it is none the worse for it.
        let _ = stdin.write_all(state.as_bytes());
    }
    let limit = hook.timeout.map_or(Duration::MAX, Duration::from_secs);
    match tokio::time::timeout(limit, end).await {
        Ok(Ok(exit)) if exit.status == 0 => Ok(()),
        Ok(exit) => Err(format!("exit status {}", exit.map_or(255, |exit| exit.status))),
        Err(_) => {
            let pid = i32::try_from(child.id()).unwrap_or(0);
            let _ = crate::shim::process::raw_kill(pid, 9);
            Err(format!("hook ran past specified timeout of {:.1}s", limit.as_secs_f64()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_inside_of_the_container_are_refused() {
        let hook = json!([{ "path": "/bin/true" }]);
        let taken = |hooks: Value| {
            let mut spec = json!({ "hooks": hooks, "root": {} });
            let taken = Hooks::take(&mut spec);
            assert_eq!(spec, json!({ "root": {} }));
            taken
        };
        assert!(taken(json!({ "prestart": hook, "poststop": hook })).unwrap().early());
        assert!(!taken(json!({ "poststop": hook, "createContainer": null })).unwrap().early());
        assert!(!taken(Value::Null).unwrap().early());
        for refused in [
            json!({ "createContainer": hook }),
            json!({ "startContainer": hook }),
            json!({ "prestart": [{ "path": "relative" }] }),
            json!({ "prestart": [{ "path": "/x", "new": 1 }] }),
            json!({ "unheardOf": [] }),
        ] {
            assert!(taken(refused.clone()).is_err(), "{refused}");
        }
    }
}
