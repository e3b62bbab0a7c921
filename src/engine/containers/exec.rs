//! `exec`: one more process in a running container, through containerd's tasks, because CRI knows neither user nor
//! environment of an exec.

use super::target::Target;
use crate::engine::containerd::{ended, patiently, request};
use crate::engine::error::EngineError;
use crate::engine::lifecycle::{self, Verb};
use crate::engine::point::point;
use crate::engine::{Engine, Inner, blocking};
use crate::model::attach::CLIENTS_ONLY;
use crate::model::container::ExecSpec;
use crate::model::event::Event;
use crate::model::exec::{ADDITION, Addition, STOPPED};
use crate::model::failure::exec_code;
use crate::model::id::ContainerId;
use crate::model::reason::Reason;
use crate::store::{Change, Exec, ExecState};
use containerd_client::services::v1 as api;
use jiff::{SignedDuration, Timestamp};
use prost_types::Any;
use std::collections::BTreeSet;

/// Time for which an exec is remembered after its end.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(5);

/// Exit code of an exec that vanished: it was killed with its container.
const KILLED: i32 = 137;

impl Engine {
    /// Describes a process in a running container and answers its ID (64 hexadecimal digits).
    ///
    /// # Errors
    /// `NotFound`: no such container; `Conflict`: it does not run, or is paused or restarting; `InvalidArgument`: no
    /// command; `CommandNotExecutable`: the user or the working directory is wrong.
    pub async fn create_exec(&self, who: &str, spec: ExecSpec) -> Result<String, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let target = inner.target(who).await?;
        lifecycle::may(Verb::Exec, target.status, &target.id, who)?;
        if spec.command.is_empty() {
            return Err(EngineError::invalid("No exec command specified"));
        }
        let addition = inner.addition(&target, &spec).await.map_err(|error| match error {
            // Docker sees it only when it starts.
            EngineError::Refused { reason: Reason::InvalidArgument, text } => {
                EngineError::Start { code: 126, text }
            }
            other => other,
        })?;
        let id = ContainerId::from_bytes(rand::random());
        let message = api::ExecProcessRequest {
            container_id: target.container.clone(),
            stdin: if spec.stdin { CLIENTS_ONLY.to_owned() } else { String::new() },
            stdout: String::new(),
            stderr: String::new(),
            terminal: spec.tty,
            spec: Some(Any { type_url: ADDITION.to_owned(), value: addition }),
            exec_id: id.to_string(),
        };
        let mut tasks = inner.containerd.tasks();
        tasks.exec(request(message)).await.map_err(EngineError::call("cannot make an exec"))?;
        point("exec.made");
        let exec = Exec {
            id: id.clone(),
            container: target.id.clone(),
            task: target.container.clone(),
            attributes: target.attributes.clone(),
            spec,
            created: Timestamp::now(),
            state: ExecState::Created,
        };
        let event = inner.exec_event(&exec, "exec_create", None);
        inner.records.commit(Change::new().put_exec(&exec).event(event)).await?;
        point("exec.recorded");
        Ok(id.to_string())
    }

    /// Starts an exec.
    ///
    /// # Errors
    /// `NotFound`: no such container or exec; `Conflict`: the container does not run, or the exec was started before;
    /// `CommandNotFound`, `CommandNotExecutable`: its command.
    pub async fn start_exec(&self, who: &str, id: &str) -> Result<(), EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let target = inner.target(who).await?;
        let unknown = || EngineError::refused(Reason::NotFound, format!("No such exec instance: {id}"));
        let id = ContainerId::try_from(id.to_owned()).map_err(|_| unknown())?;
        // Held while it starts: containerd looks at it once more after its start, and must find it.
        let _one = inner.records.lock(&id).await;
        let mut exec = inner.exec(&id).ok_or_else(unknown)?;
        lifecycle::may(Verb::Exec, target.status, &target.id, who)?;
        if exec.state != ExecState::Created {
            return Err(EngineError::refused(
                Reason::Conflict,
                format!("Error: Exec command {id} is already running"),
            ));
        }
        let message = api::StartRequest { container_id: exec.task.clone(), exec_id: id.to_string() };
        let mut tasks = inner.containerd.tasks();
        match tasks.start(request(message)).await {
            Ok(started) => {
                point("exec.started");
                exec.state = ExecState::Running { pid: started.into_inner().pid };
                let event = inner.exec_event(&exec, "exec_start", None);
                inner.records.commit(Change::new().put_exec(&exec).event(event)).await
            }
            Err(status) => {
                let text = status.message().to_owned();
                let code = exec_code(&text);
                inner.delete_exec_process(&exec).await;
                exec.state = ExecState::Ended { code, at: Timestamp::now() };
                inner.records.commit(Change::new().put_exec(&exec)).await?;
                Err(match text.contains(STOPPED) {
                    true => EngineError::refused(
                        Reason::Conflict,
                        format!("container {} is not running", target.id),
                    ),
                    false => EngineError::Start { code, text },
                })
            }
        }
    }
}

impl Inner {
    fn exec(&self, id: &ContainerId) -> Option<Exec> {
        self.records.book().execs.get(id).map(|exec| Exec::clone(exec))
    }

    /// Execs of one CRI container that have not ended, as far as we know.
    fn open_execs(&self, task: &str) -> Vec<Exec> {
        let book = self.records.book();
        let ended = |exec: &Exec| matches!(exec.state, ExecState::Ended { .. });
        book.execs.values().filter(|e| e.task == task && !ended(e)).map(|e| Exec::clone(e)).collect()
    }

    /// IDs of the execs that run in a container.
    pub(super) fn execs_of(&self, container: &ContainerId) -> Vec<String> {
        let book = self.records.book();
        let runs = |exec: &Exec| matches!(exec.state, ExecState::Created | ExecState::Running { .. });
        let of = book.execs.values().filter(|exec| exec.container == *container && runs(exec));
        of.map(|exec| exec.id.to_string()).collect()
    }

    /// Records the end of an exec; one that is not ours is ignored.
    pub(in crate::engine) async fn on_exec_exit(&self, id: &str, code: i32) {
        let Ok(id) = ContainerId::try_from(id.to_owned()) else { return };
        if self.exec(&id).is_none() {
            return;
        }
        // A start that is under way is written down before its end.
        let _one = self.records.lock(&id).await;
        let Some(mut exec) = self.exec(&id) else { return };
        if matches!(exec.state, ExecState::Ended { .. }) {
            return;
        }
        self.delete_exec_process(&exec).await;
        let now = Timestamp::now();
        exec.state = ExecState::Ended { code, at: now };
        let event = self.exec_event(&exec, "exec_die", Some(code));
        let change = self.forget_old_execs(Change::new().put_exec(&exec).event(event), now);
        if let Err(error) = self.records.commit(change).await {
            tracing::warn!(%error, exec = exec.id.as_str(), "cannot record the end of an exec");
        }
    }

    fn forget_old_execs(&self, change: Change, now: Timestamp) -> Change {
        let old = |exec: &Exec| matches!(exec.state, ExecState::Ended { at, .. } if now.duration_since(at) > REMEMBERED);
        let book = self.records.book();
        book.execs.values().filter(|e| old(e)).fold(change, |change, exec| change.remove_exec(&exec.id))
    }

    /// Compares the execs that have not ended with what runs: their ends may have been told to nobody.
    pub(in crate::engine) async fn compare_execs(&self, task: Option<&str>) {
        let book = self.records.book();
        let tasks: BTreeSet<&str> = book.execs.values().map(|e| e.task.as_str()).collect();
        for task in tasks.into_iter().filter(|known| task.is_none_or(|task| task == *known)) {
            for exec in self.open_execs(task) {
                let lock = self.records.lock(&exec.id).await;
                let seen = self.containerd.exec(task, exec.id.as_str()).await;
                drop(lock);
                match seen {
                    Ok(Some(process)) => match ended(&process) {
                        Some((code, _)) => self.on_exec_exit(exec.id.as_str(), code).await,
                        None if exec.state == ExecState::Created && process.pid > 0 => {
                            self.note_exec_runs(&exec.id, process.pid).await;
                        }
                        None => {}
                    },
                    Ok(None) => self.on_exec_exit(exec.id.as_str(), KILLED).await,
                    Err(error) if error.is_missing() => self.on_exec_exit(exec.id.as_str(), KILLED).await,
                    Err(error) => tracing::debug!(%error, exec = exec.id.as_str(), "cannot look at an exec"),
                }
            }
        }
    }

    /// Records the start of an exec that an earlier engine started but did not write down.
    async fn note_exec_runs(&self, id: &ContainerId, pid: u32) {
        let _one = self.records.lock(id).await;
        let Some(mut exec) = self.exec(id).filter(|e| e.state == ExecState::Created) else { return };
        exec.state = ExecState::Running { pid };
        let event = self.exec_event(&exec, "exec_start", None);
        if let Err(error) = self.records.commit(Change::new().put_exec(&exec).event(event)).await {
            tracing::warn!(%error, exec = id.as_str(), "cannot record the start of an exec");
        }
    }

    /// Deletes an exec's process, which has ended or could not be started, from the shim.
    async fn delete_exec_process(&self, exec: &Exec) {
        let deleted = patiently(|| {
            let message =
                api::DeleteProcessRequest { container_id: exec.task.clone(), exec_id: exec.id.to_string() };
            let mut tasks = self.containerd.tasks();
            async move { tasks.delete_process(request(message)).await }
        });
        if let Err(status) = deleted.await
            && status.code() != tonic::Code::NotFound
        {
            tracing::warn!(%status, exec = exec.id.as_str(), "cannot delete an exec");
        }
    }

    fn exec_event(&self, exec: &Exec, action: &str, code: Option<i32>) -> Event {
        let mut more = vec![("execID", exec.id.to_string())];
        if let Some(code) = code {
            more.push(("exitCode", code.to_string()));
        }
        // Docker's actions of the first two carry the command.
        let action = if code.is_some() {
            action.to_owned()
        } else {
            format!("{action}: {}", exec.spec.command.join(" "))
        };
        self.target_event(&exec.container, &exec.attributes, &action, &more)
    }

    /// The exec's differences from the container's process, for the shim, as JSON.
    async fn addition(&self, target: &Target, wanted: &ExecSpec) -> Result<Vec<u8>, EngineError> {
        if !wanted.working_dir.is_empty() && !wanted.working_dir.starts_with('/') {
            return Err(EngineError::invalid("Cwd must be an absolute path"));
        }
        let user = match wanted.user.as_str() {
            "" => None,
            user => {
                let pid = self.containerd.pid(&target.container).await?;
                let (user, more) = (user.to_owned(), target.more_groups.clone());
                Some(blocking(move || super::user::resolve(pid, &user, &more)).await??)
            }
        };
        let addition = Addition {
            args: wanted.command.clone(),
            env: wanted.env.clone(),
            user,
            working_dir: wanted.working_dir.clone(),
            terminal: wanted.tty,
            terminal_size: wanted.terminal_size,
            privileged: wanted.privileged,
        };
        serde_json::to_vec(&addition)
            .map_err(|e| EngineError::Broken(format!("cannot describe an exec: {e}")))
    }
}
