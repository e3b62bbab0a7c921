//! The session: while BuildKit builds, it asks us for files, credentials and an archive, by calling a gRPC server that
//! is ours and lives inside one of our own calls to it.
//!
//! ```text
//! Control/Session  ══► BytesMessage ══►  ┐  one HTTP/2 connection
//!                  ◄══ BytesMessage ◄══  ┘  in which BuildKit is the client
//!                        │
//!                      tunnel ─ server ─┬─ FileSync (directories)
//!                                       ├─ Auth     (credentials)
//!                                       ├─ Upload   (a context from standard input)
//!                                       ├─ FileSend (archives that were built)
//!                                       ├─ Content  (images and caches in folders)
//!                                       ├─ Secrets
//!                                       ├─ SSH      (agents)
//!                                       └─ Health
//! ```

mod auth;
mod content;
mod files;
mod health;
mod receive;
mod secrets;
mod ssh;
mod upload;

pub use receive::{STORE, Targets};
pub(super) use upload::{ADDRESS, Archive};

use super::layout::Layout;
use super::output::Sink;
use super::private::{Forwarded, Secret};
use crate::proto::containerd::content::v1::content_server::ContentServer;
use crate::proto::grpc::health::v1::health_server::HealthServer;
use crate::proto::moby::buildkit::secrets::v1::secrets_server::SecretsServer;
use crate::proto::moby::buildkit::v1::BytesMessage;
use crate::proto::moby::buildkit::v1::control_client::ControlClient;
use crate::proto::moby::filesync::v1::auth_server::AuthServer;
use crate::proto::moby::filesync::v1::file_sync_server::FileSyncServer;
use crate::proto::moby::sshforward::v1::ssh_server::SshServer;
use crate::proto::moby::upload::v1::upload_server::UploadServer;
use futures::StreamExt;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio_util::io::ReaderStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Server};
use tonic::{Request, Status};

/// Bytes that may be under way unread in the tunnel, and in one call inside it.
const TUNNEL: usize = 256 << 10;
const STREAM_WINDOW: u32 = 1 << 20;
/// Bytes that may be under way unread in all calls together. h2 takes half of this as its patience with small messages
/// that wait to be read, about 250 for each, and closes the connection (`too_many_data_frames`) when it is lost: BuildKit
/// asks for ten thousands of files in as many messages of ten bytes. Windows of single calls limit what really waits.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Bytes of one message of the tunnel.
const MESSAGE: usize = 64 << 10;
/// Bytes of metadata of one call: patterns travel there, and ignore files can be long.
const HEADERS: u32 = 16 << 20;

/// The methods that BuildKit may call; it asks for nothing else.
const METHODS: [&str; 3] = [
    "/grpc.health.v1.Health/Check",
    "/moby.filesync.v1.FileSync/DiffCopy",
    "/moby.filesync.v1.Auth/Credentials",
];
const UPLOAD: &str = "/moby.upload.v1.Upload/Pull";
const RECEIVE: &str = "/moby.filesync.v1.FileSend/DiffCopy";
const CONTENT: [&str; 5] = [
    "/containerd.services.content.v1.Content/Info",
    "/containerd.services.content.v1.Content/Read",
    "/containerd.services.content.v1.Content/Write",
    "/containerd.services.content.v1.Content/Status",
    "/containerd.services.content.v1.Content/Abort",
];
const SECRETS: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const SSH: [&str; 2] = ["/moby.sshforward.v1.SSH/CheckAgent", "/moby.sshforward.v1.SSH/ForwardAgent"];

/// The files that a session gives away.
#[derive(Default)]
pub(super) struct Offer {
    /// Directories by the names that the frontend knows.
    pub(super) directories: HashMap<String, PathBuf>,
    /// A context that comes as an archive.
    pub(super) archive: Option<Archive>,
    /// Places for what exporters send, by the number of the output.
    pub(super) sinks: HashMap<usize, Sink>,
    /// Folders with images and caches.
    pub(super) layouts: HashMap<String, Arc<Layout>>,
    /// Sinks without a path.
    pub(super) targets: Targets,
    /// Secrets that steps may ask for.
    pub(super) secrets: Vec<Secret>,
    /// SSH agents that steps may use.
    pub(super) agents: Vec<Forwarded>,
    /// A key that builds of the same thing share, so that BuildKit asks only for what has changed.
    pub(super) shared_key: String,
}

/// A session with BuildKit. It ends when dropped, and with it whatever BuildKit does on its behalf.
pub(super) struct Session {
    /// ID by which a solve names the session.
    pub(super) id: String,
    tunnel: AbortOnDropHandle<Result<(), Status>>,
    _server: AbortOnDropHandle<()>,
}

impl Session {
    /// Starts it; a failure shows in [`Session::failed`].
    pub(super) fn open(channel: Channel, offer: Offer) -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let (inner, outer) = tokio::io::duplex(TUNNEL);
        let metadata = Metadata::new(&id, &offer);
        let server = AbortOnDropHandle::new(tokio::spawn(serve(inner, offer)));
        let tunnel = AbortOnDropHandle::new(tokio::spawn(tunnel(channel, metadata, outer)));
        Self { id, tunnel, _server: server }
    }

    /// Answers only when the session broke.
    pub(super) async fn failed(&mut self) -> Status {
        match (&mut self.tunnel).await {
            Ok(Err(status)) => status,
            Ok(Ok(())) => Status::unavailable("the session was closed"),
            Err(error) => Status::internal(error.to_string()),
        }
    }
}

/// `x-docker-expose-session-*`
struct Metadata {
    id: String,
    shared_key: String,
    methods: Vec<&'static str>,
}

impl Metadata {
    fn new(id: &str, offer: &Offer) -> Self {
        let upload = offer.archive.is_some().then_some(UPLOAD);
        let content = (!offer.layouts.is_empty()).then_some(CONTENT).into_iter().flatten();
        // Always there: without any, the answer is that there is none of that name.
        let receive = (!offer.sinks.is_empty()).then_some(RECEIVE);
        let more = SSH.into_iter().chain([SECRETS]).chain(upload).chain(receive).chain(content);
        Self {
            id: id.to_owned(),
            shared_key: offer.shared_key.clone(),
            methods: METHODS.into_iter().chain(more).collect(),
        }
    }

    fn put<T>(&self, request: &mut Request<T>) -> Result<(), Status> {
        let value = |text: &str| {
            MetadataValue::<Ascii>::try_from(text).map_err(|error| Status::internal(error.to_string()))
        };
        let all = request.metadata_mut();
        all.insert("x-docker-expose-session-uuid", value(&self.id)?);
        all.insert("x-docker-expose-session-name", value("k3c")?);
        all.insert("x-docker-expose-session-sharedkey", value(&self.shared_key)?);
        for method in &self.methods {
            all.append("x-docker-expose-session-grpc-method", value(method)?);
        }
        Ok(())
    }
}

/// Carries bytes until either side has had enough.
async fn tunnel(channel: Channel, metadata: Metadata, ours: DuplexStream) -> Result<(), Status> {
    let (read, mut write) = tokio::io::split(ours);
    let outward = ReaderStream::with_capacity(read, MESSAGE)
        .take_while(|bytes| std::future::ready(bytes.is_ok()))
        .filter_map(|bytes| std::future::ready(bytes.ok()))
        .map(|bytes| BytesMessage { data: bytes.into() });
    let mut request = Request::new(outward);
    metadata.put(&mut request)?;
    let mut control = ControlClient::new(channel);
    let mut inward = control.session(request).await?.into_inner();
    while let Some(message) = inward.message().await? {
        if write.write_all(&message.data).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// Serves the one connection, as long as it lasts.
async fn serve(connection: DuplexStream, offer: Offer) {
    let router = Server::builder()
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(HEADERS)
        .add_service(HealthServer::new(health::Health))
        .add_service(FileSyncServer::new(files::Files::new(offer.directories)))
        .add_service(AuthServer::new(auth::Auth))
        .add_service(
            ContentServer::new(content::Content(offer.layouts)).max_decoding_message_size(content::LARGEST),
        )
        .add_service(receive::FileSend::new(offer.sinks, offer.targets))
        .add_service(SecretsServer::new(secrets::Secrets(offer.secrets)))
        .add_service(SshServer::new(ssh::Agents(offer.agents)))
        .add_service(UploadServer::new(upload::Upload::new(offer.archive)));
    let incoming = futures::stream::iter([Ok::<_, io::Error>(connection)]).chain(futures::stream::pending());
    if let Err(error) = router.serve_with_incoming(incoming).await {
        tracing::debug!(%error, "the session's server ended");
    }
}

#[cfg(test)]
mod tests;
