//! A container that is made, attached to and started in one call.

use super::attach::{Attachment, Frames, Session, Wanted};
use super::{Client, ClientError};
use crate::model::attach::RunStep;
use crate::model::container::ContainerSpec;
use crate::model::id::ContainerId;
use crate::model::reason::Reason;
use crate::proto::k3c::v1 as wire;
use futures::stream::{self, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use wire::run_request::Part;

/// A container that was made and is being started.
pub struct Running {
    /// Its ID.
    pub id: ContainerId,
    /// Warnings of its creation.
    pub warnings: Vec<String>,
    /// What is still to be heard, until a session has it.
    frames: Option<Frames>,
    session: Option<(Session, mpsc::Sender<wire::AttachRequest>)>,
    started: oneshot::Receiver<Result<(), ClientError>>,
}

impl Client {
    /// Makes a container and starts it; with `wanted` its streams can be joined from the first byte. Who drops the answer
    /// before the start leaves a container that is not started.
    ///
    /// # Errors
    /// As [`Client::create`]: nothing was made.
    pub async fn run(
        &self,
        spec: ContainerSpec,
        name: Option<String>,
        wanted: Option<Wanted>,
    ) -> Result<Running, ClientError> {
        let create = wire::CreateContainerRequest { spec: Some(spec.into()), name: name.unwrap_or_default() };
        let mut session = wanted.map(|wanted| Session::new(self.clone(), wanted));
        let (to, requests) = mpsc::channel(16);
        let hello = session.as_ref().and_then(|session| session.hello(None));
        let first = [Some(Part::Create(Box::new(create))), hello.map(Part::Attach)];
        let first = stream::iter(first.into_iter().flatten());
        let more = session.is_some().then(|| ReceiverStream::new(requests).map(Part::Attach));
        let requests = first.chain(stream::iter(more).flatten());
        let requests = requests.map(|part| wire::RunRequest { part: Some(part) });
        let mut news = self.answer(self.containers().run(requests).await)?;
        let address = self.address().clone();
        let heard = |status| ClientError::from_status(&status, &address);
        let Some(created) = news.message().await.map_err(heard)? else {
            return Err(ClientError::hung_up());
        };
        let RunStep::Created(id, warnings) = RunStep::try_from(created)? else {
            return Err(ClientError::new(Reason::Internal, "the daemon did not say what it made"));
        };
        if let Some(session) = &mut session {
            session.is_of(id.as_str());
        }
        let (told, started) = oneshot::channel();
        let mut told = Some(told);
        let frames = news.filter_map(move |message| {
            let step = match message {
                Ok(message) => RunStep::try_from(message).map_err(ClientError::from),
                Err(status) => Err(ClientError::from_status(&status, &address)),
            };
            let frame = match (step, told.is_some()) {
                (Ok(RunStep::Frame(frame)), _) => Some(Ok(frame)),
                (Ok(RunStep::Started(_)), true) => {
                    told.take().and_then(|told| told.send(Ok(())).ok());
                    None
                }
                (Ok(_), _) => None,
                // There is no session to go on with when it did not start.
                (Err(error), true) => {
                    told.take().and_then(|told| told.send(Err(error)).ok());
                    Some(Err(ClientError::new(Reason::NotRunning, "it was not started")))
                }
                (Err(error), false) => Some(Err(error)),
            };
            std::future::ready(frame)
        });
        let session = session.map(|session| (session, to));
        Ok(Running { id, warnings, frames: Some(frames.boxed()), session, started })
    }
}

impl Running {
    /// Joins its streams; `None` when none were wanted.
    ///
    /// # Errors
    /// As [`Client::attach`].
    pub async fn attachment(&mut self) -> Result<Option<Attachment>, ClientError> {
        let Some((mut session, to)) = self.session.take() else { return Ok(None) };
        let Some(frames) = self.frames.take() else { return Ok(None) };
        match session.welcomed(to, frames).await {
            Ok(connection) => Ok(Some(session.begin(connection))),
            // The cause is what was told of the start.
            Err(error) => Err(self.started.try_recv().ok().and_then(Result::err).unwrap_or(error)),
        }
    }

    /// Waits for the start.
    ///
    /// # Errors
    /// As [`Client::start`].
    pub async fn started(mut self) -> Result<(), ClientError> {
        // Without a session nobody else listens.
        if let Some(mut frames) = self.frames.take() {
            while self.started.is_empty() && frames.next().await.is_some() {}
        }
        self.started.await.map_err(|_| ClientError::hung_up())?
    }
}
