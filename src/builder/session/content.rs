//! `Content`: containerd's protocol for blobs, for folders in the OCI's layout. Each call names the folder.

use crate::builder::layout::{Digest, Ingest, Layout, Refusal};
use crate::proto::containerd::content::v1 as wire;
use std::collections::HashMap;
use std::io::{self, SeekFrom};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};
use wire::WriteAction;
use wire::content_server;

/// Metadata that names the folder; the first one counts.
const STORE: &str = "buildkit-attachable-store-id";
/// Bytes in one answer.
const PIECE: usize = 256 << 10;
/// Answers that wait to be sent.
const QUEUE: usize = 4;
/// Bytes of one request: BuildKit sends 8 MiB.
pub(super) const LARGEST: usize = 17 << 20;

/// The folders by their names.
pub(super) struct Content(pub(super) HashMap<String, Arc<Layout>>);

impl Content {
    fn store(&self, metadata: &MetadataMap) -> Result<Arc<Layout>, Status> {
        let name = metadata.get(STORE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        self.0.get(name).cloned().ok_or_else(|| Status::not_found(format!("unknown store {name}")))
    }
}

fn digest(text: &str) -> Result<Digest, Status> {
    Digest::parse(text).ok_or_else(|| Status::invalid_argument(format!("{text:?} is no digest of sha256")))
}

/// Runs what may take its time with a disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Status> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Status::internal(error.to_string()))
}

async fn blob(store: Arc<Layout>, digest: Digest) -> Result<(tokio::fs::File, u64), Status> {
    let name = digest.to_string();
    match blocking(move || store.blob(&digest)).await? {
        Ok((file, size)) => Ok((tokio::fs::File::from_std(file), size)),
        Err(Refusal::Missing) => Err(Status::not_found(format!("content {name}: not found"))),
        Err(Refusal::Bad(why)) => Err(Status::data_loss(why)),
    }
}

fn signed(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

#[tonic::async_trait]
impl content_server::Content for Content {
    async fn info(
        &self,
        request: Request<wire::InfoRequest>,
    ) -> Result<Response<wire::InfoResponse>, Status> {
        let store = self.store(request.metadata())?;
        let digest = digest(&request.into_inner().digest)?;
        let (_, size) = blob(store, digest.clone()).await?;
        let info = wire::Info { digest: digest.to_string(), size: signed(size), ..wire::Info::default() };
        Ok(Response::new(wire::InfoResponse { info: Some(info) }))
    }

    type ReadStream = ReceiverStream<Result<wire::ReadContentResponse, Status>>;

    async fn read(
        &self,
        request: Request<wire::ReadContentRequest>,
    ) -> Result<Response<Self::ReadStream>, Status> {
        let store = self.store(request.metadata())?;
        let wanted = request.into_inner();
        let (mut file, size) = blob(store, digest(&wanted.digest)?).await?;
        let offset = u64::try_from(wanted.offset).unwrap_or_default();
        if offset > size {
            return Err(Status::out_of_range(format!("read past object length {size} bytes")));
        }
        file.seek(SeekFrom::Start(offset)).await.map_err(|error| broken(&error))?;
        let length = match u64::try_from(wanted.size) {
            Ok(length @ 1..) => length.min(size - offset),
            _ => size - offset,
        };
        let (answers, queue) = mpsc::channel(QUEUE);
        tokio::spawn(give(file.take(length), answers));
        Ok(Response::new(ReceiverStream::new(queue)))
    }

    type WriteStream = ReceiverStream<Result<wire::WriteContentResponse, Status>>;

    async fn write(
        &self,
        request: Request<Streaming<wire::WriteContentRequest>>,
    ) -> Result<Response<Self::WriteStream>, Status> {
        let store = self.store(request.metadata())?;
        let mut requests = request.into_inner();
        let (answers, queue) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            if let Err(status) = take(&store, &mut requests, &answers).await {
                answers.send(Err(status)).await.ok();
            }
        });
        Ok(Response::new(ReceiverStream::new(queue)))
    }

    async fn status(
        &self,
        request: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        Err(Status::not_found(format!("{}: not found", request.into_inner().r#ref)))
    }

    async fn list_statuses(
        &self,
        _: Request<wire::ListStatusesRequest>,
    ) -> Result<Response<wire::ListStatusesResponse>, Status> {
        Ok(Response::new(wire::ListStatusesResponse::default()))
    }

    /// What is not committed is gone anyway.
    async fn abort(&self, _: Request<wire::AbortRequest>) -> Result<Response<()>, Status> {
        Ok(Response::new(()))
    }

    async fn update(
        &self,
        _: Request<wire::UpdateRequest>,
    ) -> Result<Response<wire::UpdateResponse>, Status> {
        Err(Status::unimplemented("a layout has no labels"))
    }

    type ListStream = futures::stream::Empty<Result<wire::ListContentResponse, Status>>;

    async fn list(&self, _: Request<wire::ListContentRequest>) -> Result<Response<Self::ListStream>, Status> {
        Err(Status::unimplemented("a layout is not listed"))
    }

    async fn delete(&self, _: Request<wire::DeleteContentRequest>) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("nothing is removed from a layout"))
    }
}

fn broken(error: &io::Error) -> Status {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Status::permission_denied(error.to_string()),
        _ => Status::unknown(error.to_string()),
    }
}

async fn give(
    mut from: impl tokio::io::AsyncRead + Unpin,
    answers: mpsc::Sender<Result<wire::ReadContentResponse, Status>>,
) {
    let mut offset = 0;
    loop {
        let mut data = vec![0; PIECE];
        let answer = match from.read(&mut data).await {
            Ok(0) => return,
            Ok(length) => {
                data.truncate(length);
                let piece = wire::ReadContentResponse { offset, data };
                offset += i64::try_from(length).unwrap_or_default();
                Ok(piece)
            }
            Err(error) => Err(broken(&error)),
        };
        let is_over = answer.is_err();
        if answers.send(answer).await.is_err() || is_over {
            return;
        }
    }
}

/// One blob, in pieces that are answered one by one.
async fn take(
    store: &Arc<Layout>,
    requests: &mut Streaming<wire::WriteContentRequest>,
    answers: &mpsc::Sender<Result<wire::WriteContentResponse, Status>>,
) -> Result<(), Status> {
    let folder = Arc::clone(store);
    let mut ingest = blocking(move || folder.ingest()).await?.map_err(|error| broken(&error))?;
    let (mut total, mut expected) = (0, None);
    while let Some(request) = requests.message().await? {
        let action = request.action();
        if request.total > 0 {
            total = request.total;
        }
        if !request.expected.is_empty() {
            let wanted = digest(&request.expected)?;
            let (folder, known) = (Arc::clone(store), wanted.clone());
            if blocking(move || folder.blob(&known)).await?.is_ok() {
                return Err(Status::already_exists(format!("blob with expected digest {wanted} exists")));
            }
            expected = Some(wanted);
        }
        let mut answer = wire::WriteContentResponse { total, ..wire::WriteContentResponse::default() };
        answer.set_action(action);
        match action {
            WriteAction::Stat => answer.digest = ingest.digest().to_string(),
            WriteAction::Write | WriteAction::Commit => {
                ingest = piece(store, ingest, request).await?;
                answer.digest = ingest.digest().to_string();
            }
        }
        answer.offset = signed(ingest.size);
        if action == WriteAction::Commit {
            if total > 0 && answer.offset != total {
                let text = format!("unexpected commit size {}, expected {total}", answer.offset);
                return Err(Status::failed_precondition(text));
            }
            let folder = Arc::clone(store);
            let done = blocking(move || folder.commit(ingest, expected.as_ref())).await?;
            answer.digest = done.map_err(|error| Status::failed_precondition(error.to_string()))?.to_string();
            answers.send(Ok(answer)).await.ok();
            return Ok(());
        }
        if answers.send(Ok(answer)).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Writes what a request has; one that begins at 0 begins anew.
async fn piece(
    store: &Arc<Layout>,
    mut ingest: Ingest,
    request: wire::WriteContentRequest,
) -> Result<Ingest, Status> {
    let at = u64::try_from(request.offset).unwrap_or_default();
    let store = Arc::clone(store);
    let written = blocking(move || {
        if at == 0 && ingest.size > 0 {
            ingest = store.ingest()?;
        }
        if at != ingest.size {
            let why = format!("write @{at} must occur at current offset {}", ingest.size);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        ingest.write(&request.data).map(|()| ingest)
    });
    written.await?.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidInput => Status::out_of_range(error.to_string()),
        _ => broken(&error),
    })
}
