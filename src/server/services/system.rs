//! `k3c.v1.System`

use super::{Service, refused};
use crate::api::{API_VERSION, docker};
use crate::proto::k3c::v1 as wire;
use tonic::{Request, Response, Status};
use wire::system_server::System;

#[tonic::async_trait]
impl System for Service {
    async fn version(
        &self,
        _: Request<wire::VersionRequest>,
    ) -> Result<Response<wire::VersionResponse>, Status> {
        let version = self.0.version();
        let api_version = API_VERSION.to_owned();
        Ok(Response::new(wire::VersionResponse { api_version, ..version.into() }))
    }

    async fn info(&self, _: Request<wire::InfoRequest>) -> Result<Response<wire::InfoResponse>, Status> {
        let info = self.0.info().await.map_err(refused)?;
        Ok(Response::new(wire::InfoResponse { document: docker::text(&docker::Info::from(info)) }))
    }

    async fn disk_usage(
        &self,
        _: Request<wire::DiskUsageRequest>,
    ) -> Result<Response<wire::DiskUsageResponse>, Status> {
        Ok(Response::new(self.0.disk_usage().await.map_err(refused)?.into()))
    }
}
