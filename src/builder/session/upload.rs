//! `Upload`: a context that came as an archive on standard input. BuildKit sees it as a web address of the session.

use crate::proto::moby::upload::v1::{BytesMessage, upload_server};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::sync::{Mutex, PoisonError};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;
use tonic::{Request, Response, Status, Streaming};

/// Bytes of the archive in one message.
const PIECE: usize = 256 << 10;

/// The archive's bytes; they can be sent once.
pub(crate) type Archive = Box<dyn AsyncRead + Send + Unpin>;

/// The address by which BuildKit asks for the archive.
pub(crate) const ADDRESS: &str = "http://buildkit-session/context";
const PATH: &str = "/context";

/// Gives the archive away.
pub(super) struct Upload(Mutex<Option<Archive>>);

impl Upload {
    pub(super) fn new(archive: Option<Archive>) -> Self {
        Self(Mutex::new(archive))
    }
}

#[tonic::async_trait]
impl upload_server::Upload for Upload {
    type PullStream = BoxStream<'static, Result<BytesMessage, Status>>;

    async fn pull(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::PullStream>, Status> {
        let path = request.metadata().get("urlpath").and_then(|v| v.to_str().ok()).unwrap_or_default();
        let archive = match path == PATH {
            true => self.0.lock().unwrap_or_else(PoisonError::into_inner).take(),
            false => None,
        };
        let archive =
            archive.ok_or_else(|| Status::not_found(format!("no http response from session for {path}")))?;
        let pieces = ReaderStream::with_capacity(archive, PIECE).map(|piece| match piece {
            Ok(bytes) => Ok(BytesMessage { data: bytes.into() }),
            Err(error) => Err(Status::unknown(format!("read the context: {error}"))),
        });
        Ok(Response::new(pieces.boxed()))
    }
}
