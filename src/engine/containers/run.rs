//! `run`: a container is made, attached to and started in one call.

use crate::engine::Engine;
use crate::engine::error::EngineError;
use crate::model::attach::{Frame, Hello, RunStep};
use crate::model::container::ContainerSpec;
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
            let mut streams = match hello {
                None => futures::stream::empty().boxed(),
                Some(hello) => {
                    let hello =
                        Hello { container: id.to_string(), exec: String::new(), starter: true, ..hello };
                    match engine.attach(hello, frames).await {
                        Ok(streams) => streams,
                        Err(error) => return drop(news.send(Err(error)).await),
                    }
                }
            };
            // The welcome comes before the start, and all else after it: who hears the news waits for the start first.
            if let Some(first) = streams.next().await {
                let welcome = matches!(first, Ok(Frame::Welcome(_)));
                if news.send(first.map(RunStep::Frame)).await.is_err() || !welcome {
                    return;
                }
            }
            if news.is_closed() {
                return;
            }
            let started = engine.start_container(id.as_str()).await;
            let failed = started.is_err();
            if news.send(started.map(RunStep::Started)).await.is_err() || failed {
                return;
            }
            while let Some(frame) = streams.next().await {
                if news.send(frame.map(RunStep::Frame)).await.is_err() {
                    return;
                }
            }
        });
        Ok(ReceiverStream::new(receiver).boxed())
    }
}
