//! Calls that may be made twice are made again while the engine restarts.

use super::ClientError;
use super::calls::Answers;
use futures::StreamExt;
use futures::future::BoxFuture;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// The longest restart of an engine that is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs `call` until it succeeds, is refused, or the daemon has been away for too long.
///
/// Only for calls that change nothing, or where a second time is as good as once.
pub(super) async fn safe<T, F>(call: impl FnMut() -> F) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    within(PATIENCE, call).await
}

/// Items of a stream that goes on when the engine is replaced: `open` is told where the last item that came is.
///
/// The items end with the stream, with a refusal, or when the daemon has been away for too long.
pub(super) async fn resumed<T, P>(
    mut open: impl FnMut(Option<P>) -> BoxFuture<'static, Answers<T>> + Send + 'static,
    position: fn(&T) -> P,
) -> Answers<T>
where
    T: Send + 'static,
    P: Copy + Send + Sync + 'static,
{
    let mut stream = safe(|| open(None)).await?;
    let items = async_stream::stream! {
        let mut seen = None;
        while let Some(item) = stream.next().await {
            match item {
                Ok(item) => {
                    seen = Some(position(&item));
                    yield Ok(item);
                }
                Err(error) if error.disconnected => match safe(|| open(seen)).await {
                    Ok(fresh) => stream = fresh,
                    Err(error) => {
                        yield Err(error);
                        return;
                    }
                },
                Err(error) => {
                    yield Err(error);
                    return;
                }
            }
        }
    };
    Ok(items.boxed())
}

async fn within<T, F>(patience: Duration, mut call: impl FnMut() -> F) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let mut lost = None;
    let mut pause = Duration::from_millis(50);
    loop {
        let error = match call().await {
            Err(error) if error.disconnected => error,
            answer => return answer,
        };
        if lost.get_or_insert_with(Instant::now).elapsed() >= patience {
            return Err(error);
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::reason::Reason;

    #[tokio::test]
    async fn only_a_lost_connection_is_tried_again() {
        let mut calls = 0;
        let answer = safe(|| {
            calls += 1;
            std::future::ready(if calls < 3 { Err(ClientError::disconnected("gone")) } else { Ok(calls) })
        });
        assert_eq!(answer.await, Ok(3));

        let mut calls = 0;
        let refused = ClientError::new(Reason::NotFound, "no");
        let answer: Result<(), _> = safe(|| {
            calls += 1;
            std::future::ready(Err(refused.clone()))
        })
        .await;
        assert_eq!((answer, calls), (Err(refused), 1));

        let gone: Result<(), _> =
            within(Duration::from_millis(60), async || Err(ClientError::disconnected("gone"))).await;
        assert!(gone.unwrap_err().disconnected);
    }
}
