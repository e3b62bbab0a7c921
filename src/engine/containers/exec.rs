//! `exec`: one more process in a running container, through containerd's tasks, because CRI knows neither user nor
//! environment of an exec.

use crate::engine::containerd::{patiently, request};
use crate::engine::error::{EngineError, start_code};
use crate::engine::{Engine, Inner, blocking, events};
use crate::model::attach::CLIENTS_ONLY;
use crate::model::capability::NAMES;
use crate::model::container::{ExecSpec, Status};
use crate::model::id::ContainerId;
use crate::model::reason::Reason;
use crate::store::{Change, Record};
use containerd_client::services::v1 as api;
use jiff::Timestamp;
use prost_types::Any;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Mutex as AsyncMutex;

/// The type of an OCI process description, as containerd's `typeurl` has it.
const PROCESS: &str = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/// One that was made here. Forgotten when it ends; what the shim keeps is enough for its clients.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Exec {
    /// Its container's when it was made; that may be somebody else's, of whom nothing is stored.
    record: Arc<Record>,
    command: String,
    /// Held while it starts: containerd looks at it once more after its start, and must find it.
    starting: Arc<AsyncMutex<()>>,
}

impl Engine {
    /// Describes a process in a running container and answers its ID (64 hexadecimal digits).
    pub async fn create_exec(&self, who: &str, spec: ExecSpec) -> Result<String, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let record = inner.find_any(who).await?;
        refuse_unless_running(&record, who)?;
        if spec.command.is_empty() {
            return Err(EngineError::invalid("No exec command specified"));
        }
        let process = inner.exec_process(&record, &spec).await.map_err(|error| match error {
            // Docker sees it only when it starts.
            EngineError::Refused { reason: Reason::InvalidArgument, text } => {
                EngineError::Start { code: 126, text }
            }
            other => other,
        })?;
        let id = ContainerId::from_bytes(rand::random()).to_string();
        let command = spec.command.join(" ");
        let shared = Arc::new(record.clone());
        let exec = Exec { record: shared, command: command.clone(), starting: Arc::default() };
        if let Ok(mut execs) = inner.execs.lock() {
            execs.insert(id.clone(), exec);
        }
        let message = api::ExecProcessRequest {
            container_id: record.container.clone(),
            stdin: if spec.stdin { CLIENTS_ONLY.to_owned() } else { String::new() },
            stdout: String::new(),
            stderr: String::new(),
            terminal: spec.tty,
            spec: Some(Any { type_url: PROCESS.to_owned(), value: process.to_string().into_bytes() }),
            exec_id: id.clone(),
        };
        let mut tasks = inner.containerd.tasks();
        tasks.exec(request(message)).await.map_err(EngineError::call("cannot make an exec"))?;
        inner.exec_event(&record, "exec_create", &id, &command, None).await;
        Ok(id)
    }

    /// Starts it.
    pub async fn start_exec(&self, who: &str, id: &str) -> Result<(), EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let record = inner.find_any(who).await?;
        let exec = inner
            .exec_of(id)
            .ok_or_else(|| EngineError::refused(Reason::NotFound, format!("No such exec instance: {id}")))?;
        refuse_unless_running(&record, who)?;
        let message = api::StartRequest { container_id: record.container.clone(), exec_id: id.to_owned() };
        let mut tasks = inner.containerd.tasks();
        let starting = exec.starting.lock().await;
        let answer = tasks.start(request(message)).await;
        drop(starting);
        if let Err(status) = answer {
            inner.delete_exec(&record.container, id).await;
            let text = status.message().to_owned();
            return Err(EngineError::Start { code: start_code(&text), text });
        }
        inner.exec_event(&record, "exec_start", id, &exec.command, None).await;
        Ok(())
    }
}

/// In Docker's words.
fn refuse_unless_running(record: &Record, who: &str) -> Result<(), EngineError> {
    match record.status {
        Status::Running => Ok(()),
        Status::Paused => Err(EngineError::refused(
            Reason::Conflict,
            format!("Container {who} is paused, unpause the container before exec"),
        )),
        Status::Restarting => Err(EngineError::refused(
            Reason::Conflict,
            format!("Container {} is restarting, wait until the container is running", record.id),
        )),
        _ => Err(EngineError::refused(Reason::Conflict, format!("container {} is not running", record.id))),
    }
}

impl Inner {
    fn exec_of(&self, id: &str) -> Option<Exec> {
        self.execs.lock().ok()?.get(id).cloned()
    }

    /// IDs of the processes that were added to a container and have not ended.
    pub(super) fn execs_of(&self, container: &ContainerId) -> Vec<String> {
        let Ok(execs) = self.execs.lock() else { return Vec::new() };
        execs.iter().filter(|(_, exec)| exec.record.id == *container).map(|(id, _)| id.clone()).collect()
    }

    /// A process that was added has ended.
    pub(in crate::engine) async fn on_exec_exit(self: &Arc<Self>, container: &str, id: &str, code: u32) {
        if let Some(exec) = self.exec_of(id) {
            drop(exec.starting.lock().await);
            self.delete_exec(container, id).await;
            // It may have another name by now.
            let record = self.record_of(container).unwrap_or_else(|| (*exec.record).clone());
            self.exec_event(&record, "exec_die", id, &exec.command, Some(code)).await;
        }
    }

    async fn delete_exec(&self, container: &str, id: &str) {
        if let Ok(mut execs) = self.execs.lock() {
            execs.remove(id);
        }
        let deleted = patiently(|| {
            let message =
                api::DeleteProcessRequest { container_id: container.to_owned(), exec_id: id.to_owned() };
            let mut tasks = self.containerd.tasks();
            async move { tasks.delete_process(request(message)).await }
        });
        if let Err(status) = deleted.await
            && status.code() != tonic::Code::NotFound
        {
            tracing::warn!(%status, exec = id, "cannot delete an exec");
        }
    }

    async fn exec_event(&self, record: &Record, action: &str, id: &str, command: &str, code: Option<u32>) {
        let mut more = vec![("execID", id.to_owned())];
        if let Some(code) = code {
            more.push(("exitCode", code.to_string()));
        }
        // Docker's actions of the first two carry the command.
        let action = if code.is_some() { action.to_owned() } else { format!("{action}: {command}") };
        let event = events::container(record, &action, Timestamp::now(), &more);
        if let Err(error) = self.commit(Change::new().event(event)).await {
            tracing::warn!(%error, exec = id, "cannot record an event");
        }
    }

    /// The container's own process description with what is asked for instead.
    async fn exec_process(&self, record: &Record, wanted: &ExecSpec) -> Result<Value, EngineError> {
        let message = api::GetContainerRequest { id: record.container.clone() };
        let answer = self
            .containerd
            .containers()
            .get(request(message))
            .await
            .map_err(EngineError::call("cannot look at the container"))?;
        let spec = answer.into_inner().container.and_then(|c| c.spec).unwrap_or_default();
        let mut spec: Value = serde_json::from_slice(&spec.value)
            .map_err(|e| EngineError::Broken(format!("the container's specification: {e}")))?;
        let mut process = spec["process"].take();
        process["args"] = json!(wanted.command);
        process["terminal"] = json!(wanted.tty);
        if let Some(process) = process.as_object_mut() {
            // That of the container's own terminal.
            process.remove("consoleSize");
        }
        if let (true, Some((columns, rows))) = (wanted.tty, wanted.terminal_size) {
            process["consoleSize"] = json!({ "height": rows, "width": columns });
        }
        if !wanted.working_dir.is_empty() {
            if !wanted.working_dir.starts_with('/') {
                return Err(EngineError::invalid("Cwd must be an absolute path"));
            }
            process["cwd"] = json!(wanted.working_dir);
        }
        process["env"] = json!(environment(&process["env"], wanted));
        if wanted.privileged {
            let all: Vec<String> = capabilities();
            process["capabilities"] = json!({ "bounding": all, "effective": all, "permitted": all });
            process["apparmorProfile"] = json!("");
        }
        if !wanted.user.is_empty() {
            let pid = self.containerd.pid(&record.container).await?;
            let text = wanted.user.clone();
            process["user"] = blocking(move || super::user::resolve(pid, &text)).await??;
            if process["user"]["uid"] != 0
                && !wanted.privileged
                && let Some(sets) = process["capabilities"].as_object_mut()
            {
                // As for a container whose user is not root.
                sets.retain(|key, _| key == "bounding" || key == "inheritable");
            }
        }
        Ok(process)
    }
}

fn environment(container: &Value, wanted: &ExecSpec) -> Vec<String> {
    let key = |entry: &str| entry.split('=').next().unwrap_or(entry).to_owned();
    let mut all: Vec<String> =
        container.as_array().into_iter().flatten().filter_map(|e| e.as_str().map(str::to_owned)).collect();
    all.retain(|e| key(e) != "TERM" || wanted.tty);
    if wanted.tty && !all.iter().any(|e| key(e) == "TERM") {
        all.push("TERM=xterm".to_owned());
    }
    for entry in &wanted.env {
        all.retain(|e| key(e) != key(entry));
        if entry.contains('=') {
            all.push(entry.clone());
        }
    }
    all
}

/// Those that this kernel knows and that we have ourselves.
fn capabilities() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let own = status
        .lines()
        .find_map(|l| u64::from_str_radix(l.strip_prefix("CapEff:")?.trim(), 16).ok())
        .unwrap_or(0);
    (0..)
        .zip(NAMES)
        .filter(|(bit, _)| own & (1 << *bit) != 0)
        .map(|(_, name)| format!("CAP_{name}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_the_containers_and_more() {
        let container = json!(["PATH=/bin", "A=1", "TERM=xterm"]);
        let spec = ExecSpec { env: vec!["A=2".into(), "B=3".into()], ..ExecSpec::default() };
        assert_eq!(environment(&container, &spec), ["PATH=/bin", "A=2", "B=3"]);
        let spec = ExecSpec { tty: true, ..ExecSpec::default() };
        assert_eq!(environment(&json!([]), &spec), ["TERM=xterm"]);
    }
}
