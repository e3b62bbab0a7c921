//! `k3c.v1.Networks`

use super::{Service, refused};
use crate::api;
use crate::model::container::EndpointSpec;
use crate::model::filter::{NetworkFilter, PruneFilter};
use crate::proto::k3c::v1 as wire;
use tonic::{Request, Response, Status};
use wire::networks_server::Networks;

#[tonic::async_trait]
impl Networks for Service {
    async fn create(
        &self,
        request: Request<wire::CreateNetworkRequest>,
    ) -> Result<Response<wire::CreateNetworkResponse>, Status> {
        let (id, warnings) = self.0.create_network(request.into_inner().into()).await.map_err(refused)?;
        Ok(Response::new(wire::CreateNetworkResponse { id, warnings }))
    }

    async fn list(
        &self,
        request: Request<wire::ListNetworksRequest>,
    ) -> Result<Response<wire::ListNetworksResponse>, Status> {
        let filter = NetworkFilter::parse(api::filters_from(request.into_inner().filters))?;
        let all = self.0.networks(&filter).await.map_err(refused)?;
        Ok(Response::new(wire::ListNetworksResponse { networks: all.into_iter().map(Into::into).collect() }))
    }

    async fn inspect(
        &self,
        request: Request<wire::InspectNetworkRequest>,
    ) -> Result<Response<wire::InspectNetworkResponse>, Status> {
        let network = self.0.inspect_network(&request.into_inner().network).await.map_err(refused)?;
        Ok(Response::new(wire::InspectNetworkResponse { network: Some(network.into()) }))
    }

    async fn remove(
        &self,
        request: Request<wire::RemoveNetworkRequest>,
    ) -> Result<Response<wire::RemoveNetworkResponse>, Status> {
        self.0.remove_network(&request.into_inner().network).await.map_err(refused)?;
        Ok(Response::new(wire::RemoveNetworkResponse {}))
    }

    async fn connect(
        &self,
        request: Request<wire::ConnectNetworkRequest>,
    ) -> Result<Response<wire::ConnectNetworkResponse>, Status> {
        let request = request.into_inner();
        let place = EndpointSpec::try_from(request.endpoint.unwrap_or_default())?;
        self.0.connect_network(&request.container, place).await.map_err(refused)?;
        Ok(Response::new(wire::ConnectNetworkResponse {}))
    }

    async fn disconnect(
        &self,
        request: Request<wire::DisconnectNetworkRequest>,
    ) -> Result<Response<wire::DisconnectNetworkResponse>, Status> {
        let request = request.into_inner();
        self.0.disconnect_network(&request.network, &request.container).await.map_err(refused)?;
        Ok(Response::new(wire::DisconnectNetworkResponse {}))
    }

    async fn prune(
        &self,
        request: Request<wire::PruneRequest>,
    ) -> Result<Response<wire::PruneResponse>, Status> {
        let filter = PruneFilter::containers(api::filters_from(request.into_inner().filters))?;
        Ok(Response::new(self.0.prune_networks(&filter).await.map_err(refused)?.into()))
    }
}
