//! `grpc.health.v1`: an engine that answers here is well; the backends are asked at their own services.

use crate::proto::grpc::health::v1 as wire;
use futures::stream::{self, BoxStream, StreamExt};
use tonic::{Request, Response, Status};
use wire::health_check_response::ServingStatus;
use wire::health_server::Health;

/// The health service.
pub(super) struct Checks;

const SERVICES: [&str; 6] =
    ["", "k3c.v1.Containers", "k3c.v1.Images", "k3c.v1.Volumes", "k3c.v1.System", "k3c.v1.Events"];

fn check(service: &str) -> Option<wire::HealthCheckResponse> {
    let status = ServingStatus::Serving.into();
    SERVICES.contains(&service).then_some(wire::HealthCheckResponse { status })
}

#[tonic::async_trait]
impl Health for Checks {
    async fn check(
        &self,
        request: Request<wire::HealthCheckRequest>,
    ) -> Result<Response<wire::HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        check(&service)
            .map(Response::new)
            .ok_or_else(|| Status::not_found(format!("unknown service {service:?}")))
    }

    async fn list(
        &self,
        _: Request<wire::HealthListRequest>,
    ) -> Result<Response<wire::HealthListResponse>, Status> {
        let statuses = SERVICES.iter().filter_map(|name| Some(((*name).to_owned(), check(name)?))).collect();
        Ok(Response::new(wire::HealthListResponse { statuses }))
    }

    type WatchStream = BoxStream<'static, Result<wire::HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<wire::HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let status = ServingStatus::ServiceUnknown.into();
        let now = check(&request.into_inner().service).unwrap_or(wire::HealthCheckResponse { status });
        Ok(Response::new(stream::iter([Ok(now)]).chain(stream::pending()).boxed()))
    }
}
