//! The way to containerd: one lazily connecting channel that comes back by itself.
//!
//! `call` has the patience while containerd is away, `cri` its CRI service, and `words` each of its sentences by which
//! anything is decided.

mod call;
mod cri;
pub(super) mod words;

pub(super) use call::{call, call_behind, leased, patiently, request};
pub(super) use cri::{Cri, LABEL_ATTEMPT, LABEL_ID, LABEL_NAME};

use super::error::EngineError;
use containerd_client::services::v1 as api;
use containerd_client::types::v1::{Process, Status as TaskStatus};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};

/// The namespace of containerd that holds our images, snapshots and containers.
pub const NAMESPACE: &str = "k8s.io";
/// CRI's extension of a stored pod.
const METADATA: &str = "metadata";
/// Lists of images and containers may be long.
const MESSAGE_LIMIT: usize = 64 << 20;

/// containerd's services. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Containerd {
    channel: Channel,
}

/// Makes a channel to a unix socket, connecting when it is first used and again whenever it broke.
pub fn channel(socket: &Path) -> Channel {
    let socket: PathBuf = socket.to_owned();
    Endpoint::from_static("http://containerd")
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
}

/// Exit code and time of a process that has ended; CRI may not have noticed yet.
pub(super) fn ended(process: &Process) -> Option<(i32, Timestamp)> {
    (process.status() == TaskStatus::Stopped).then(|| {
        let time = process.exited_at.and_then(|t| Timestamp::new(t.seconds, t.nanos).ok());
        (i32::try_from(process.exit_status).unwrap_or(255), time.unwrap_or_else(Timestamp::now))
    })
}

fn spec_of(container: &api::Container) -> Value {
    let text = container.spec.as_ref().map(|any| any.value.as_slice()).unwrap_or_default();
    serde_json::from_slice(text).unwrap_or_default()
}

impl Containerd {
    /// The containerd behind a channel.
    pub fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// The channel itself.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(super) fn images(&self) -> api::images_client::ImagesClient<Channel> {
        api::images_client::ImagesClient::new(self.channel()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    pub(super) fn content(&self) -> api::content_client::ContentClient<Channel> {
        api::content_client::ContentClient::new(self.channel()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    pub(super) fn snapshots(&self) -> api::snapshots::snapshots_client::SnapshotsClient<Channel> {
        api::snapshots::snapshots_client::SnapshotsClient::new(self.channel())
    }

    pub(super) fn transfer(&self) -> api::transfer_client::TransferClient<Channel> {
        api::transfer_client::TransferClient::new(self.channel())
    }

    pub(super) fn streaming(&self) -> api::streaming_client::StreamingClient<Channel> {
        api::streaming_client::StreamingClient::new(self.channel()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    /// Makes our namespace known. Until it is, containerd's collector takes the streams of an import for garbage: it
    /// asks for streams in use only in namespaces that its database has, and it first runs 100 ms after containerd's
    /// start.
    pub(super) async fn make_namespace(&self) -> Result<(), Status> {
        let namespace = api::Namespace { name: NAMESPACE.to_owned(), ..Default::default() };
        let mut namespaces = api::namespaces_client::NamespacesClient::new(self.channel());
        let message = api::CreateNamespaceRequest { namespace: Some(namespace) };
        match namespaces.create(message).await {
            Err(status) if status.code() != Code::AlreadyExists => Err(status),
            _ => Ok(()),
        }
    }

    pub(super) fn events(&self) -> api::events_client::EventsClient<Channel> {
        api::events_client::EventsClient::new(self.channel())
    }

    pub(super) fn tasks(&self) -> api::tasks_client::TasksClient<Channel> {
        api::tasks_client::TasksClient::new(self.channel())
    }

    pub(super) fn containers(&self) -> api::containers_client::ContainersClient<Channel> {
        api::containers_client::ContainersClient::new(self.channel()).max_decoding_message_size(MESSAGE_LIMIT)
    }

    /// CRI's own record of a pod, as containerd stores it.
    pub(super) async fn pod_metadata(&self, pod: &str) -> Result<Value, EngineError> {
        let answer = call("cannot ask for a pod", || {
            let mut store = api::sandbox::store_client::StoreClient::new(self.channel());
            let message = api::sandbox::StoreGetRequest { sandbox_id: pod.to_owned() };
            async move { store.get(request(message)).await }
        })
        .await?;
        let stored = answer.sandbox.unwrap_or_default();
        let text = stored.extensions.get(METADATA).map(|any| any.value.as_slice()).unwrap_or_default();
        let mut document: Value = serde_json::from_slice(text).unwrap_or_default();
        Ok(document["Metadata"].take())
    }

    /// CRI's own records of all pods, as containerd stores them.
    pub(super) async fn pods_metadata(&self) -> Result<Vec<Value>, EngineError> {
        let answer = call("cannot list pods", || {
            let mut store = api::sandbox::store_client::StoreClient::new(self.channel());
            async move { store.list(request(api::sandbox::StoreListRequest { filters: Vec::new() })).await }
        })
        .await?;
        let metadata = |extension: &prost_types::Any| {
            let mut document: Value = serde_json::from_slice(&extension.value).unwrap_or_default();
            document["Metadata"].take()
        };
        Ok(answer.list.iter().filter_map(|stored| stored.extensions.get(METADATA)).map(metadata).collect())
    }

    /// Sends a signal to the first process of a container's task.
    pub(super) async fn kill(&self, container: &str, signal: i32) -> Result<(), EngineError> {
        let signal = u32::try_from(signal).unwrap_or(9);
        call("cannot kill container", || {
            let mut tasks = api::tasks_client::TasksClient::new(self.channel());
            let message = api::KillRequest {
                container_id: container.to_owned(),
                exec_id: String::new(),
                signal,
                all: false,
            };
            async move { tasks.kill(request(message)).await }
        })
        .await
        .map(drop)
    }

    /// The process ID of a container's first process on the engine's host.
    pub(super) async fn pid(&self, container: &str) -> Result<u32, EngineError> {
        Ok(self.task(container).await?.map_or(0, |p| p.pid))
    }

    /// A container's first process.
    pub(super) async fn task(&self, container: &str) -> Result<Option<Process>, EngineError> {
        self.exec(container, "").await
    }

    /// A process that was added to a container; with an empty ID its first one.
    pub(super) async fn exec(&self, container: &str, exec: &str) -> Result<Option<Process>, EngineError> {
        let answer = call("cannot ask for a task", || {
            let mut tasks = api::tasks_client::TasksClient::new(self.channel());
            let message = api::GetRequest { container_id: container.to_owned(), exec_id: exec.to_owned() };
            async move { tasks.get(request(message)).await }
        })
        .await?;
        Ok(answer.process)
    }

    /// A container's OCI specification.
    pub(super) async fn spec(&self, container: &str) -> Result<Value, EngineError> {
        Ok(spec_of(&self.container(container).await?))
    }

    async fn container(&self, id: &str) -> Result<api::Container, EngineError> {
        let answer = call("cannot look at the container", || {
            let mut containers = self.containers();
            let message = api::GetContainerRequest { id: id.to_owned() };
            async move { containers.get(request(message)).await }
        })
        .await?;
        answer
            .container
            .ok_or_else(|| EngineError::Broken(format!("containerd said nothing of container {id}")))
    }

    /// Sets one annotation of the specification of a container that does not run.
    pub(super) async fn annotate(&self, id: &str, key: &str, value: String) -> Result<(), EngineError> {
        let mut container = self.container(id).await?;
        let mut spec = spec_of(&container);
        spec["annotations"][key] = Value::String(value);
        if let Some(any) = &mut container.spec {
            any.value = spec.to_string().into_bytes();
        }
        let message = api::UpdateContainerRequest {
            container: Some(container),
            update_mask: Some(prost_types::FieldMask { paths: vec!["spec".to_owned()] }),
        };
        let mut containers = self.containers();
        let answer = containers.update(request(message)).await;
        answer.map(drop).map_err(EngineError::call("cannot change the container"))
    }

    /// Size of a snapshot without its parents, in bytes.
    pub(super) async fn usage(&self, snapshotter: &str, key: &str) -> Result<i64, EngineError> {
        let message =
            api::snapshots::UsageRequest { snapshotter: snapshotter.to_owned(), key: key.to_owned() };
        let answer = self
            .snapshots()
            .usage(request(message))
            .await
            .map_err(EngineError::call("cannot ask for a size"))?;
        Ok(answer.into_inner().size)
    }
}
