//! `k3c.v1.Volumes`

use super::{Service, refused};
use crate::proto::k3c::v1 as wire;
use tonic::{Request, Response, Status};
use wire::volumes_server::Volumes;

#[tonic::async_trait]
impl Volumes for Service {
    async fn create(
        &self,
        request: Request<wire::CreateVolumeRequest>,
    ) -> Result<Response<wire::CreateVolumeResponse>, Status> {
        let request = request.into_inner();
        let labels = request.labels.into_iter().collect();
        let volume = self.0.create_volume(&request.name, labels).await.map_err(refused)?;
        Ok(Response::new(wire::CreateVolumeResponse { volume: Some(volume.into()) }))
    }

    async fn list(
        &self,
        _: Request<wire::ListVolumesRequest>,
    ) -> Result<Response<wire::ListVolumesResponse>, Status> {
        let rows = self.0.volumes().await.map_err(refused)?;
        Ok(Response::new(wire::ListVolumesResponse { volumes: rows.into_iter().map(Into::into).collect() }))
    }

    async fn remove(
        &self,
        request: Request<wire::RemoveVolumeRequest>,
    ) -> Result<Response<wire::RemoveVolumeResponse>, Status> {
        let request = request.into_inner();
        self.0.remove_volume(&request.name, request.force).await.map_err(refused)?;
        Ok(Response::new(wire::RemoveVolumeResponse {}))
    }
}
