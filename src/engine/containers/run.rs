//! `run`: a container is made, attached to and started in one call.

use super::attach::Frames;
use crate::engine::Engine;
use crate::engine::error::EngineError;
use crate::model::attach::{Frame, Hello, RunStep};
use crate::model::container::ContainerSpec;
use crate::model::id::ContainerId;
use futures::StreamExt;
use futures::stream::{BoxStream, Stream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// News on their way to a client.
pub type Run = BoxStream<'static, Result<RunStep, EngineError>>;

impl Engine {
    /// Makes a container and starts it. With `hello` it is attached to before the start, so that its streams are seen from
    /// the first byte. When nobody hears the news any more before the start, it is not started.
    ///
    /// # Errors
    /// As [`Engine::create`]. In the news, after which they end: as [`Engine::attach`] and [`Engine::start_container`].
    pub async fn run(
        &self,
        spec: ContainerSpec,
        name: Option<String>,
        hello: Option<Hello>,
        frames: impl Stream<Item = Frame> + Send + 'static,
    ) -> Result<Run, EngineError> {
        let (id, warnings) = self.create(spec, name).await?;
        let (news, receiver) = mpsc::channel(4);
        let engine = self.clone();
        // What was begun is finished, also when the client leaves in the middle of it.
        tokio::spawn(async move {
            news.send(Ok(RunStep::Created(id.clone(), warnings))).await.ok();
            let streams = match hello {
                None => None,
                Some(hello) => {
                    let hello =
                        Hello { container: id.to_string(), exec: String::new(), starter: true, ..hello };
                    match engine.attach(hello, frames).await {
                        Ok(streams) => Some(streams),
                        Err(error) => return drop(news.send(Err(error)).await),
                    }
                }
            };
            if !news.is_closed() {
                start(engine, id, streams, &news).await;
            }
        });
        Ok(ReceiverStream::new(receiver).boxed())
    }
}

/// Starts the container and tells the news until its streams end.
async fn start(
    engine: Engine,
    id: ContainerId,
    streams: Option<Frames>,
    news: &mpsc::Sender<Result<RunStep, EngineError>>,
) {
    // A task of its own: a client that does not read must not keep the start from its end.
    let mut starting = tokio::spawn(async move { engine.start_container(id.as_str()).await });
    let mut frames = streams.unwrap_or_else(|| futures::stream::pending().boxed());
    let mut started = false;
    loop {
        let step = tokio::select! {
            biased;
            answer = &mut starting, if !started => {
                started = true;
                let answer = answer.unwrap_or_else(|e| Err(EngineError::Broken(format!("a start died: {e}"))));
                answer.map(RunStep::Started)
            }
            frame = frames.next() => match frame {
                Some(frame) => frame.map(RunStep::Frame),
                None if started => return,
                // The streams are over; the start is not.
                None => {
                    frames = futures::stream::pending().boxed();
                    continue;
                }
            },
            () = news.closed() => return,
        };
        let failed = step.is_err();
        if news.send(step).await.is_err() || failed {
            return;
        }
    }
}
