//! A build, from the first call to the digest: the session, the solve and the stream of its progress, side by side.
//! Dropping the future ends all three, and BuildKit then stops the build.

use super::excerpt::excerpt;
use super::progress::Display;
use super::session::Session;
use super::{BuildError, Inputs, Options};
use crate::proto::moby::buildkit::v1::control_client::ControlClient;
use crate::proto::moby::buildkit::v1::{CacheOptions, Exporter, SolveRequest, StatusRequest, StatusResponse};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// Time after which a display looks at the clock again.
const TICK: Duration = Duration::from_millis(100);
/// Progress may come after the result: silence of this length is its end.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// Logs come in messages of any size.
const MESSAGE_LIMIT: usize = 64 << 20;
/// The exporter's answer.
const DIGEST: &str = "containerimage.digest";

/// Builds, and answers with the digest of the image.
pub async fn build(
    channel: Channel,
    options: &Options,
    mut inputs: Inputs,
    display: &mut dyn Display,
) -> Result<String, BuildError> {
    let mut attributes = options.frontend();
    attributes.extend(std::mem::take(&mut inputs.attributes));
    let exporter = Exporter { r#type: "image".to_owned(), attrs: options.exporter()? };
    let mut session = Session::open(channel.clone(), std::mem::take(&mut inputs.offer));
    let name = uuid::Uuid::new_v4().simple().to_string();
    let request = SolveRequest {
        r#ref: name.clone(),
        exporter_deprecated: exporter.r#type.clone(),
        exporter_attrs_deprecated: exporter.attrs.clone(),
        exporters: vec![exporter],
        session: session.id.clone(),
        frontend: "dockerfile.v0".to_owned(),
        frontend_attrs: attributes,
        cache: Some(CacheOptions::default()),
        ..SolveRequest::default()
    };
    let mut control = ControlClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
    let mut watcher = control.clone();
    let result = {
        let solve = control.solve(request);
        let watch = watch(&mut watcher, name);
        let mut solve = std::pin::pin!(solve);
        let mut watch = std::pin::pin!(watch);
        let mut progress = Progress::Starting;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut solved = None;
        let mut patience = Instant::now();
        loop {
            if solved.is_some() && matches!(progress, Progress::Over) {
                break;
            }
            tokio::select! {
                response = &mut solve, if solved.is_none() => {
                    solved = Some(response);
                    patience = Instant::now() + LAST_WORDS;
                }
                stream = &mut watch, if matches!(progress, Progress::Starting) => {
                    progress = stream.map_or(Progress::Over, |stream| Progress::Going(Box::new(stream)));
                }
                update = progress.next() => match update {
                    Some(update) => {
                        patience = Instant::now() + LAST_WORDS;
                        display.update(update);
                    }
                    None => progress = Progress::Over,
                },
                status = session.failed(), if solved.is_none() => {
                    display.finish(true);
                    return Err(BuildError::Session(status.message().to_owned()));
                }
                () = tokio::time::sleep_until(patience), if solved.is_some() => break,
                _ = tick.tick() => display.tick(),
            }
        }
        solved
    };
    drop(session);
    let failed = !matches!(result, Some(Ok(_)));
    display.finish(failed);
    match result {
        Some(Ok(response)) => {
            response.into_inner().exporter_response.remove(DIGEST).ok_or(BuildError::NoDigest)
        }
        Some(Err(status)) => Err(failure(&status)),
        None => Err(BuildError::NoDigest),
    }
}

/// The stream of what happens.
enum Progress {
    Starting,
    Going(Box<Streaming<StatusResponse>>),
    Over,
}

impl Progress {
    /// `None` at its end; a stream that breaks only takes the display along.
    async fn next(&mut self) -> Option<StatusResponse> {
        match self {
            Self::Going(stream) => stream.message().await.ok().flatten(),
            Self::Starting | Self::Over => std::future::pending().await,
        }
    }
}

async fn watch(control: &mut ControlClient<Channel>, name: String) -> Option<Streaming<StatusResponse>> {
    control.status(StatusRequest { r#ref: name }).await.ok().map(tonic::Response::into_inner)
}

fn failure(status: &Status) -> BuildError {
    let message = match (status.message(), status.code()) {
        ("", code) => code.description().to_owned(),
        (message, Code::Cancelled) => format!("canceled: {message}"),
        (message, _) => message.to_owned(),
    };
    BuildError::Solve { message, excerpt: excerpt(status) }
}
