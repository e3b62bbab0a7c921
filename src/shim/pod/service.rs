//! containerd's sandbox service (runtime/sandbox/v1): the pod, as its controller "shim" asks for it.

use super::{Kept, Pod, Stage, sum};
use crate::proto::cri::PodSandboxConfig;
use crate::shim::Shared;
use crate::shim::bootstrap::RUNTIME_TYPE;
use crate::shim::cgroup::Cgroup;
use crate::shim::publisher::timestamp;
use crate::shim::reaper::Exit;
use crate::shim::service::{Service, any, refuse, unsigned};
use async_trait::async_trait;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::sandbox_api as api;
use containerd_shim_protos::sandbox_async;
use containerd_shim_protos::ttrpc::r#async::TtrpcContext;
use containerd_shim_protos::ttrpc::{Code, Result};
use prost::Message;
use serde_json::json;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

/// CRI's words for a pod's state.
const READY: &str = "SANDBOX_READY";
const NOT_READY: &str = "SANDBOX_NOTREADY";

/// The service.
pub(in crate::shim) struct Sandbox {
    pub(in crate::shim) shared: Arc<Shared>,
    pub(in crate::shim) tasks: Arc<Service>,
}

impl Sandbox {
    fn pod(&self, id: &str) -> Result<Arc<Pod>> {
        let pod = self.shared.pod().filter(|pod| pod.id == id);
        pod.ok_or_else(|| refuse(Code::NOT_FOUND, format!("pod {id} not found")))
    }

    /// Ends all that runs in the pod, and gives up what it holds.
    async fn stop(&self, pod: &Pod, exit: Exit) {
        self.tasks.end_all().await;
        pod.stop(exit);
    }

    /// Follows the process that keeps the pod's namespaces to its end.
    fn follow(&self, pod: &Arc<Pod>) {
        let pid = match &*pod.kept.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Kept::Process(pid)) => *pid,
            _ => return,
        };
        let ended = self.shared.reaper.watch(pid);
        let (tasks, pod) = (self.tasks.clone(), pod.clone());
        tokio::spawn(async move {
            let exit = ended.await.unwrap_or(Exit { status: 255, time: SystemTime::now() });
            tasks.end_all().await;
            pod.stop(exit);
        });
    }
}

fn config(options: Option<Any>) -> Result<PodSandboxConfig> {
    let value = options.unwrap_or_default().value;
    let invalid = |error| refuse(Code::INVALID_ARGUMENT, format!("the pod's configuration: {error}"));
    PodSandboxConfig::decode(value.as_slice()).map_err(invalid)
}

fn no_exit() -> Exit {
    Exit { status: 0, time: SystemTime::now() }
}

#[async_trait]
impl sandbox_async::Sandbox for Sandbox {
    async fn create_sandbox(
        &self,
        _: &TtrpcContext,
        req: api::CreateSandboxRequest,
    ) -> Result<api::CreateSandboxResponse> {
        if self.shared.pod().is_some() {
            return Err(refuse(Code::ALREADY_EXISTS, format!("pod {} already exists", req.sandbox_id)));
        }
        let config = config(req.options.into_option())?;
        let pod = Pod::make(&self.shared.dir, &req.sandbox_id, &config, &req.netns_path)
            .map_err(|why| refuse(Code::UNKNOWN, why))?;
        self.shared.pod.lock().unwrap_or_else(PoisonError::into_inner).replace(Arc::new(pod));
        Ok(api::CreateSandboxResponse::new())
    }

    async fn start_sandbox(
        &self,
        _: &TtrpcContext,
        req: api::StartSandboxRequest,
    ) -> Result<api::StartSandboxResponse> {
        let pod = self.pod(&req.sandbox_id)?;
        if pod.stage() != Stage::Made {
            return Err(refuse(Code::FAILED_PRECONDITION, "the pod was started before"));
        }
        let number = pod.start(&self.shared.reaper).await.map_err(|why| refuse(Code::UNKNOWN, why))?;
        self.follow(&pod);
        Ok(api::StartSandboxResponse {
            pid: unsigned(number),
            created_at: Some(timestamp(pod.created)).into(),
            ..Default::default()
        })
    }

    async fn platform(&self, _: &TtrpcContext, req: api::PlatformRequest) -> Result<api::PlatformResponse> {
        self.pod(&req.sandbox_id)?;
        let mut answer = api::PlatformResponse::new();
        let platform = answer.platform.mut_or_insert_default();
        platform.os = "linux".to_owned();
        platform.architecture = match std::env::consts::ARCH {
            "aarch64" => "arm64",
            _ => "amd64",
        }
        .to_owned();
        Ok(answer)
    }

    async fn stop_sandbox(
        &self,
        _: &TtrpcContext,
        req: api::StopSandboxRequest,
    ) -> Result<api::StopSandboxResponse> {
        let pod = self.pod(&req.sandbox_id)?;
        self.stop(&pod, no_exit()).await;
        Ok(api::StopSandboxResponse::new())
    }

    async fn wait_sandbox(
        &self,
        _: &TtrpcContext,
        req: api::WaitSandboxRequest,
    ) -> Result<api::WaitSandboxResponse> {
        let exit = self.pod(&req.sandbox_id)?.ended().await;
        Ok(api::WaitSandboxResponse {
            exit_status: exit.status,
            exited_at: Some(timestamp(exit.time)).into(),
            ..Default::default()
        })
    }

    async fn sandbox_status(
        &self,
        _: &TtrpcContext,
        req: api::SandboxStatusRequest,
    ) -> Result<api::SandboxStatusResponse> {
        let mut answer = api::SandboxStatusResponse {
            sandbox_id: req.sandbox_id,
            state: NOT_READY.to_owned(),
            ..Default::default()
        };
        // One that containerd has not come to make is there, and is not ready.
        let Some(pod) = self.shared.pod() else { return Ok(answer) };
        answer.created_at = Some(timestamp(pod.created)).into();
        let process = match pod.stage() {
            Stage::Made => "created",
            Stage::Ready(number) => {
                answer.pid = unsigned(number);
                READY.clone_into(&mut answer.state);
                "running"
            }
            Stage::Over(exit) => {
                answer.exited_at = Some(timestamp(exit.time)).into();
                "stopped"
            }
        };
        if req.verbose {
            let info = json!({ "pid": answer.pid, "processStatus": process, "runtimeType": RUNTIME_TYPE });
            answer.info.insert("info".to_owned(), info.to_string());
        }
        Ok(answer)
    }

    async fn ping_sandbox(&self, _: &TtrpcContext, req: api::PingRequest) -> Result<api::PingResponse> {
        self.pod(&req.sandbox_id).map(|_| api::PingResponse::new())
    }

    async fn shutdown_sandbox(
        &self,
        _: &TtrpcContext,
        _: api::ShutdownSandboxRequest,
    ) -> Result<api::ShutdownSandboxResponse> {
        self.tasks.close().await?;
        Ok(api::ShutdownSandboxResponse::new())
    }

    async fn sandbox_metrics(
        &self,
        _: &TtrpcContext,
        req: api::SandboxMetricsRequest,
    ) -> Result<api::SandboxMetricsResponse> {
        let pod = self.pod(&req.sandbox_id)?;
        let metrics = match pod.cgroup.as_ref().filter(|folder| folder.exists()) {
            Some(folder) => Cgroup::at(folder.clone()).metrics(),
            None => sum(&self.tasks.metrics()),
        };
        let mut answer = api::SandboxMetricsResponse::new();
        let metric = answer.metrics.mut_or_insert_default();
        metric.timestamp = Some(timestamp(SystemTime::now())).into();
        metric.id = req.sandbox_id;
        metric.data = Some(any(&metrics)?).into();
        Ok(answer)
    }
}
