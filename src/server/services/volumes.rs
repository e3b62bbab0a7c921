//! `k3c.v1.Volumes`

use super::{Service, refused};
use crate::api;
use crate::model::filter::{PruneFilter, VolumeFilter};
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
        request: Request<wire::ListVolumesRequest>,
    ) -> Result<Response<wire::ListVolumesResponse>, Status> {
        let request = request.into_inner();
        let filter = VolumeFilter::parse(api::filters_from(request.filters))?;
        let rows = self.0.volumes(&filter, request.size).await.map_err(refused)?;
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

    async fn prune(
        &self,
        request: Request<wire::PruneRequest>,
    ) -> Result<Response<wire::PruneResponse>, Status> {
        let filter = PruneFilter::volumes(api::filters_from(request.into_inner().filters))?;
        Ok(Response::new(self.0.prune_volumes(&filter).await.map_err(refused)?.into()))
    }
}
