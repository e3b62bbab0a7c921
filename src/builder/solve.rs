//! A build, from the first call to the digest: the session, the solve and the stream of its progress, side by side.
//! Dropping the future ends all three, and BuildKit then stops the build.

use super::excerpt::excerpt;
use super::options::Attributes;
use super::progress::Display;
use super::session::Session;
use super::{BuildError, Built, Inputs, Options, call};
use crate::proto::moby::buildkit::v1::control_client::ControlClient;
use crate::proto::moby::buildkit::v1::{CacheOptions, SolveRequest, StatusRequest, StatusResponse};
use futures::FutureExt;
use futures::future::BoxFuture;
use std::collections::HashMap;
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

/// Builds, and answers with what became of it.
///
/// # Errors
/// Options that contradict each other; a session that broke; whatever BuildKit says.
pub async fn build(
    channel: Channel,
    options: &Options,
    mut inputs: Inputs,
    display: &mut dyn Display,
) -> Result<Built, BuildError> {
    let exporters = options.exporters()?;
    let first = exporters.first().cloned().unwrap_or_default();
    let (frontend, attributes) = frontend(options, &inputs)?;
    let request = SolveRequest {
        exporter_deprecated: first.r#type,
        exporter_attrs_deprecated: first.attrs,
        exporters,
        cache: Some(options.cache()),
        frontend: frontend.to_owned(),
        frontend_attrs: attributes,
        entitlements: options.granted(),
        ..SolveRequest::default()
    };
    let stores = std::mem::take(&mut inputs.stores);
    let response = solve(channel, request, inputs, display, None).await?;
    stores.finish(&response)?;
    Ok(Built { response })
}

/// Asks the frontend about a build instead of building: `outline`, `targets`, `lint`.
///
/// # Errors
/// As those of [`build`].
pub async fn ask(
    channel: Channel,
    options: &Options,
    question: &str,
    inputs: Inputs,
    display: &mut dyn Display,
) -> Result<call::Answer, BuildError> {
    let (frontend, mut attributes) = frontend(options, &inputs)?;
    attributes.insert("requestid".to_owned(), format!("frontend.{question}"));
    // Not a build that anybody looks for later.
    let request = SolveRequest { internal: true, entitlements: options.granted(), ..SolveRequest::default() };
    let name = request_name();
    let request = SolveRequest { r#ref: name.clone(), ..request };
    let question = call::Question { build: name, frontend, attributes };
    let answer = question.ask(channel.clone()).boxed();
    solve(channel, request, inputs, display, Some(answer)).await.map(call::Answer::new)
}

/// The frontend's name and all of its attributes.
fn frontend(options: &Options, inputs: &Inputs) -> Result<(&'static str, Attributes), BuildError> {
    let (frontend, own) = options.syntax()?;
    let mut attributes = options.frontend();
    attributes.extend(own);
    attributes.extend(inputs.attributes.clone());
    Ok((frontend, attributes))
}

fn request_name() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

type Response = Result<HashMap<String, String>, Status>;

/// Solves a request, and shows what happens meanwhile. If there is a question, it is asked in the same build, and its
/// answer is that of the whole.
async fn solve(
    channel: Channel,
    mut request: SolveRequest,
    mut inputs: Inputs,
    display: &mut dyn Display,
    question: Option<BoxFuture<'static, Response>>,
) -> Result<HashMap<String, String>, BuildError> {
    let mut session = Session::open(channel.clone(), std::mem::take(&mut inputs.offer));
    request.session.clone_from(&session.id);
    request.cache.get_or_insert_with(CacheOptions::default);
    if request.r#ref.is_empty() {
        request.r#ref = request_name();
    }
    let mut control = ControlClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
    let mut watcher = control.clone();
    let result = {
        let watch = watch(&mut watcher, request.r#ref.clone());
        let mut solve = std::pin::pin!(async {
            let solve =
                async { control.solve(request).await.map(|answer| answer.into_inner().exporter_response) };
            match question {
                None => solve.await,
                Some(question) => futures::try_join!(solve, question).map(|(_, answer)| answer),
            }
        });
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
        Some(Ok(response)) => Ok(response),
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
