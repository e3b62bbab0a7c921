//! containerd's task service (runtime v2, task API v3) for all containers of a pod.

use super::adapt;
use super::container::{Container, ContainerError};
use super::process::{Process, Stage};
use super::publisher::timestamp;
use super::reaper::Exit;
use super::runc::Stdio3;
use super::stdio::Paths;
use super::{Shared, log};
use crate::sys::mount::Layer;
use async_trait::async_trait;
use containerd_shim_protos::api as shim;
use containerd_shim_protos::cgroups_v2::metrics::Metrics;
use containerd_shim_protos::events::task as events;
use containerd_shim_protos::protobuf::MessageFull;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim_async::Task;
use containerd_shim_protos::ttrpc::r#async::TtrpcContext;
use containerd_shim_protos::ttrpc::{Code, Error, Result, get_status};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The time for a process that was killed to end.
const LONGEST_DEATH: Duration = Duration::from_secs(10);

/// The service.
pub(super) struct Service {
    shared: Arc<Shared>,
    containers: Mutex<HashMap<String, Arc<Container>>>,
}

pub(super) fn refuse(code: Code, text: impl Into<String>) -> Error {
    Error::RpcStatus(get_status(code, text.into()))
}

fn failed(error: ContainerError) -> Error {
    refuse(Code::UNKNOWN, error.to_string())
}

impl Service {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, containers: Mutex::default() }
    }

    fn all(&self) -> Vec<Arc<Container>> {
        self.containers.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn has_containers(&self) -> bool {
        !self.containers.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Ends all processes of all containers, and waits for it, but not for ever.
    pub(super) async fn end_all(&self) {
        let all = self.all();
        for container in all.iter().filter(|c| !c.init.is_over()) {
            container.signal_all(9);
        }
        for container in all.iter().filter(|c| c.init.pid() > 0) {
            if tokio::time::timeout(LONGEST_DEATH, container.init.ended()).await.is_err() {
                log(&format!("container {} does not end", container.id));
            }
        }
    }

    /// Ends the pod, and this process. What cannot be removed keeps both.
    pub(super) async fn close(&self) -> Result<()> {
        self.end_all().await;
        for container in self.all() {
            container.clean(&self.shared).await;
        }
        if let Some(pod) = self.shared.pod() {
            pod.remove().map_err(|why| refuse(Code::UNKNOWN, why))?;
        }
        // `delete` takes a shim that listens for one that nobody has told to end.
        let _ = std::fs::remove_file(&self.shared.socket);
        self.shared.shutdown.cancel();
        Ok(())
    }

    /// Figures of all containers.
    pub(super) fn metrics(&self) -> Vec<Metrics> {
        self.all().iter().map(|container| container.metrics()).collect()
    }

    fn container(&self, id: &str) -> Result<Arc<Container>> {
        let all = self.containers.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(id).cloned().ok_or_else(|| refuse(Code::NOT_FOUND, format!("container {id} not found")))
    }

    fn process(&self, id: &str, exec: &str) -> Result<(Arc<Container>, Arc<Process>)> {
        let container = self.container(id)?;
        if exec.is_empty() {
            let init = container.init.clone();
            return Ok((container, init));
        }
        let found = container.execs.lock().unwrap_or_else(PoisonError::into_inner).get(exec).cloned();
        let process = found.ok_or_else(|| refuse(Code::NOT_FOUND, format!("process {exec} not found")))?;
        Ok((container, process))
    }

    /// Follows a process to its end.
    fn follow(&self, container: &Arc<Container>, process: &Arc<Process>) {
        let mut ended = self.shared.reaper.watch(process.pid());
        let (shared, container, process) = (self.shared.clone(), container.clone(), process.clone());
        tokio::spawn(async move {
            let first = process.exec.is_empty();
            let mut watch = container.cgroup().filter(|_| first).and_then(|c| c.watch_oom().ok());
            let mut told = 0;
            let oom = || {
                let event = events::TaskOOM { container_id: container.id.clone(), ..Default::default() };
                shared.publisher.publish("/tasks/oom", &event);
            };
            let exit = loop {
                let kill = async {
                    match &mut watch {
                        Some(watch) => watch.next().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    exit = &mut ended => break exit.unwrap_or(Exit { status: 255, time: SystemTime::now() }),
                    kills = kill => match kills {
                        Ok(kills) => {
                            told = kills;
                            oom();
                        }
                        Err(_) => watch = None,
                    },
                }
            };
            // A start that is under way holds the gate, and would wait for the dead.
            process.dead.cancel();
            let _started = process.gate.lock().await;
            if first && container.cgroup().is_some_and(|c| c.oom_kills() > told) {
                oom();
            }
            process.has_ended(exit);
            let id = if process.exec.is_empty() { &container.id } else { &process.exec };
            let event = events::TaskExit {
                container_id: container.id.clone(),
                id: id.clone(),
                pid: unsigned(process.pid()),
                exit_status: exit.status,
                exited_at: Some(timestamp(exit.time)).into(),
                ..Default::default()
            };
            shared.publisher.publish("/tasks/exit", &event);
        });
    }
}

pub(super) fn unsigned(pid: i32) -> u32 {
    u32::try_from(pid).unwrap_or(0)
}

/// A message in the form of containerd's `typeurl`, with its bare name as the type.
pub(super) fn any<M: MessageFull>(message: &M) -> Result<Any> {
    let value = message.write_to_bytes().map_err(|e| refuse(Code::INTERNAL, e.to_string()))?;
    Ok(Any { type_url: M::descriptor().full_name().to_owned(), value, ..Default::default() })
}

#[async_trait]
impl Task for Service {
    async fn create(
        &self,
        _: &TtrpcContext,
        req: shim::CreateTaskRequest,
    ) -> Result<shim::CreateTaskResponse> {
        if !req.checkpoint.is_empty() {
            return Err(refuse(Code::UNIMPLEMENTED, "restoring from a checkpoint is not supported"));
        }
        if self.container(&req.id).is_ok() {
            return Err(refuse(Code::ALREADY_EXISTS, format!("container {} already exists", req.id)));
        }
        let layers: Vec<Layer> = req
            .rootfs
            .iter()
            .map(|m| Layer { kind: m.type_.clone(), source: m.source.clone(), options: m.options.clone() })
            .collect();
        let paths = Paths {
            stdin: req.stdin.clone(),
            stdout: req.stdout.clone(),
            stderr: req.stderr.clone(),
            terminal: req.terminal,
            log: None,
        };
        let bundle = PathBuf::from(&req.bundle);
        let container =
            Container::create(&self.shared, &req.id, &bundle, &layers, paths).await.map_err(failed)?;
        let container = Arc::new(container);
        let pid = unsigned(container.init.pid());
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(req.id.clone(), container.clone());
        let io = events::TaskIO {
            stdin: req.stdin,
            stdout: req.stdout,
            stderr: req.stderr,
            terminal: req.terminal,
            ..Default::default()
        };
        let event = events::TaskCreate {
            container_id: req.id,
            bundle: req.bundle,
            rootfs: req.rootfs,
            io: Some(io).into(),
            pid,
            ..Default::default()
        };
        self.shared.publisher.publish("/tasks/create", &event);
        let init = container.init.clone();
        self.follow(&container, &init);
        Ok(shim::CreateTaskResponse { pid, ..Default::default() })
    }

    async fn start(&self, _: &TtrpcContext, req: shim::StartRequest) -> Result<shim::StartResponse> {
        let (container, process) = self.process(&req.id, &req.exec_id)?;
        let _gate = process.gate.lock().await;
        if process.stage() != Stage::Created {
            return Err(refuse(Code::FAILED_PRECONDITION, "the process was started before"));
        }
        if req.exec_id.is_empty() {
            container.start(&self.shared).await.map_err(failed)?;
            let pid = unsigned(process.pid());
            let event = events::TaskStart { container_id: req.id, pid, ..Default::default() };
            self.shared.publisher.publish("/tasks/start", &event);
        } else {
            if let Err(error) = container.start_exec(&self.shared, &process).await {
                process.has_ended(Exit { status: 255, time: SystemTime::now() });
                return Err(failed(error));
            }
            self.follow(&container, &process);
            let event = events::TaskExecStarted {
                container_id: req.id,
                exec_id: req.exec_id,
                pid: unsigned(process.pid()),
                ..Default::default()
            };
            self.shared.publisher.publish("/tasks/exec-started", &event);
        }
        Ok(shim::StartResponse { pid: unsigned(process.pid()), ..Default::default() })
    }

    async fn exec(&self, _: &TtrpcContext, req: shim::ExecProcessRequest) -> Result<shim::Empty> {
        let container = self.container(&req.id)?;
        let paths = Paths {
            stdin: req.stdin,
            stdout: req.stdout,
            stderr: req.stderr,
            terminal: req.terminal,
            log: None,
        };
        let any = req.spec.into_option().unwrap_or_default();
        let spec = container.describe(&any.type_url, &any.value).map_err(failed)?;
        let hub = self.shared.hub(&req.id, &req.exec_id);
        let process = Arc::new(Process::new(req.exec_id.clone(), paths, hub, Some(spec)));
        {
            let mut execs = container.execs.lock().unwrap_or_else(PoisonError::into_inner);
            if execs.contains_key(&req.exec_id) {
                return Err(refuse(Code::ALREADY_EXISTS, format!("process {} already exists", req.exec_id)));
            }
            execs.insert(req.exec_id.clone(), process);
        }
        let event =
            events::TaskExecAdded { container_id: req.id, exec_id: req.exec_id, ..Default::default() };
        self.shared.publisher.publish("/tasks/exec-added", &event);
        Ok(shim::Empty::new())
    }

    async fn state(&self, _: &TtrpcContext, req: shim::StateRequest) -> Result<shim::StateResponse> {
        let (container, process) = self.process(&req.id, &req.exec_id)?;
        let mut answer = shim::StateResponse {
            id: req.id,
            bundle: container.bundle.display().to_string(),
            pid: unsigned(process.pid()),
            stdin: process.paths.stdin.clone(),
            stdout: process.paths.stdout.clone(),
            stderr: process.paths.stderr.clone(),
            terminal: process.paths.terminal,
            exec_id: req.exec_id,
            ..Default::default()
        };
        // A paused process runs, for containerd: its CRI knows no pause, and would lose the exit of a container that it
        // finds paused.
        answer.status = match process.stage() {
            Stage::Created => shim::Status::CREATED,
            Stage::Running => shim::Status::RUNNING,
            Stage::Stopped(exit) => {
                answer.exit_status = exit.status;
                answer.exited_at = Some(timestamp(exit.time)).into();
                shim::Status::STOPPED
            }
        }
        .into();
        Ok(answer)
    }

    async fn delete(&self, _: &TtrpcContext, req: shim::DeleteRequest) -> Result<shim::DeleteResponse> {
        let (container, process) = self.process(&req.id, &req.exec_id)?;
        match process.stage() {
            Stage::Running => {
                return Err(refuse(
                    Code::FAILED_PRECONDITION,
                    "the process has not stopped: it cannot be deleted",
                ));
            }
            Stage::Created if process.pid() > 0 => {
                let _ = process.signal(9);
            }
            Stage::Created => process.has_ended(Exit { status: 0, time: SystemTime::now() }),
            Stage::Stopped(_) => {}
        }
        let exit = process.ended().await;
        process.flush().await;
        if req.exec_id.is_empty() {
            container.clean(&self.shared).await;
            self.containers.lock().unwrap_or_else(PoisonError::into_inner).remove(&req.id);
        } else {
            container.execs.lock().unwrap_or_else(PoisonError::into_inner).remove(&req.exec_id);
        }
        self.shared.deleted(&req.id, &req.exec_id);
        let (pid, exited_at) = (unsigned(process.pid()), Some(timestamp(exit.time)));
        if req.exec_id.is_empty() {
            let event = events::TaskDelete {
                container_id: req.id,
                pid,
                exit_status: exit.status,
                exited_at: exited_at.clone().into(),
                ..Default::default()
            };
            self.shared.publisher.publish("/tasks/delete", &event);
        }
        Ok(shim::DeleteResponse {
            pid,
            exit_status: exit.status,
            exited_at: exited_at.into(),
            ..Default::default()
        })
    }

    async fn kill(&self, _: &TtrpcContext, req: shim::KillRequest) -> Result<shim::Empty> {
        let (container, process) = self.process(&req.id, &req.exec_id)?;
        let signal = i32::try_from(req.signal).unwrap_or(0);
        if req.all {
            container.signal_all(signal);
            return Ok(shim::Empty::new());
        }
        match process.signal(signal) {
            Ok(()) => Ok(shim::Empty::new()),
            Err(nix::errno::Errno::ESRCH) => {
                Err(refuse(Code::NOT_FOUND, "process already finished: process not found"))
            }
            Err(error) => {
                Err(refuse(Code::INVALID_ARGUMENT, format!("cannot send signal {signal}: {error}")))
            }
        }
    }

    async fn wait(&self, _: &TtrpcContext, req: shim::WaitRequest) -> Result<shim::WaitResponse> {
        let (_, process) = self.process(&req.id, &req.exec_id)?;
        let exit = process.ended().await;
        Ok(shim::WaitResponse {
            exit_status: exit.status,
            exited_at: Some(timestamp(exit.time)).into(),
            ..Default::default()
        })
    }

    async fn pids(&self, _: &TtrpcContext, req: shim::PidsRequest) -> Result<shim::PidsResponse> {
        let container = self.container(&req.id)?;
        let mut pids = container.pids();
        // A containerd that comes back takes a shim without processes for one that never had a task, and cleans it away,
        // exit code and all: until it is deleted, a task has its first process.
        if pids.is_empty() {
            pids.push(container.init.pid());
        }
        let processes = pids
            .into_iter()
            .map(|pid| shim::ProcessInfo { pid: unsigned(pid), ..Default::default() })
            .collect();
        Ok(shim::PidsResponse { processes, ..Default::default() })
    }

    async fn pause(&self, _: &TtrpcContext, req: shim::PauseRequest) -> Result<shim::Empty> {
        self.container(&req.id)?.freeze(true).await.map_err(failed)?;
        let event = events::TaskPaused { container_id: req.id, ..Default::default() };
        self.shared.publisher.publish("/tasks/paused", &event);
        Ok(shim::Empty::new())
    }

    async fn resume(&self, _: &TtrpcContext, req: shim::ResumeRequest) -> Result<shim::Empty> {
        self.container(&req.id)?.freeze(false).await.map_err(failed)?;
        let event = events::TaskResumed { container_id: req.id, ..Default::default() };
        self.shared.publisher.publish("/tasks/resumed", &event);
        Ok(shim::Empty::new())
    }

    async fn resize_pty(&self, _: &TtrpcContext, req: shim::ResizePtyRequest) -> Result<shim::Empty> {
        let (_, process) = self.process(&req.id, &req.exec_id)?;
        let number = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
        if let Some(input) = process.hub.input() {
            input
                .resize(number(req.width), number(req.height))
                .map_err(|e| refuse(Code::FAILED_PRECONDITION, e.to_string()))?;
        }
        Ok(shim::Empty::new())
    }

    async fn close_io(&self, _: &TtrpcContext, req: shim::CloseIORequest) -> Result<shim::Empty> {
        let (_, process) = self.process(&req.id, &req.exec_id)?;
        if let (true, Some(input)) = (req.stdin, process.hub.input()) {
            input.hang_up();
        }
        Ok(shim::Empty::new())
    }

    async fn update(&self, _: &TtrpcContext, req: shim::UpdateTaskRequest) -> Result<shim::Empty> {
        let container = self.container(&req.id)?;
        let bytes = req.resources.into_option().map(|any| any.value).unwrap_or_default();
        let invalid = |e: std::io::Error| refuse(Code::INVALID_ARGUMENT, format!("resources: {e}"));
        let resources: serde_json::Value = serde_json::from_slice(&bytes).map_err(|e| invalid(e.into()))?;
        let mut spec = serde_json::json!({ "linux": { "resources": resources } });
        adapt::adapt(&mut spec, &adapt::probe());
        if container.is_ours() {
            container.update_here(&spec["linux"]["resources"]).map_err(failed)?;
            return Ok(shim::Empty::new());
        }
        let path = container.bundle.join("update.json");
        std::fs::write(&path, spec["linux"]["resources"].to_string()).map_err(invalid)?;
        let log = container.bundle.join("update.log.json");
        let args = ["--resources".as_ref(), path.as_os_str(), container.id.as_ref()];
        let answer = self.shared.runc.call("update", &log, &args, Stdio3::default()).await;
        for file in [path, log] {
            let _ = std::fs::remove_file(file);
        }
        answer.map_err(|e| failed(e.into()))?;
        Ok(shim::Empty::new())
    }

    async fn stats(&self, _: &TtrpcContext, req: shim::StatsRequest) -> Result<shim::StatsResponse> {
        let stats = any(&self.container(&req.id)?.metrics())?;
        Ok(shim::StatsResponse { stats: Some(stats).into(), ..Default::default() })
    }

    async fn connect(&self, _: &TtrpcContext, req: shim::ConnectRequest) -> Result<shim::ConnectResponse> {
        let task_pid = self.container(&req.id).map_or(0, |c| unsigned(c.init.pid()));
        Ok(shim::ConnectResponse {
            shim_pid: std::process::id(),
            task_pid,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Default::default()
        })
    }

    async fn shutdown(&self, _: &TtrpcContext, req: shim::ShutdownRequest) -> Result<shim::Empty> {
        match self.shared.pod() {
            // containerd has found the shim of a pod that it knows nothing of.
            Some(pod) if pod.id == req.id => self.close().await?,
            // The pod, or other containers of it, need us still.
            Some(_) => {}
            None if self.all().is_empty() => self.shared.shutdown.cancel(),
            None => {}
        }
        Ok(shim::Empty::new())
    }
}
