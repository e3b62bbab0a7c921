//! The client against daemons that go away.

use super::*;
use crate::api::reason;
use crate::model::event::EventFilter;
use crate::model::reason::Reason;
use crate::proto::k3c::v1 as wire;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::path::Path;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};
use wire::events_server::{Events, EventsServer};

/// The event behind the last one that was seen, and then silence; or a refusal, if there is a filter.
struct OneEvent;

#[tonic::async_trait]
impl Events for OneEvent {
    type SubscribeStream = BoxStream<'static, Result<wire::Event, Status>>;

    async fn subscribe(
        &self,
        request: Request<wire::SubscribeEventsRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let request = request.into_inner();
        if !request.filters.is_empty() {
            return Err(reason::status(Reason::InUse, "conflict: it is in use"));
        }
        let time = Some(prost_types::Timestamp::default());
        let event = wire::Event { time, sequence: request.after + 1, ..wire::Event::default() };
        Ok(Response::new(stream::iter([Ok(event)]).chain(stream::pending()).boxed()))
    }
}

/// Serves at `real`; what is at `front` leads there, and is cut when the task is aborted.
fn daemon(front: &Path, real: &Path) -> tokio::task::JoinHandle<()> {
    if let Ok(listener) = UnixListener::bind(real) {
        let server = tonic::transport::Server::builder().add_service(EventsServer::new(OneEvent));
        tokio::spawn(server.serve_with_incoming(UnixListenerStream::new(listener)));
    }
    let _ = std::fs::remove_file(front);
    let (listener, real) = (UnixListener::bind(front).unwrap(), real.to_owned());
    tokio::spawn(async move {
        let mut relays = tokio::task::JoinSet::new();
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = UnixStream::connect(&real).await.unwrap();
            relays.spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    })
}

#[tokio::test]
async fn a_cut_stream_goes_on_and_a_refusal_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (front, real) = (folder.path().join("k3c.sock"), folder.path().join("real.sock"));
    let first = daemon(&front, &real);
    let address = Address::parse(front.to_str().unwrap()).unwrap();
    let client = connect(&address, Autostart::Never).await.unwrap();

    let filters = [("type".to_owned(), vec!["image".to_owned()])].into();
    let refused = client.events(EventFilter { filters, ..EventFilter::default() }).await.err().unwrap();
    assert_eq!(refused, ClientError::new(Reason::InUse, "conflict: it is in use"));

    let mut events = client.events(EventFilter::default()).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().sequence, 1);
    first.abort();

    // The engine is being restarted: a safe call waits, an unsafe one says so.
    let lost = client.kill("web", "KILL").await.unwrap_err();
    assert!(lost.disconnected, "{lost:?}");
    assert!(lost.message.starts_with("cannot talk to the k3c daemon at unix:///"), "{lost}");
    let (front, real) = (front.clone(), real.clone());
    let second = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let again = daemon(&front, &real);
        move || again.abort()
    });
    let next = timeout(Duration::from_secs(5), events.next()).await.unwrap().unwrap();
    assert_eq!(next.unwrap().sequence, 2);
    let mut others = client.events(EventFilter::default()).await.unwrap();
    assert!(others.next().await.unwrap().is_ok());
    let stop = second.await.unwrap();
    stop();
    // One that does not come back.
    let cut = timeout(Duration::from_secs(20), events.next()).await.unwrap().unwrap().unwrap_err();
    assert!(cut.disconnected && cut.is_unavailable(), "{cut:?}");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let address = Address::parse(folder.path().join("none.sock").to_str().unwrap()).unwrap();
    // A given address is never a reason to start something.
    let tell = |_: &str| panic!("nothing is started");
    for autostart in [Autostart::Never, Autostart::Allowed(&tell)] {
        let error = connect(&address, autostart).await.unwrap_err();
        assert!(error.disconnected && error.message.ends_with("Is it running?"), "{error}");
    }
}
