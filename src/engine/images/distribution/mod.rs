//! Asking a registry without containerd, whose transfer service has no call for it: for the tags of a repository, a
//! manifest as it is, and the time for which it wants to be left alone. Settings, certificates, proxies and credentials
//! are those of pulls.
//!
//! ```text
//! hosts (hosts.toml, certificates) -> GET -> 401 -> challenge -> question to the client -> login -> token -> GET
//! ```

mod challenge;
mod hosts;
mod tags;

use super::registry::{Logins, Outcomes, Trouble, Way, refusal};
use super::retry::{self, Known, Pauses};
use crate::engine::Inner;
use crate::engine::error::EngineError;
use crate::model::image::TransferOutcome;
use crate::model::login::{Login, LoginQuestion};
use crate::model::reason::{Reason, chain};
use crate::model::reference::Reference;
use challenge::Challenge;
use futures::StreamExt;
use hosts::Host;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use std::fs;
use std::time::Duration;
use tonic::Status;

/// Largest answer, in bytes.
const LARGEST: usize = 8 << 20;
/// Longest wait for a connection, and for the next bytes of an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// The most addresses to which an answer may send us on.
const REDIRECTS: usize = 10;
/// Who we are, for token servers.
const CLIENT_ID: &str = "k3c";

/// Somebody who asks a registry about a repository.
pub(super) struct Asker<'a> {
    pub(super) reference: &'a Reference,
    pub(super) outcomes: &'a Outcomes,
    pub(super) logins: &'a mut Logins,
    pub(super) known: &'a Known,
    /// True when any certificate will do, and plain HTTP.
    pub(super) insecure: bool,
    /// The registry's hosts, from the first question on.
    lines: Option<Vec<Line>>,
}

impl<'a> Asker<'a> {
    pub(super) fn new(
        reference: &'a Reference,
        outcomes: &'a Outcomes,
        logins: &'a mut Logins,
        known: &'a Known,
    ) -> Self {
        Self { reference, outcomes, logins, known, insecure: false, lines: None }
    }
}

/// What a registry answered.
struct Answer {
    headers: HeaderMap,
    body: Vec<u8>,
}

/// Why it did not, and for how long it wants to be left alone.
pub(super) struct No {
    error: EngineError,
    wanted: Option<Duration>,
}

impl From<EngineError> for No {
    fn from(error: EngineError) -> Self {
        Self { error, wanted: None }
    }
}

impl Inner {
    /// Asks for a path below the repository, again while the registry is too busy.
    async fn ask(&self, asker: &mut Asker<'_>, path: &str, accept: &str) -> Result<Answer, EngineError> {
        let mut pauses = Pauses::default();
        loop {
            let no = match self.ask_once(asker, Method::GET, path, accept).await {
                Ok(answer) => return Ok(answer),
                Err(no) => no,
            };
            retry::pause(&mut pauses, no.error, no.wanted, asker.outcomes).await?;
        }
    }

    /// True when the repository has no such content; whoever does not know says that it has.
    pub(super) async fn is_missing_at(&self, asker: &mut Asker<'_>, digest: &str) -> bool {
        let asked = self.ask_once(asker, Method::HEAD, &format!("blobs/{digest}"), "*/*").await;
        asked.is_err_and(|no| no.error.reason() == Reason::NotFound)
    }

    /// For how long a registry that was too busy wants to be left alone; `None`: it does not say, or is not busy any more.
    pub(super) async fn wanted_pause(&self, reference: &Reference, known: &Known) -> Option<Duration> {
        let (outcomes, _nobody) = tokio::sync::mpsc::channel(1);
        let mut logins = futures::stream::empty().boxed();
        let mut asker = Asker::new(reference, &outcomes, &mut logins, known);
        let object = reference.digest.as_deref().or(reference.tag.as_deref()).unwrap_or_default();
        let path = format!("manifests/{object}");
        let asked = self.ask_once(&mut asker, Method::HEAD, &path, "*/*");
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Err(no)) => no.wanted,
            _ => None,
        }
    }

    async fn ask_once(
        &self,
        asker: &mut Asker<'_>,
        method: Method,
        path: &str,
        accept: &str,
    ) -> Result<Answer, No> {
        let mut lines = match asker.lines.take() {
            Some(lines) => lines,
            None => self.lines(asker)?,
        };
        let mut asked = Err(No::from(EngineError::invalid(format!(
            "the settings of the registry {} have no host at which names can be looked up",
            asker.reference.domain
        ))));
        for line in &mut lines {
            asked = line.ask(asker, &method, path, accept).await;
            if asked.is_ok() {
                break;
            }
        }
        asker.lines = Some(lines);
        asked
    }

    fn lines(&self, asker: &Asker<'_>) -> Result<Vec<Line>, EngineError> {
        let hosts = hosts::hosts(&self.config.registries, &asker.reference.domain)?;
        let line = |mut host: Host| {
            if asker.insecure {
                host.open_up();
            }
            Line { host, client: None, scheme: None, authorization: None }
        };
        Ok(hosts.into_iter().filter(|host| host.resolves).map(line).collect())
    }
}

/// A host that is asked.
struct Line {
    host: Host,
    client: Option<Client>,
    /// The scheme that was answered by, once it is known.
    scheme: Option<&'static str>,
    /// The header by which the host knew us last.
    authorization: Option<HeaderValue>,
}

impl Line {
    /// The client that has the host's settings.
    fn client(&mut self, reference: &Reference) -> Result<Client, EngineError> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let host = &self.host;
        let patience = host.patience.unwrap_or(PATIENCE);
        let mut builder = Client::builder()
            .user_agent(concat!("k3c/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(patience)
            .read_timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::limited(REDIRECTS))
            .danger_accept_invalid_certs(host.trusts_all);
        if host.is_local() {
            builder = builder.no_proxy();
        }
        let read = |file| fs::read(file).map_err(EngineError::file("cannot read", file));
        let bad = |file: &std::path::Path, error: &reqwest::Error| {
            EngineError::invalid(format!("{}: {}", file.display(), chain(error)))
        };
        for file in &host.authorities {
            let certificates = reqwest::Certificate::from_pem_bundle(&read(file)?);
            for certificate in certificates.map_err(|error| bad(file, &error))? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        for (file, key) in &host.certificates {
            let mut pem = read(file)?;
            if let Some(key) = key {
                pem.extend(read(key)?);
            }
            let identity = reqwest::Identity::from_pem(&pem).map_err(|error| bad(file, &error))?;
            builder = builder.identity(identity);
        }
        let client = builder.build().map_err(|error| failed(reference, &error))?;
        self.client = Some(client.clone());
        Ok(client)
    }

    /// Asks, and once more as somebody when the registry wants to know who it is.
    async fn ask(
        &mut self,
        asker: &mut Asker<'_>,
        method: &Method,
        path: &str,
        accept: &str,
    ) -> Result<Answer, No> {
        let client = self.client(asker.reference)?;
        let mut asked = 0;
        loop {
            let response = self.send(&client, asker.reference, method, path, accept).await?;
            asked += 1;
            if response.status() == StatusCode::UNAUTHORIZED && asked == 1 {
                self.authorization = self.authorize(&client, asker, response.headers()).await?;
                if self.authorization.is_some() {
                    continue;
                }
            }
            if !response.status().is_success() {
                return Err(refused(asker.reference, method, &response));
            }
            let headers = response.headers().clone();
            return Ok(Answer { headers, body: body(asker.reference, response).await? });
        }
    }

    async fn send(
        &mut self,
        client: &Client,
        reference: &Reference,
        method: &Method,
        path: &str,
        accept: &str,
    ) -> Result<Response, EngineError> {
        let mut failure = None;
        let schemes = match &self.scheme {
            Some(scheme) => std::slice::from_ref(scheme),
            None => &self.host.schemes[..],
        };
        for scheme in schemes {
            let Host { authority, path: front, .. } = &self.host;
            let mut url = format!("{scheme}://{authority}{front}/{}/{path}", reference.path);
            // A mirror of several registries wants to know whose name it is.
            let upstream =
                if reference.domain == "docker.io" { "registry-1.docker.io" } else { &reference.domain };
            if authority != upstream {
                url += if path.contains('?') { "&ns=" } else { "?ns=" };
                url += &reference.domain;
            }
            let mut request = client.request(method.clone(), &url).header(ACCEPT, accept);
            for (name, value) in &self.host.headers {
                request = request.header(name, value);
            }
            if let Some(value) = &self.authorization {
                request = request.header(reqwest::header::AUTHORIZATION, value);
            }
            match request.send().await {
                Ok(response) => {
                    self.scheme = Some(scheme);
                    return Ok(response);
                }
                Err(error) => failure = Some(failed(reference, &error)),
            }
        }
        Err(failure.unwrap_or_else(|| EngineError::Broken("a registry's host has no scheme".to_owned())))
    }

    /// The header by which a registry knows us; `None`: it wants what we do not have.
    async fn authorize(
        &self,
        client: &Client,
        asker: &mut Asker<'_>,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, EngineError> {
        let challenges = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<String> = challenges.map(str::to_owned).collect();
        let Some(challenge) = challenges.iter().find_map(|text| Challenge::parse(text)) else {
            return Ok(None);
        };
        let login = self.login(asker, challenges).await;
        let secret = match (challenge, login) {
            (Challenge::Basic, Login::Password { username, password }) => {
                let request = client.get("http://localhost").basic_auth(username, Some(password)).build();
                return Ok(request
                    .ok()
                    .and_then(|mut r| r.headers_mut().remove(reqwest::header::AUTHORIZATION)));
            }
            (Challenge::Basic, _) => return Ok(None),
            (Challenge::Bearer { realm, service, scope }, login) => {
                let scope = match scope.as_str() {
                    "" => format!("repository:{}:pull", asker.reference.path),
                    _ => scope,
                };
                self.token(client, asker.reference, &realm, &service, &scope, login).await?
            }
        };
        let mut value = HeaderValue::try_from(format!("Bearer {secret}")).ok();
        if let Some(value) = &mut value {
            value.set_sensitive(true);
        }
        Ok(value)
    }

    /// The caller's login for this host: asked for once.
    async fn login(&self, asker: &mut Asker<'_>, challenges: Vec<String>) -> Login {
        let host = &self.host.authority;
        if let Some(login) = asker.known.get(host) {
            return login;
        }
        let reference = asker.reference.to_string();
        let question = LoginQuestion { host: host.clone(), reference, challenges };
        if asker.outcomes.send(Ok(TransferOutcome::Question(question))).await.is_err() {
            return Login::Anonymous;
        }
        let login = asker.logins.next().await.unwrap_or_default();
        asker.known.keep(host, &login);
        login
    }

    async fn token(
        &self,
        client: &Client,
        reference: &Reference,
        realm: &str,
        service: &str,
        scope: &str,
        login: Login,
    ) -> Result<String, EngineError> {
        let realm = Url::parse(realm).map_err(|_| {
            EngineError::invalid(format!("the registry names no server of tokens: {realm:?}"))
        })?;
        let asked = [("service", service), ("scope", scope)];
        let get = |client: &Client| {
            let mut url = realm.clone();
            url.query_pairs_mut().extend_pairs(asked.iter().filter(|(_, value)| !value.is_empty()));
            client.get(url)
        };
        let request: RequestBuilder = match login {
            Login::Anonymous => get(client),
            Login::Password { username, password } => get(client).basic_auth(username, Some(password)),
            Login::IdentityToken(token) => {
                let mut form = realm.clone();
                let grant =
                    [("grant_type", "refresh_token"), ("client_id", CLIENT_ID), ("refresh_token", &token)];
                form.query_pairs_mut().clear().extend_pairs(grant.iter().chain(&asked));
                let form = form.query().unwrap_or_default().to_owned();
                let kind = (HeaderName::from_static("content-type"), "application/x-www-form-urlencoded");
                client.post(realm).header(kind.0, kind.1).body(form)
            }
        };
        let response = request.send().await.map_err(|error| failed(reference, &error))?;
        if !response.status().is_success() {
            return Err(refused(reference, &Method::GET, &response).error);
        }
        let answer = json(reference, &body(reference, response).await?)?;
        let token = ["token", "access_token"].iter().find_map(|key| answer[*key].as_str());
        let missing = || EngineError::Broken("the server of tokens gave none".to_owned());
        token.map(str::to_owned).ok_or_else(missing)
    }
}

/// An answer's bytes, if there are not too many.
async fn body(reference: &Reference, mut response: Response) -> Result<Vec<u8>, EngineError> {
    let mut bytes = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| failed(reference, &error))? {
        if bytes.len() + part.len() > LARGEST {
            let domain = &reference.domain;
            return Err(EngineError::Broken(format!(
                "the registry {domain} answers with more than {LARGEST} bytes"
            )));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

fn json(reference: &Reference, bytes: &[u8]) -> Result<Value, EngineError> {
    let domain = &reference.domain;
    let broken = |error| EngineError::Broken(format!("the registry {domain} answers with no JSON: {error}"));
    serde_json::from_slice(bytes).map_err(broken)
}

/// A no by its status, in the words of pulls.
fn refused(reference: &Reference, method: &Method, response: &Response) -> No {
    let (url, status) = (response.url(), response.status());
    let text = format!("unexpected status from {method} request to {url}: {status}");
    let wanted = response.headers().get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok());
    No {
        error: refusal(Way::Pull, reference, &Status::unknown(text)),
        wanted: wanted.and_then(retry::wanted),
    }
}

/// A connection's error, in the words of pulls.
fn failed(reference: &Reference, error: &reqwest::Error) -> EngineError {
    let text = chain(error);
    // The request that it is about says nothing new.
    let mut said = text.clone();
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        said = deeper.to_string();
        cause = deeper.source();
    }
    let trouble = match () {
        () if text.contains("certificate") => Trouble::Certificate,
        () if error.is_timeout() => Trouble::Silence,
        () if error.is_connect() => Trouble::Unreachable,
        () => Trouble::Cut,
    };
    let (reason, words) = trouble.words(&reference.domain, &said, &said);
    EngineError::refused(reason, words)
}
