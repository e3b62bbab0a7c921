//! What pulls and pushes have in common: a registry at one end, which asks who is there, says no in many ways, and is at
//! times too busy.
//!
//! ```text
//! registry: 401 -> containerd: AuthRequest -> a stream of its own -> question -> client
//!                  containerd: AuthResponse <-         ...        <- login    <- client
//! ```

use super::lease::Lease;
use super::retry::{self, Known, Pauses};
use super::transfer::{self, Pipe, Saved};
use crate::engine::containerd::words;
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::image::{Progress, TransferOutcome};
use crate::model::login::{Login, LoginQuestion};
use crate::model::reason::Reason;
use crate::model::reference::Reference;
use containerd_client::to_any;
use containerd_client::types::transfer as wire;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use prost::Message;
use prost_types::Any;
use regex::Regex;
use std::future::Future;
use std::sync::LazyLock;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// The way of outcomes to the caller.
pub(super) type Outcomes = mpsc::Sender<Result<TransferOutcome, EngineError>>;
/// Logins of the caller, one for each question.
pub(super) type Logins = BoxStream<'static, Login>;
/// A registry's end of a transfer, for the stream with this name.
pub(super) type End<'a> = &'a (dyn Fn(String) -> (Any, Any) + Sync);

/// The direction of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Pull,
    Push,
    /// Nothing is moved: somebody only wants to know whether the registry would.
    Login,
}

/// Runs a transfer until it is over or its caller has gone.
pub(super) fn serve<F>(
    work: impl FnOnce(Outcomes) -> F,
) -> ReceiverStream<Result<TransferOutcome, EngineError>>
where
    F: Future<Output = Result<TransferOutcome, EngineError>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(64);
    let work = work(sender.clone());
    tokio::spawn(async move {
        let outcome = tokio::select! {
            outcome = work => outcome,
            () = sender.closed() => return,
        };
        sender.send(outcome).await.ok();
    });
    ReceiverStream::new(receiver)
}

/// A transfer and those who take part in it.
pub(super) struct Transfer<'a> {
    pub(super) way: Way,
    pub(super) reference: &'a Reference,
    pub(super) outcomes: &'a Outcomes,
}

impl Inner {
    /// The registry of a reference, as the user's settings have it; it asks in the stream with this name.
    pub(super) fn registry(&self, reference: &Reference, auth_stream: String) -> wire::OciRegistry {
        let host_dir = self.config.registries.display().to_string();
        let resolver = wire::RegistryResolver { auth_stream, host_dir, ..Default::default() };
        wire::OciRegistry { reference: reference.to_string(), resolver: Some(resolver) }
    }

    /// Moves an image, answering the registry's questions, and again when the registry was too busy.
    pub(super) async fn move_image(
        &self,
        transfer: Transfer<'_>,
        ends: End<'_>,
        lease: Option<&Lease>,
        logins: &mut Logins,
        step: impl Fn(&Reference, wire::Progress) -> Option<Progress> + Clone + Send + 'static,
    ) -> Result<Vec<Saved>, EngineError> {
        let Transfer { way, reference, outcomes } = transfer;
        let (mut pauses, known) = (Pauses::default(), Known::default());
        loop {
            let pipe = self.open_pipe().await?;
            let ends = ends(pipe.id.clone());
            let (steps, shown, step) = (outcomes.clone(), reference.clone(), step.clone());
            let tell = move |progress| {
                if let Some(step) = step(&shown, progress) {
                    // A reader that is slow misses some progress, never a question or the end.
                    steps.try_send(Ok(TransferOutcome::Progress(step))).ok();
                }
            };
            let moving = self.transfer(ends, lease, tell, |status| refusal(way, reference, status));
            let answering = async {
                answer(pipe, logins, &known, outcomes).await;
                std::future::pending().await
            };
            let moved = tokio::select! {
                moved = moving => moved,
                moved = answering => moved,
            };
            let error = match moved {
                Ok(moved) => return Ok(moved),
                Err(error) => error,
            };
            // containerd has asked several times by then, without a pause, and does not tell what the registry wants.
            let wanted = match is_busy(&error) {
                true => self.wanted_pause(reference, &known).await,
                false => None,
            };
            retry::pause(&mut pauses, error, wanted, outcomes).await?;
        }
    }
}

/// The step of a layer; `None` for other content.
pub(super) fn layer_step(status: &str, progress: wire::Progress) -> Option<Progress> {
    let kind = &progress.desc.as_ref()?.media_type;
    if !kind.contains(".layer.") && !kind.contains(".rootfs.") {
        return None;
    }
    let step = transfer::step(progress);
    Some(Progress { id: transfer::short(&step.id), status: status.to_owned(), ..step })
}

impl Engine {
    /// Asks a registry whether it takes a login, in the way of a pull, so that the settings, certificates and proxies of
    /// pulls count: for the manifest of an image that is nowhere.
    ///
    /// # Errors
    /// `Unauthorized`; `InvalidArgument`: the host; `Unavailable`, `Timeout`, and what else the registry or the network
    /// says.
    pub async fn check_login(&self, host: &str, login: Login) -> Result<(), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let nowhere = format!("{host}/k3c/{}:login", uuid::Uuid::new_v4());
        let reference = Reference::parse(&nowhere)?;
        let (outcomes, mut questions) = mpsc::channel(16);
        let transfer = Transfer { way: Way::Login, reference: &reference, outcomes: &outcomes };
        let store = to_any(&wire::ImageStore { name: nowhere.clone(), ..Default::default() });
        let ends = |stream| (to_any(&inner.registry(&reference, stream)), store.clone());
        let mut logins = futures::stream::repeat(login).boxed();
        let asking = inner.move_image(transfer, &ends, None, &mut logins, |_, _| None);
        let listening = async {
            while questions.recv().await.is_some() {}
            std::future::pending().await
        };
        let asked = tokio::select! {
            asked = asking => asked,
            asked = listening => asked,
        };
        match asked {
            Err(error) if error.reason() != Reason::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Hands containerd's questions on, and the logins back, one by one.
async fn answer(
    pipe: Pipe,
    logins: &mut (impl Stream<Item = Login> + Unpin),
    known: &Known,
    outcomes: &Outcomes,
) {
    let Pipe { sender, mut receiver, .. } = pipe;
    while let Ok(Some(any)) = receiver.message().await {
        let Ok(request) = wire::AuthRequest::decode(any.value.as_slice()) else { continue };
        let host = request.host.clone();
        let question = LoginQuestion {
            host: request.host,
            reference: request.reference,
            challenges: request.wwwauthenticate,
        };
        if outcomes.send(Ok(TransferOutcome::Question(question))).await.is_err() {
            return;
        }
        let login = logins.next().await.unwrap_or_default();
        known.keep(&host, &login);
        if sender.send(to_any(&response(login))).await.is_err() {
            return;
        }
    }
}

fn response(login: Login) -> wire::AuthResponse {
    let (kind, username, secret) = match login {
        Login::Anonymous => (wire::AuthType::None, String::new(), String::new()),
        Login::Password { username, password } => (wire::AuthType::Credentials, username, password),
        Login::IdentityToken(token) => (wire::AuthType::Refresh, String::new(), token),
    };
    wire::AuthResponse { auth_type: kind.into(), username, secret, ..Default::default() }
}

/// Words of errors, by which they are known again.
const BUSY: &str = "refuses more requests for now";
const FAILED: &str = "failed: received unexpected HTTP status";
const CORRUPT: &str = "sent other content than it said";

/// Sentences of Go's network libraries, and what they are about.
const SENTENCES: [(&[&str], Trouble); 6] = [
    (&["unexpected commit digest", "unexpected commit size", "failed size validation"], Trouble::Digest),
    (&["gave HTTP response to HTTPS client"], Trouble::PlainHttp),
    (&["x509: "], Trouble::Certificate),
    (
        &[
            "unexpected EOF",
            "connection reset by peer",
            ": EOF",
            "broken pipe",
            "use of closed network connection",
        ],
        Trouble::Cut,
    ),
    (&["timeout", "deadline exceeded"], Trouble::Silence),
    (&["dial tcp", "tls: "], Trouble::Unreachable),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Digest,
    PlainHttp,
    Certificate,
    Cut,
    Silence,
    Unreachable,
}

/// A registry's or the network's no, in words; `Unavailable` is what may be over in a moment.
pub(super) fn refusal(way: Way, reference: &Reference, status: &Status) -> EngineError {
    let text = status.message();
    let host = &reference.domain;
    if words::has_lost_the_differ(status) {
        return EngineError::refused(Reason::Unavailable, "the process that unpacks layers has ended");
    }
    let code = http_status(text);
    let has = |part: &str| text.contains(part);
    // Somebody who is known is let in, though not to what is not there.
    if way == Way::Login
        && !has("oauth token")
        && (has("insufficient_scope") || matches!(code, Some((403, _))))
    {
        return EngineError::refused(Reason::NotFound, unknown(way, reference));
    }
    if matches!(code, Some((401 | 403, _))) || has("authorization failed") || has("no basic auth") {
        return EngineError::refused(Reason::Unauthorized, denied(way, reference, code));
    }
    match code {
        // An upload whose connection was cut is over for some registries.
        Some((404, _)) if has("PUT request to") && has("/blobs/uploads/") => {
            let words = format!("the registry {host} has given up the upload of a layer");
            return EngineError::refused(Reason::Unavailable, words);
        }
        Some((404, _)) => return EngineError::refused(Reason::NotFound, unknown(way, reference)),
        Some((429, _)) => {
            let words = format!("toomanyrequests: the registry {host} {BUSY}");
            return EngineError::refused(Reason::Unavailable, words);
        }
        Some((500.., said)) => {
            let words = format!("the registry {host} {FAILED}: {said}");
            return EngineError::refused(Reason::Unavailable, words);
        }
        Some((_, said)) => {
            let words = format!("the registry {host} refused: received unexpected HTTP status: {said}");
            return EngineError::refused(Reason::Internal, words);
        }
        None => {}
    }
    let found = SENTENCES
        .iter()
        .find_map(|(parts, trouble)| parts.iter().find(|part| has(part)).map(|part| (part, *trouble)));
    let Some((part, trouble)) = found else {
        return match has("not found") {
            true => EngineError::refused(Reason::NotFound, unknown(way, reference)),
            false => EngineError::call(way.failed())(status.clone()),
        };
    };
    let (reason, words) = trouble.words(host, text.find(part).map_or(text, |at| &text[at..]), text);
    // containerd waits in vain when it has begun an upload anew whose connection was cut.
    match way == Way::Push && has("timeout awaiting response headers") {
        true => EngineError::refused(Reason::Unavailable, words),
        false => EngineError::refused(reason, words),
    }
}

impl Way {
    fn failed(self) -> &'static str {
        match self {
            Self::Pull => "cannot pull",
            Self::Push => "cannot push",
            Self::Login => "cannot log in",
        }
    }
}

impl Trouble {
    /// `said`: the sentence and what is behind it.
    pub(super) fn words(self, host: &str, said: &str, text: &str) -> (Reason, String) {
        match self {
            Self::Digest => {
                let words = format!("the registry {host} {CORRUPT}: {said}");
                (Reason::Internal, words)
            }
            Self::PlainHttp => {
                let words = format!(
                    "the registry {host} speaks plain HTTP: to allow that, put 'server = \"http://{host}\"' into certs.d/{host}/hosts.toml in k3c's configuration folder"
                );
                (Reason::Unavailable, words)
            }
            Self::Certificate => {
                let words = format!(
                    "the registry {host} cannot be trusted: {said} (the certificate of its authority belongs into certs.d/{host}/ca.crt in k3c's configuration folder)"
                );
                (Reason::PermissionDenied, words)
            }
            Self::Cut => (
                Reason::Unavailable,
                format!("the registry {host} hung up: {}", said.trim_start_matches(": ")),
            ),
            Self::Silence => {
                (Reason::Timeout, format!("the registry {host} does not answer: {}", cause(text)))
            }
            Self::Unreachable => {
                (Reason::Internal, format!("cannot reach the registry {host}: {}", cause(text)))
            }
        }
    }
}

/// True when a registry has too much to do, and may have said for how long.
fn is_busy(error: &EngineError) -> bool {
    matches!(error, EngineError::Refused { text, .. } if text.contains(BUSY) || text.contains(FAILED))
}

/// True when a registry sent other content than it said.
pub(super) fn is_corrupt(error: &EngineError) -> bool {
    matches!(error, EngineError::Refused { text, .. } if text.contains(CORRUPT))
}

/// Go's error without the request that it is about.
fn cause(text: &str) -> &str {
    text.rsplit_once("\": ").map_or(text, |(_, cause)| cause)
}

/// The code and the text of an HTTP status that nobody expected.
fn http_status(text: &str) -> Option<(u16, &str)> {
    static STATUS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"unexpected [^\n]*: (([1-5]\d\d) [A-Za-z' -]+)").ok());
    let found = STATUS.as_ref()?.captures(text)?;
    Some((found.get(2)?.as_str().parse().ok()?, found.get(1)?.as_str()))
}

fn denied(way: Way, reference: &Reference, code: Option<(u16, &str)>) -> String {
    let repository = reference.familiar_repository();
    let text =
        format!("access denied for {repository}, repository does not exist or may require 'docker login'");
    match (way, code) {
        (Way::Pull, _) => format!("pull {text}"),
        (Way::Login, _) => {
            let status = code.map_or("401 Unauthorized", |(_, said)| said);
            let url = format!("https://{}/v2/", reference.domain);
            format!("login attempt to {url} failed with status: {status}")
        }
        (Way::Push, Some((401, _))) => format!("push {text}: unauthorized: authentication required"),
        (Way::Push, _) => format!("push {text}: denied: requested access to the resource is denied"),
    }
}

fn unknown(way: Way, reference: &Reference) -> String {
    match way {
        Way::Pull | Way::Login => {
            format!("manifest for {} not found: manifest unknown: manifest unknown", reference.familiar())
        }
        Way::Push => {
            format!("name unknown: the registry has no repository {}", reference.familiar_repository())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_as_containerd_has_them() {
        for (login, kind, username, secret) in [
            (Login::Anonymous, wire::AuthType::None, "", ""),
            (
                Login::Password { username: "u".into(), password: "p".into() },
                wire::AuthType::Credentials,
                "u",
                "p",
            ),
            (Login::IdentityToken("t".into()), wire::AuthType::Refresh, "", "t"),
        ] {
            let made = response(login);
            assert_eq!((made.auth_type(), &*made.username, &*made.secret), (kind, username, secret));
        }
    }

    #[test]
    fn refusals_in_words() {
        let reference = Reference::parse("localhost:5000/a").unwrap();
        let url = "http://localhost:5000/v2/a/manifests/latest";
        let resolve = format!("failed to resolve image: unexpected status from HEAD request to {url}: ");
        let request = format!("failed to resolve image: failed to do request: Head \"{url}\": ");
        for (way, text, reason, words) in [
            (
                Way::Pull,
                format!("{resolve}401 Unauthorized"),
                Reason::Unauthorized,
                "pull access denied for localhost:5000/a, repository does not exist or may require 'docker login'",
            ),
            (
                Way::Pull,
                "insufficient_scope: authorization failed".to_owned(),
                Reason::Unauthorized,
                "pull access denied for localhost:5000/a, repository does not exist or may require 'docker login'",
            ),
            (
                Way::Push,
                format!("{resolve}403 Forbidden"),
                Reason::Unauthorized,
                "push access denied for localhost:5000/a, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
            ),
            (
                Way::Pull,
                "failed to resolve image: localhost:5000/a:latest: not found".to_owned(),
                Reason::NotFound,
                "manifest for localhost:5000/a:latest not found: manifest unknown: manifest unknown",
            ),
            (
                Way::Pull,
                format!("{resolve}429 Too Many Requests"),
                Reason::Unavailable,
                "toomanyrequests: the registry localhost:5000 refuses more requests for now",
            ),
            (
                Way::Push,
                format!("{resolve}503 Service Unavailable"),
                Reason::Unavailable,
                "the registry localhost:5000 failed: received unexpected HTTP status: 503 Service Unavailable",
            ),
            (
                Way::Pull,
                format!("{request}dial tcp 127.0.0.1:5000: connect: connection refused"),
                Reason::Internal,
                "cannot reach the registry localhost:5000: dial tcp 127.0.0.1:5000: connect: connection refused",
            ),
            (
                Way::Pull,
                format!("{request}net/http: TLS handshake timeout"),
                Reason::Timeout,
                "the registry localhost:5000 does not answer: net/http: TLS handshake timeout",
            ),
            (
                Way::Pull,
                "failed to copy: unexpected EOF".to_owned(),
                Reason::Unavailable,
                "the registry localhost:5000 hung up: unexpected EOF",
            ),
            (
                Way::Login,
                format!(
                    "failed to authorize: failed to fetch oauth token: unexpected status from GET request to {url}: 401 Unauthorized"
                ),
                Reason::Unauthorized,
                "login attempt to https://localhost:5000/v2/ failed with status: 401 Unauthorized",
            ),
            (
                Way::Push,
                "unexpected status from PUT request to http://localhost:5000/v2/a/blobs/uploads/x?_state=y: 404 Not Found".to_owned(),
                Reason::Unavailable,
                "the registry localhost:5000 has given up the upload of a layer",
            ),
            (
                Way::Push,
                format!("failed to copy: failed to do request: Put \"{url}\": net/http: timeout awaiting response headers"),
                Reason::Unavailable,
                "the registry localhost:5000 does not answer: net/http: timeout awaiting response headers",
            ),
            (Way::Push, "something new".to_owned(), Reason::Internal, "cannot push: something new"),
        ] {
            let error = refusal(way, &reference, &Status::unknown(&text));
            assert_eq!((error.reason(), error.to_string().as_str()), (reason, words), "{text}");
        }
    }
}
