//! `SSH`: agents for `RUN --mount=type=ssh`. Each call is a connection to one. A step may ask which keys there are and
//! have something signed; it can neither add nor remove any.

use crate::builder::private::Forwarded;
use crate::proto::moby::sshforward::v1::{BytesMessage, CheckAgentRequest, CheckAgentResponse, ssh_server};
use futures::StreamExt;
use std::io;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::StreamReader;
use tonic::{Request, Response, Status, Streaming};

/// Metadata that names the agent.
const ID: &str = "buildkit.ssh.id";
/// The agent that is meant without a name.
const DEFAULT: &str = "default";
/// Bytes of a message of the agent's protocol; OpenSSH has the same limit.
const LONGEST: u32 = 256 << 10;
/// Requests that a step may make: the list of keys, a signature, an extension.
const ALLOWED: [u8; 3] = [11, 13, 27];
/// The protocol's "no".
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
/// Answers that wait to be sent.
const QUEUE: usize = 4;

/// The user's agents.
pub(super) struct Agents(pub(super) Vec<Forwarded>);

impl Agents {
    fn get(&self, id: &str) -> Result<&Forwarded, Status> {
        let id = if id.is_empty() { DEFAULT } else { id };
        let agent = self.0.iter().rev().find(|agent| agent.id == id);
        agent.ok_or_else(|| Status::not_found(format!("unset ssh forward key {id}")))
    }
}

#[tonic::async_trait]
impl ssh_server::Ssh for Agents {
    async fn check_agent(
        &self,
        request: Request<CheckAgentRequest>,
    ) -> Result<Response<CheckAgentResponse>, Status> {
        self.get(&request.into_inner().id).map(|_| Response::new(CheckAgentResponse {}))
    }

    type ForwardAgentStream = ReceiverStream<Result<BytesMessage, Status>>;

    async fn forward_agent(
        &self,
        request: Request<Streaming<BytesMessage>>,
    ) -> Result<Response<Self::ForwardAgentStream>, Status> {
        let id = request.metadata().get(ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let agent = self.get(id)?;
        let connection = connect(&agent.socket).await.map_err(|error| {
            Status::unavailable(format!("connect to the agent {}: {error}", agent.socket.display()))
        })?;
        let pieces = request.into_inner().map(|piece| match piece {
            Ok(message) => Ok(io::Cursor::new(message.data)),
            Err(status) => Err(io::Error::other(status)),
        });
        let (answers, queue) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            // The step sees the end of its connection, whatever it was.
            if let Err(error) = converse(StreamReader::new(pieces), connection, &answers).await {
                tracing::debug!(%error, "a connection to the agent ended");
            }
        });
        Ok(Response::new(ReceiverStream::new(queue)))
    }
}

#[cfg(unix)]
async fn connect(socket: &Path) -> io::Result<tokio::net::UnixStream> {
    tokio::net::UnixStream::connect(socket).await
}

#[cfg(windows)]
async fn connect(socket: &Path) -> io::Result<tokio::net::windows::named_pipe::NamedPipeClient> {
    std::future::ready(tokio::net::windows::named_pipe::ClientOptions::new().open(socket)).await
}

/// Requests and answers, one after the other, until the step has had enough.
async fn converse(
    mut step: impl AsyncRead + Unpin,
    mut agent: impl AsyncRead + AsyncWrite + Unpin,
    answers: &mpsc::Sender<Result<BytesMessage, Status>>,
) -> io::Result<()> {
    while let Some(request) = message(&mut step).await? {
        let allowed = request.get(4).is_some_and(|kind| ALLOWED.contains(kind));
        let answer = match allowed {
            true => {
                agent.write_all(&request).await?;
                message(&mut agent).await?.ok_or(io::ErrorKind::UnexpectedEof)?
            }
            false => FAILURE.to_vec(),
        };
        if answers.send(Ok(BytesMessage { data: answer })).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// A message with its length in front; `None` at the end.
async fn message(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match from.read_u32().await {
        Ok(length) if length > LONGEST => return Err(io::Error::other("a message is too long")),
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = length.to_be_bytes().to_vec();
    from.take(length.into()).read_to_end(&mut message).await?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_can_be_used_and_nothing_more() {
        let (agent, mut far) = tokio::io::duplex(1024);
        let peer = tokio::spawn(async move {
            let mut heard = Vec::new();
            while let Some(request) = message(&mut far).await.unwrap() {
                heard.push(request);
                far.write_all(&[0, 0, 0, 2, 12, 7]).await.unwrap();
            }
            heard
        });
        // A list, "remove all", and a signature.
        let requests = [0, 0, 0, 1, 11, 0, 0, 0, 1, 19, 0, 0, 0, 2, 13, 9];
        let (answers, mut queue) = mpsc::channel(8);
        converse(&requests[..], agent, &answers).await.unwrap();
        drop(answers);
        let mut said = Vec::new();
        while let Some(answer) = queue.recv().await {
            said.push(answer.unwrap().data);
        }
        assert_eq!(said, [vec![0, 0, 0, 2, 12, 7], FAILURE.to_vec(), vec![0, 0, 0, 2, 12, 7]]);
        assert_eq!(peer.await.unwrap(), [vec![0, 0, 0, 1, 11], vec![0, 0, 0, 2, 13, 9]]);
    }

    #[tokio::test]
    async fn lengths_are_not_believed() {
        let (answers, _queue) = mpsc::channel(1);
        let (agent, _far) = tokio::io::duplex(16);
        let error = converse(&[0xff; 8][..], agent, &answers).await.unwrap_err();
        assert_eq!(error.to_string(), "a message is too long");
    }
}
