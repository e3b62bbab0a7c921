//! `k3c.v1.Containers`

use super::{Answers, Service, answers, refused};
use crate::api;
use crate::model::attach::Frame;
use crate::model::container::ContainerSpec;
use crate::proto::k3c::v1 as wire;
use futures::StreamExt;
use tonic::{Request, Response, Status, Streaming};
use wire::containers_server::Containers;

#[tonic::async_trait]
impl Containers for Service {
    async fn create(
        &self,
        request: Request<wire::CreateContainerRequest>,
    ) -> Result<Response<wire::CreateContainerResponse>, Status> {
        let request = request.into_inner();
        let spec = ContainerSpec::try_from(request.spec.unwrap_or_default())?;
        let (id, warnings) = self.0.create(spec, api::present(request.name)).await.map_err(refused)?;
        Ok(Response::new(wire::CreateContainerResponse { id: id.into(), warnings }))
    }

    async fn start(
        &self,
        request: Request<wire::StartContainerRequest>,
    ) -> Result<Response<wire::StartContainerResponse>, Status> {
        let warnings = self.0.start_container(&request.into_inner().container).await.map_err(refused)?;
        Ok(Response::new(wire::StartContainerResponse { warnings }))
    }

    async fn stop(
        &self,
        request: Request<wire::StopContainerRequest>,
    ) -> Result<Response<wire::StopContainerResponse>, Status> {
        let request = request.into_inner();
        let signal = api::present(request.signal);
        self.0.stop(&request.container, request.timeout_seconds, signal).await.map_err(refused)?;
        Ok(Response::new(wire::StopContainerResponse {}))
    }

    async fn kill(
        &self,
        request: Request<wire::KillContainerRequest>,
    ) -> Result<Response<wire::KillContainerResponse>, Status> {
        let request = request.into_inner();
        let signal = api::present(request.signal).unwrap_or_else(|| "SIGKILL".to_owned());
        self.0.kill(&request.container, &signal).await.map_err(refused)?;
        Ok(Response::new(wire::KillContainerResponse {}))
    }

    async fn remove(
        &self,
        request: Request<wire::RemoveContainerRequest>,
    ) -> Result<Response<wire::RemoveContainerResponse>, Status> {
        let request = request.into_inner();
        self.0.remove(&request.container, request.force, request.volumes).await.map_err(refused)?;
        Ok(Response::new(wire::RemoveContainerResponse {}))
    }

    async fn rename(
        &self,
        request: Request<wire::RenameContainerRequest>,
    ) -> Result<Response<wire::RenameContainerResponse>, Status> {
        let request = request.into_inner();
        self.0.rename(&request.container, &request.name).await.map_err(refused)?;
        Ok(Response::new(wire::RenameContainerResponse {}))
    }

    async fn pause(
        &self,
        request: Request<wire::PauseContainerRequest>,
    ) -> Result<Response<wire::PauseContainerResponse>, Status> {
        self.0.pause(&request.into_inner().container).await.map_err(refused)?;
        Ok(Response::new(wire::PauseContainerResponse {}))
    }

    async fn unpause(
        &self,
        request: Request<wire::UnpauseContainerRequest>,
    ) -> Result<Response<wire::UnpauseContainerResponse>, Status> {
        self.0.unpause(&request.into_inner().container).await.map_err(refused)?;
        Ok(Response::new(wire::UnpauseContainerResponse {}))
    }

    async fn restart(
        &self,
        request: Request<wire::RestartContainerRequest>,
    ) -> Result<Response<wire::RestartContainerResponse>, Status> {
        let request = request.into_inner();
        let signal = api::present(request.signal);
        let warnings =
            self.0.restart(&request.container, request.timeout_seconds, signal).await.map_err(refused)?;
        Ok(Response::new(wire::RestartContainerResponse { warnings }))
    }

    async fn wait(
        &self,
        request: Request<wire::WaitContainerRequest>,
    ) -> Result<Response<wire::WaitContainerResponse>, Status> {
        let request = request.into_inner();
        let condition = api::condition_from(request.condition)?;
        let status = self.0.wait(&request.container, condition).await.map_err(refused)?;
        Ok(Response::new(status.into()))
    }

    async fn list(
        &self,
        request: Request<wire::ListContainersRequest>,
    ) -> Result<Response<wire::ListContainersResponse>, Status> {
        let rows = self.0.list(api::list_from(request.into_inner())).await.map_err(refused)?;
        let containers = rows.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::ListContainersResponse { containers }))
    }

    async fn inspect(
        &self,
        request: Request<wire::InspectContainerRequest>,
    ) -> Result<Response<wire::InspectContainerResponse>, Status> {
        let request = request.into_inner();
        let document = self.0.inspect(&request.container, request.size).await.map_err(refused)?;
        Ok(Response::new(wire::InspectContainerResponse { document: document.to_string() }))
    }

    type LogsStream = Answers<wire::LogEntry>;

    async fn logs(&self, request: Request<wire::LogsRequest>) -> Result<Response<Self::LogsStream>, Status> {
        let (container, options) = api::logs_from(request.into_inner())?;
        Ok(answers(self.0.logs(&container, options).await.map_err(refused)?))
    }

    type AttachStream = Answers<wire::AttachResponse>;

    async fn attach(
        &self,
        request: Request<Streaming<wire::AttachRequest>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?.unwrap_or_default();
        let Frame::Hello(hello) = Frame::try_from(first)? else {
            return Err(api::Invalid::new("part", "the first request opens").into());
        };
        // A client that breaks the rules has gone.
        let frames = requests.map(|request| Frame::try_from(request.ok()?).ok());
        let frames =
            frames.take_while(|frame| std::future::ready(frame.is_some())).filter_map(std::future::ready);
        Ok(answers(self.0.attach(hello, frames).await.map_err(refused)?))
    }

    async fn create_exec(
        &self,
        request: Request<wire::CreateExecRequest>,
    ) -> Result<Response<wire::CreateExecResponse>, Status> {
        let request = request.into_inner();
        let container = request.container.clone();
        let id = self.0.create_exec(&container, request.into()).await.map_err(refused)?;
        Ok(Response::new(wire::CreateExecResponse { id }))
    }

    async fn start_exec(
        &self,
        request: Request<wire::StartExecRequest>,
    ) -> Result<Response<wire::StartExecResponse>, Status> {
        let request = request.into_inner();
        self.0.start_exec(&request.container, &request.exec).await.map_err(refused)?;
        Ok(Response::new(wire::StartExecResponse {}))
    }
}
