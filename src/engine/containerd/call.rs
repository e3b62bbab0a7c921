//! Calls to containerd: in our namespace, and patient while it is away.

use super::{EngineError, NAMESPACE, words};
use std::error::Error;
use std::future::Future;
use std::time::{Duration, Instant};
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

/// Longest wait of a call for containerd to be back.
const PATIENCE: Duration = Duration::from_secs(5);

/// Calls until containerd is there, for some seconds, and answers the message. `what`: what failed, for the error.
///
/// # Errors
/// [`EngineError::Containerd`] with containerd's status.
pub(in crate::engine) async fn call<T, F>(
    what: &'static str,
    attempt: impl FnMut() -> F,
) -> Result<T, EngineError>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    patiently(attempt).await.map(Response::into_inner).map_err(EngineError::call(what))
}

/// Like [`call`], for those who decide by containerd's status or read a stream within the attempt.
pub(in crate::engine) async fn patiently<T, F>(mut attempt: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let end = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(20);
    loop {
        match attempt().await {
            Err(status) if is_away(&status) && Instant::now() < end => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(250));
            }
            answer => return answer,
        }
    }
}

/// Times that a call behind is made with patience: containerd may die again and again.
const BEHIND: usize = 12;

/// Makes a call that nobody waits for, since the owner of what it ends was dropped. `left`: what becomes of that otherwise.
pub(in crate::engine) fn call_behind<T: Send, F>(
    left: &'static str,
    mut attempt: impl FnMut() -> F + Send + 'static,
) where
    F: Future<Output = Result<T, Status>> + Send,
{
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            for _ in 0..BEHIND {
                match patiently(&mut attempt).await {
                    Err(status) if is_away(&status) => tracing::debug!(%status, "{left}, for now"),
                    Err(status) => return tracing::debug!(%status, "{left}"),
                    Ok(_) => return,
                }
            }
            tracing::warn!("{left}");
        });
    }
}

/// True when containerd is not there, rather than that it said no: our own channel broke or could not be connected, or
/// CRI is still coming up. A status that containerd itself answered has no source, whatever words are in it: a plugin's
/// "dial tcp: connection refused" is a no, and making the call again could do it twice.
fn is_away(status: &Status) -> bool {
    words::is_coming_up(status) || broke(status)
}

fn broke(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::transport::Error>() || error.is::<hyper::Error>() || error.is::<h2::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A request in our namespace.
pub(in crate::engine) fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
    request
}

/// A request in our namespace; what it makes is kept by a lease.
pub(in crate::engine) fn leased<T>(message: T, lease: &str) -> Request<T> {
    let mut request = request(message);
    if let Ok(lease) = lease.parse() {
        request.metadata_mut().insert("containerd-lease", lease);
    }
    request
}

#[cfg(test)]
mod tests {
    use super::super::channel;
    use super::*;
    use containerd_client::services::v1::version_client::VersionClient;

    #[test]
    fn a_no_of_containerd_is_no_absence() {
        for status in [
            Status::unknown("dial tcp 127.0.0.1:5000: connect: connection refused"),
            Status::unknown("transport error"),
            Status::unavailable("ref k3c locked for 1s: unavailable"),
            Status::not_found("h2 protocol error"),
        ] {
            assert!(!is_away(&status), "{status}");
        }
        assert!(is_away(&Status::unavailable("server is not initialized yet: unavailable")));
    }

    #[tokio::test]
    async fn a_broken_channel_is_absence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("containerd.sock");
        let ask = || async { VersionClient::new(channel(&path)).version(()).await };
        // Nobody listens.
        assert!(is_away(&ask().await.unwrap_err()));
        // Somebody who closes the connection under the call.
        let listener = tokio::net::UnixListener::bind(&path).unwrap();
        let closing = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // The request is read first, so that the call is under way.
            let mut sent = [0; 64];
            tokio::io::AsyncReadExt::read(&mut stream, &mut sent).await.unwrap();
        });
        let status = ask().await.unwrap_err();
        assert!(is_away(&status), "{status:?}");
        closing.await.unwrap();
    }
}
