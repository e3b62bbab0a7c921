//! Our services: decode, call the engine, encode. No logic.

mod containers;
mod events;
mod images;
mod networks;
mod system;
mod volumes;

use super::health::Checks;
use crate::api::reason;
use crate::engine::{Engine, EngineError};
use crate::proto::grpc::health::v1::health_server::HealthServer;
use crate::proto::k3c::v1 as wire;
use futures::stream::{BoxStream, Stream, StreamExt};
use tonic::service::{Routes, RoutesBuilder};
use tonic::{Response, Status};
use wire::containers_server::ContainersServer;
use wire::events_server::EventsServer;
use wire::images_server::ImagesServer;
use wire::networks_server::NetworksServer;
use wire::system_server::SystemServer;
use wire::volumes_server::VolumesServer;

/// Limit of a request, in bytes.
const MAX_REQUEST: usize = 64 << 20;

/// The engine, as each service sees it.
#[derive(Clone)]
struct Service(Engine);

/// An answer that goes on.
type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// All of our services.
pub(super) fn routes(engine: &Engine) -> Routes {
    let service = || Service(engine.clone());
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(ContainersServer::new(service()).max_decoding_message_size(MAX_REQUEST))
        .add_service(ImagesServer::new(service()).max_decoding_message_size(MAX_REQUEST))
        .add_service(VolumesServer::new(service()))
        .add_service(NetworksServer::new(service()).max_decoding_message_size(MAX_REQUEST))
        .add_service(SystemServer::new(service()))
        .add_service(EventsServer::new(service()))
        .add_service(HealthServer::new(Checks));
    routes.routes()
}

/// The status of an engine's error, made in this one place. Its text is whole; causes are for our log.
pub(super) fn refused(error: EngineError) -> Status {
    tracing::debug!(?error, "refused");
    reason::status(error.reason(), error.to_string())
}

fn answers<T, W>(stream: impl Stream<Item = Result<T, EngineError>> + Send + 'static) -> Response<Answers<W>>
where
    W: From<T> + 'static,
{
    Response::new(stream.map(|item| item.map(W::from).map_err(refused)).boxed())
}
