//! `pull` and `push`: the daemon says what a registry wants to know, and this side, where the user's files are, answers.

use super::Client;
use super::calls::{Answer, Answers};
use crate::credentials;
use crate::model::image::{Compression, TransferOutcome};
use crate::model::login::{Login, LoginQuestion};
use crate::model::reason::{Reason, chain};
use crate::model::reference::Reference;
use crate::proto::k3c::v1 as wire;
use async_stream::stream;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use wire::transfer_image_request::Part;

impl Client {
    /// Fetches an image; the last outcome is its name and ID. Questions are answered from the user's credentials; they
    /// are among the outcomes for those who want to show them.
    ///
    /// # Errors
    /// `InvalidArgument`: the reference or platform; `Unauthorized`, also with why the user's credentials could not be
    /// read; `NotFound`, also for that platform; `Unavailable`, `Timeout`: the registry.
    pub async fn pull(
        &self,
        reference: &str,
        platform: Option<String>,
        all_platforms: bool,
    ) -> Answers<TransferOutcome> {
        let platform = platform.unwrap_or_default();
        let options = wire::TransferOptions { platform, all_platforms, ..options(reference) };
        let (replies, requests) = opened(options);
        let answer = self.image_service().pull(requests).await;
        Ok(answered(self.answers(answer)?, replies).boxed())
    }

    /// Sends an image; otherwise like [`Self::pull`]. Without a platform all of it that is here.
    ///
    /// # Errors
    /// As for [`Self::pull`]; `NotFound` also for an image that is not here.
    pub async fn push(
        &self,
        reference: &str,
        platform: Option<String>,
        compression: Compression,
    ) -> Answers<TransferOutcome> {
        let platform = platform.unwrap_or_default();
        let compression = compression.as_str().to_owned();
        let (replies, requests) =
            opened(wire::TransferOptions { platform, compression, ..options(reference) });
        let answer = self.image_service().push(requests).await;
        Ok(answered(self.answers(answer)?, replies).boxed())
    }

    /// Tags of a repository at its registry; the last outcome is a document with a list `tags`. Questions are answered
    /// as those of a pull.
    ///
    /// # Errors
    /// As for [`Self::pull`]; `NotFound` for the repository.
    pub async fn remote_tags(&self, reference: &str) -> Answers<TransferOutcome> {
        let (replies, requests) = opened(options(reference));
        let answer = self.image_service().remote_tags(requests).await;
        Ok(answered(self.answers(answer)?, replies).boxed())
    }

    /// The manifest or index that a registry has; `verbose`: each manifest of an index, with its descriptor; `insecure`:
    /// whatever its certificate, and by plain HTTP if need be. The last outcome is the document.
    ///
    /// # Errors
    /// As for [`Self::pull`]; `NotFound` for the manifest.
    pub async fn remote_manifest(
        &self,
        reference: &str,
        verbose: bool,
        insecure: bool,
    ) -> Answers<TransferOutcome> {
        let (replies, requests) = opened(wire::TransferOptions { verbose, insecure, ..options(reference) });
        let answer = self.image_service().remote_manifest(requests).await;
        Ok(answered(self.answers(answer)?, replies).boxed())
    }
}

fn options(reference: &str) -> wire::TransferOptions {
    wire::TransferOptions { reference: reference.to_owned(), ..Default::default() }
}

impl Client {
    /// Asks a registry, as a pull would, whether it takes a login.
    ///
    /// # Errors
    /// `Unauthorized`; `InvalidArgument`: the host; `Timeout`, and what else the registry or the network says.
    pub async fn check_login(&self, host: &str, login: Login) -> Answer<()> {
        let request = wire::CheckLoginRequest { host: host.to_owned(), login: Some(login.into()) };
        self.answer(self.image_service().check_login(request).await).map(drop)
    }
}

/// A transfer's requests, which begin with the options.
fn opened(
    options: wire::TransferOptions,
) -> (mpsc::Sender<wire::TransferImageRequest>, ReceiverStream<wire::TransferImageRequest>) {
    let (replies, requests) = mpsc::channel(1);
    // The channel has room for it.
    replies.try_send(wire::TransferImageRequest { part: Some(Part::Options(options)) }).ok();
    (replies, ReceiverStream::new(requests))
}

/// Answers each question before it is handed on.
fn answered(
    mut outcomes: BoxStream<'static, Answer<TransferOutcome>>,
    replies: mpsc::Sender<wire::TransferImageRequest>,
) -> impl Stream<Item = Answer<TransferOutcome>> + Send {
    stream! {
        let mut unreadable = None;
        while let Some(outcome) = outcomes.next().await {
            match outcome {
                Ok(TransferOutcome::Question(question)) => {
                    let login = login(&question).await.unwrap_or_else(|why| {
                        unreadable = Some(why);
                        Login::Anonymous
                    });
                    // A daemon that does not listen any more says why itself.
                    replies.send(wire::TransferImageRequest { part: Some(Part::Login(login.into())) }).await.ok();
                    yield Ok(TransferOutcome::Question(question));
                }
                Err(mut error) => {
                    if let (Reason::Unauthorized, Some(why)) = (error.reason, unreadable.take()) {
                        error.message = format!("{error} (the credentials cannot be read: {why})");
                    }
                    yield Err(error);
                }
                outcome => yield outcome,
            }
        }
    }
}

/// The user's credentials; why they cannot be read, in words.
async fn login(question: &LoginQuestion) -> Result<Login, String> {
    let repository = Reference::parse(&question.reference).ok().map(|r| r.repository());
    let found = credentials::lookup(&question.host, repository.as_deref()).await;
    Ok(found.map_err(|error| chain(&error))?.map_or(Login::Anonymous, Login::from))
}
