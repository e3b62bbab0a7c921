//! `k3c.v1.Containers`

use super::{Answers, Service, answers, refused};
use crate::api::{self, docker};
use crate::model::attach::Frame;
use crate::model::container::{ContainerSpec, ExecSpec};
use crate::model::filter::PruneFilter;
use crate::proto::k3c::v1 as wire;
use crate::sys::tree::{Owner, Unpack};
use futures::{Stream, StreamExt};
use std::io;
use tonic::{Request, Response, Status, Streaming};
use wire::containers_server::Containers;
use wire::copy_to_request::Part;
use wire::run_request::Part as RunPart;

/// Frames until the first that is none: a client that breaks the rules has gone.
fn legal(frames: impl Stream<Item = Option<Frame>>) -> impl Stream<Item = Frame> {
    frames.take_while(|frame| std::future::ready(frame.is_some())).filter_map(std::future::ready)
}

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

    type RunStream = Answers<wire::RunResponse>;

    async fn run(
        &self,
        request: Request<Streaming<wire::RunRequest>>,
    ) -> Result<Response<Self::RunStream>, Status> {
        let mut requests = request.into_inner();
        let Some(RunPart::Create(wanted)) = requests.message().await?.and_then(|first| first.part) else {
            return Err(api::Invalid::new("part", "the first request says what is wanted").into());
        };
        let spec = ContainerSpec::try_from(wanted.spec.unwrap_or_default())?;
        let hello = match requests.message().await? {
            None => None,
            Some(second) => match Frame::try_from(second)? {
                Frame::Hello(hello) => Some(hello),
                _ => return Err(api::Invalid::new("part", "the second request opens").into()),
            },
        };
        let frames = legal(requests.map(|request| Frame::try_from(request.ok()?).ok()));
        let news = self.0.run(spec, api::present(wanted.name), hello, frames).await.map_err(refused)?;
        Ok(answers(news))
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
        let rows = self.0.list(api::list_from(request.into_inner())?).await.map_err(refused)?;
        let containers = rows.into_iter().map(Into::into).collect();
        Ok(Response::new(wire::ListContainersResponse { containers }))
    }

    async fn inspect(
        &self,
        request: Request<wire::InspectContainerRequest>,
    ) -> Result<Response<wire::InspectContainerResponse>, Status> {
        let request = request.into_inner();
        let who = &request.container;
        let document = if request.cri {
            docker::text(&docker::CriContainer::from(self.0.inspect_cri(who).await.map_err(refused)?))
        } else {
            docker::text(&docker::Container::from(self.0.inspect(who, request.size).await.map_err(refused)?))
        };
        Ok(Response::new(wire::InspectContainerResponse { document }))
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
        let frames = legal(requests.map(|request| Frame::try_from(request.ok()?).ok()));
        Ok(answers(self.0.attach(hello, frames).await.map_err(refused)?))
    }

    async fn create_exec(
        &self,
        request: Request<wire::CreateExecRequest>,
    ) -> Result<Response<wire::CreateExecResponse>, Status> {
        let request = request.into_inner();
        let container = request.container.clone();
        let spec = ExecSpec::try_from(request)?;
        let id = self.0.create_exec(&container, spec).await.map_err(refused)?;
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

    async fn update(
        &self,
        request: Request<wire::UpdateContainerRequest>,
    ) -> Result<Response<wire::UpdateContainerResponse>, Status> {
        let request = request.into_inner();
        let resources = request.resources.unwrap_or_default().try_into()?;
        let restart = request.restart.map(TryInto::try_into).transpose()?;
        let warnings = self.0.update(&request.container, resources, restart).await.map_err(refused)?;
        Ok(Response::new(wire::UpdateContainerResponse { warnings }))
    }

    async fn top(
        &self,
        request: Request<wire::TopContainerRequest>,
    ) -> Result<Response<wire::TopContainerResponse>, Status> {
        let request = request.into_inner();
        let processes = self.0.top(&request.container, &request.args).await.map_err(refused)?;
        Ok(Response::new(processes.into()))
    }

    type StatsStream = Answers<wire::StatsResponse>;

    async fn stats(
        &self,
        request: Request<wire::StatsRequest>,
    ) -> Result<Response<Self::StatsStream>, Status> {
        let request = request.into_inner();
        let figures =
            self.0.stats(&request.containers, request.all, request.stream).await.map_err(refused)?;
        Ok(answers(figures))
    }

    async fn diff(
        &self,
        request: Request<wire::DiffContainerRequest>,
    ) -> Result<Response<wire::DiffContainerResponse>, Status> {
        let changes = self.0.diff(&request.into_inner().container).await.map_err(refused)?;
        let changes = changes
            .into_iter()
            .map(|change| wire::diff_container_response::Change {
                path: change.path.to_string_lossy().into_owned(),
                kind: change.kind.to_string(),
            })
            .collect();
        Ok(Response::new(wire::DiffContainerResponse { changes }))
    }

    type ExportStream = Answers<wire::Chunk>;

    async fn export(
        &self,
        request: Request<wire::ExportContainerRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let archive = self.0.export(&request.into_inner().container).await.map_err(refused)?;
        Ok(answers(archive.map(|part| part.map(wire::Chunk::from))))
    }

    async fn commit(
        &self,
        request: Request<wire::CommitContainerRequest>,
    ) -> Result<Response<wire::CommitContainerResponse>, Status> {
        let (container, options) = api::commit_from(request.into_inner());
        let id = self.0.commit_container(&container, options).await.map_err(refused)?;
        Ok(Response::new(wire::CommitContainerResponse { id }))
    }

    async fn stat_path(
        &self,
        request: Request<wire::StatPathRequest>,
    ) -> Result<Response<wire::StatPathResponse>, Status> {
        let request = request.into_inner();
        let stat = self.0.stat_path(&request.container, &request.path).await.map_err(refused)?;
        Ok(Response::new(wire::StatPathResponse { stat: Some(stat.into()) }))
    }

    type CopyFromStream = Answers<wire::Chunk>;

    async fn copy_from(
        &self,
        request: Request<wire::CopyFromRequest>,
    ) -> Result<Response<Self::CopyFromStream>, Status> {
        let request = request.into_inner();
        let archive = self
            .0
            .copy_from(&request.container, &request.path, &request.name, request.follow_link)
            .await
            .map_err(refused)?;
        Ok(answers(archive.map(|part| part.map(wire::Chunk::from))))
    }

    async fn copy_to(
        &self,
        request: Request<Streaming<wire::CopyToRequest>>,
    ) -> Result<Response<wire::CopyToResponse>, Status> {
        let mut parts = request.into_inner();
        let Some(Part::Options(options)) = parts.message().await?.and_then(|first| first.part) else {
            return Err(api::Invalid::new("part", "the first message must hold the options").into());
        };
        let how = Unpack {
            owner: if options.keep_owner { Owner::Kept } else { Owner::Root },
            no_overwrite_dir_non_dir: options.no_overwrite_dir_non_dir,
        };
        // A client that goes away in the middle, or says something else, is an error and not an end.
        let archive = parts.map(|part| match part {
            Ok(wire::CopyToRequest { part: Some(Part::Data(data)) }) => Ok(bytes::Bytes::from(data)),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "the client broke the archive off")),
            Err(status) => Err(io::Error::new(io::ErrorKind::InvalidInput, status.message().to_owned())),
        });
        let warnings =
            self.0.copy_to(&options.container, &options.path, how, archive).await.map_err(refused)?;
        Ok(Response::new(wire::CopyToResponse { warnings }))
    }

    async fn prune(
        &self,
        request: Request<wire::PruneRequest>,
    ) -> Result<Response<wire::PruneResponse>, Status> {
        let filter = PruneFilter::containers(api::filters_from(request.into_inner().filters))?;
        Ok(Response::new(self.0.prune_containers(filter).await.map_err(refused)?.into()))
    }
}
