//! CRI v1: pods and containers, as containerd's own plugin makes them.

use super::call::{call, patiently, request};
use super::{EngineError, MESSAGE_LIMIT, words};
use crate::proto::cri;
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::{DeleteTaskRequest, KillRequest};
use cri::image_service_client::ImageServiceClient;
use cri::runtime_service_client::RuntimeServiceClient;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// Label of a pod and a container: the record's ID.
pub(in crate::engine) const LABEL_ID: &str = "io.k3c.id";
/// Label of a pod and a container: the attempt's number.
pub(in crate::engine) const LABEL_ATTEMPT: &str = "io.k3c.attempt";
/// Label of a pod and a container: the container's name.
pub(in crate::engine) const LABEL_NAME: &str = "io.k3c.name";

/// Longest time that a pod or container may refuse to be removed.
const REMOVAL_PATIENCE: Duration = Duration::from_secs(5);

/// CRI's runtime and image services. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Cri {
    channel: Channel,
}

impl Cri {
    pub(in crate::engine) fn new(channel: Channel) -> Self {
        Self { channel }
    }

    pub(in crate::engine) fn runtime(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    pub(in crate::engine) fn images(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel.clone()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    pub(in crate::engine) async fn run_pod(
        &self,
        config: &cri::PodSandboxConfig,
        runtime_handler: &str,
    ) -> Result<String, EngineError> {
        let end = Instant::now() + REMOVAL_PATIENCE;
        loop {
            let answer = patiently(|| {
                let message = cri::RunPodSandboxRequest {
                    config: Some(config.clone()),
                    runtime_handler: runtime_handler.to_owned(),
                };
                let mut runtime = self.runtime();
                async move { runtime.run_pod_sandbox(message).await }
            });
            match answer.await {
                Ok(answer) => return Ok(answer.into_inner().pod_sandbox_id),
                Err(status) if Instant::now() < end && words::name_is_reserved_for(&status).is_some() => {
                    self.remove_pod(words::name_is_reserved_for(&status).unwrap_or_default()).await.ok();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(status) => return Err(EngineError::call("cannot make the pod")(status)),
            }
        }
    }

    pub(in crate::engine) async fn create_container(
        &self,
        pod: &str,
        config: &cri::ContainerConfig,
        sandbox_config: &cri::PodSandboxConfig,
    ) -> Result<String, EngineError> {
        let end = Instant::now() + REMOVAL_PATIENCE;
        loop {
            let answer = patiently(|| {
                let message = cri::CreateContainerRequest {
                    pod_sandbox_id: pod.to_owned(),
                    config: Some(config.clone()),
                    sandbox_config: Some(sandbox_config.clone()),
                };
                let mut runtime = self.runtime();
                async move { runtime.create_container(message).await }
            });
            match answer.await {
                Ok(answer) => return Ok(answer.into_inner().container_id),
                Err(status) if Instant::now() < end && words::name_is_reserved_for(&status).is_some() => {
                    self.remove_container(words::name_is_reserved_for(&status).unwrap_or_default())
                        .await
                        .ok();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(status) if words::has_no_user(&status) => {
                    let context = config.linux.as_ref().and_then(|l| l.security_context.as_ref());
                    let user = context.map_or("", |c| &c.run_as_username);
                    return Err(EngineError::invalid(format!(
                        "unable to find user {user}: no matching entries in passwd file"
                    )));
                }
                Err(status) => return Err(EngineError::call("failed to create container")(status)),
            }
        }
    }

    pub(in crate::engine) async fn start_container(&self, container: &str) -> Result<(), EngineError> {
        call("failed to start container", || {
            let message = cri::StartContainerRequest { container_id: container.to_owned() };
            let mut runtime = self.runtime();
            async move { runtime.start_container(message).await }
        })
        .await
        .map(drop)
    }

    /// Makes containerd open a container's log anew, after the file was renamed.
    pub(in crate::engine) async fn reopen_log(&self, container: &str) -> Result<(), EngineError> {
        let message = cri::ReopenContainerLogRequest { container_id: container.to_owned() };
        let answer = self.runtime().reopen_container_log(message).await;
        answer.map(drop).map_err(EngineError::call("cannot reopen the log"))
    }

    /// Stops a pod: its processes end and its network goes; its containers stay.
    pub(in crate::engine) async fn stop_pod(&self, pod: &str) -> Result<(), EngineError> {
        let answer = call("cannot stop pod", || {
            let message = cri::StopPodSandboxRequest { pod_sandbox_id: pod.to_owned() };
            let mut runtime = self.runtime();
            async move { runtime.stop_pod_sandbox(message).await }
        })
        .await
        .map(drop);
        unless_missing(answer)
    }

    /// Removes a pod with all that is in it; one that is not there is success. CRI refuses while it has not noticed an
    /// exit, or while containerd still cleans up behind a dead shim: that passes.
    pub(in crate::engine) async fn remove_pod(&self, pod: &str) -> Result<(), EngineError> {
        if pod.is_empty() {
            return Ok(());
        }
        let end = Instant::now() + REMOVAL_PATIENCE;
        let mut pause = Duration::from_millis(50);
        loop {
            match unless_missing(self.try_remove_pod(pod).await) {
                Err(error) if Instant::now() < end => {
                    tracing::debug!(%error, pod, "trying again to remove a pod");
                    if let EngineError::Containerd { status, .. } = &error
                        && let Some(task) = words::running_task(status)
                    {
                        self.end_task(task).await;
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_millis(500));
                }
                answer => return answer,
            }
        }
    }

    /// Kills and deletes a task that CRI does not know any more: its start was cut off when an engine died.
    async fn end_task(&self, container: &str) {
        let mut tasks = TasksClient::new(self.channel.clone());
        let message =
            KillRequest { container_id: container.to_owned(), exec_id: String::new(), signal: 9, all: true };
        if let Err(status) = tasks.kill(request(message)).await {
            tracing::debug!(%status, container, "cannot kill a task");
        }
        // The shim has yet to see the task end; `remove_pod` tries again if the deletion comes too early.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let message = DeleteTaskRequest { container_id: container.to_owned() };
        if let Err(status) = tasks.delete(request(message)).await {
            tracing::debug!(%status, container, "cannot delete a task");
        }
    }

    async fn try_remove_pod(&self, pod: &str) -> Result<(), EngineError> {
        call("cannot remove pod", || {
            let message = cri::RemovePodSandboxRequest { pod_sandbox_id: pod.to_owned() };
            let mut runtime = self.runtime();
            async move { runtime.remove_pod_sandbox(message).await }
        })
        .await
        .map(drop)
    }

    pub(in crate::engine) async fn stop_container(
        &self,
        container: &str,
        timeout: i64,
    ) -> Result<(), EngineError> {
        call("cannot stop container", || {
            let message = cri::StopContainerRequest { container_id: container.to_owned(), timeout };
            let mut runtime = self.runtime();
            async move { runtime.stop_container(message).await }
        })
        .await
        .map(drop)
    }

    pub(in crate::engine) async fn remove_container(&self, container: &str) -> Result<(), EngineError> {
        let answer = call("cannot remove container", || {
            let message = cri::RemoveContainerRequest { container_id: container.to_owned() };
            let mut runtime = self.runtime();
            async move { runtime.remove_container(message).await }
        })
        .await
        .map(drop);
        unless_missing(answer)
    }

    pub(in crate::engine) async fn containers(&self) -> Result<Vec<cri::Container>, EngineError> {
        let answer = call("cannot list containers", || {
            let mut runtime = self.runtime();
            async move { runtime.list_containers(cri::ListContainersRequest { filter: None }).await }
        })
        .await?;
        Ok(answer.containers)
    }

    /// All pods, or the pods with one label.
    pub(in crate::engine) async fn pods(
        &self,
        label: Option<(&str, &str)>,
    ) -> Result<Vec<cri::PodSandbox>, EngineError> {
        let label_selector: HashMap<String, String> =
            label.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let answer = call("cannot list pods", || {
            let filter =
                cri::PodSandboxFilter { label_selector: label_selector.clone(), ..Default::default() };
            let mut runtime = self.runtime();
            async move { runtime.list_pod_sandbox(cri::ListPodSandboxRequest { filter: Some(filter) }).await }
        })
        .await?;
        Ok(answer.items)
    }

    /// A container's status and, when asked for, containerd's own description.
    pub(in crate::engine) async fn status(
        &self,
        container: &str,
        verbose: bool,
    ) -> Result<cri::ContainerStatusResponse, EngineError> {
        let answer = call("cannot ask for a container", || {
            let message = cri::ContainerStatusRequest { container_id: container.to_owned(), verbose };
            let mut runtime = self.runtime();
            async move { runtime.container_status(message).await }
        })
        .await?;
        Ok(answer)
    }

    /// A pod's addresses, the first one first.
    pub(in crate::engine) async fn pod_addresses(&self, pod: &str) -> Result<Vec<String>, EngineError> {
        let answer = call("cannot ask for a pod", || {
            let message = cri::PodSandboxStatusRequest { pod_sandbox_id: pod.to_owned(), verbose: false };
            let mut runtime = self.runtime();
            async move { runtime.pod_sandbox_status(message).await }
        })
        .await?;
        let network = answer.status.and_then(|s| s.network).unwrap_or_default();
        let others = network.additional_ips.into_iter().map(|other| other.ip);
        Ok([network.ip].into_iter().chain(others).filter(|ip| !ip.is_empty()).collect())
    }

    /// True when CRI knows the image.
    pub(in crate::engine) async fn has_image(&self, image: &str) -> Result<bool, EngineError> {
        let answer =
            call("cannot ask for an image", || {
                let spec = cri::ImageSpec { image: image.to_owned(), ..Default::default() };
                let mut images = self.images();
                async move {
                    images.image_status(cri::ImageStatusRequest { image: Some(spec), verbose: false }).await
                }
            })
            .await?;
        Ok(answer.image.is_some())
    }
}

fn unless_missing(answer: Result<(), EngineError>) -> Result<(), EngineError> {
    match answer {
        Err(error) if error.is_missing() => Ok(()),
        other => other,
    }
}
