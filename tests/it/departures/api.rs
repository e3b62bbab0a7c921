//! The API on one connection of the test's own, and the clients of the others on that socket.

use crate::containers::DEMO;
use crate::env::TestEnv;
use crate::proxy::with_channel;
use anyhow::{Context, Result};
use k3c::proto::cri::image_service_client::ImageServiceClient;
use k3c::proto::cri::runtime_service_client::RuntimeServiceClient;
use k3c::proto::k3c::v1 as wire;
use std::collections::HashMap;
use tonic::transport::Channel;
use wire::containers_client::ContainersClient;
use wire::images_client::ImagesClient;
use wire::networks_client::NetworksClient;
use wire::volumes_client::VolumesClient;

/// A process that says when it is there, and when it is asked to end, which it does.
pub(super) const OBEYS: &str = "trap 'echo term; exit 0' TERM; echo up; while :; do sleep 0.1; done";
/// The same, which it does not.
pub(super) const STAYS: &str = "trap 'echo term' TERM; echo up; while :; do sleep 0.1; done";

/// A connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Api(Channel);

impl Api {
    /// Runs `body` with a connection, as the instance's user; the connection ends with it.
    pub(super) fn with<T: Send, F>(env: &TestEnv, body: impl FnOnce(Self) -> F + Send) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        with_channel(env, |channel| body(Self(channel)))
    }

    pub(super) fn channel(&self) -> Channel {
        self.0.clone()
    }

    pub(super) fn containers(&self) -> ContainersClient<Channel> {
        ContainersClient::new(self.channel())
    }

    pub(super) fn images(&self) -> ImagesClient<Channel> {
        ImagesClient::new(self.channel())
    }

    pub(super) fn volumes(&self) -> VolumesClient<Channel> {
        VolumesClient::new(self.channel())
    }

    pub(super) fn networks(&self) -> NetworksClient<Channel> {
        NetworksClient::new(self.channel())
    }

    pub(super) fn runtime(&self) -> RuntimeServiceClient<Channel> {
        RuntimeServiceClient::new(self.channel())
    }

    pub(super) fn cri_images(&self) -> ImageServiceClient<Channel> {
        ImageServiceClient::new(self.channel())
    }

    /// A call of containerd's.
    pub(super) fn namespaced<T>(message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request
            .metadata_mut()
            .insert("containerd-namespace", tonic::metadata::MetadataValue::from_static("k8s.io"));
        request
    }

    /// Docker's document of a container.
    pub(super) async fn inspect(&self, container: &str) -> Result<serde_json::Value> {
        let request = wire::InspectContainerRequest { container: container.into(), ..Default::default() };
        let answer = self.containers().inspect(request).await?.into_inner();
        serde_json::from_str(&answer.document).context("the document")
    }

    /// `created`, `running`, ...; none: there is no such container.
    pub(super) async fn status(&self, container: &str) -> Result<Option<String>> {
        let request = wire::InspectContainerRequest { container: container.into(), ..Default::default() };
        match self.containers().inspect(request).await {
            Ok(_) => {
                let status = self.inspect(container).await?["State"]["Status"].clone();
                Ok(Some(status.as_str().context("a status")?.to_owned()))
            }
            Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
            Err(status) => Err(status.into()),
        }
    }

    pub(super) async fn run(&self, name: &str, image: &str, command: &str) -> Result<()> {
        let create = wire::run_request::Part::Create(Box::new(creation(name, image, command)));
        let first = tokio_stream::once(wire::RunRequest { part: Some(create) });
        let mut news = self.containers().run(first).await?.into_inner();
        while let Some(step) = news.message().await? {
            if let Some(wire::run_response::Part::Started(_)) = step.part {
                return Ok(());
            }
        }
        anyhow::bail!("{name} was not started")
    }

    pub(super) async fn create(&self, name: &str, image: &str, script: &str) -> Result<()> {
        self.containers().create(creation(name, image, script)).await?;
        Ok(())
    }

    pub(super) async fn start(&self, name: &str) -> Result<()> {
        self.containers().start(wire::StartContainerRequest { container: name.into() }).await?;
        Ok(())
    }

    pub(super) async fn unpause(&self, name: &str) -> Result<()> {
        self.containers().unpause(wire::UnpauseContainerRequest { container: name.into() }).await?;
        Ok(())
    }

    pub(super) async fn kill(&self, name: &str) -> Result<()> {
        let signal = "KILL".into();
        self.containers().kill(wire::KillContainerRequest { container: name.into(), signal }).await?;
        Ok(())
    }

    /// Removes a container with its anonymous volumes; one that is not there is success.
    pub(super) async fn remove(&self, name: &str) -> Result<()> {
        let request = wire::RemoveContainerRequest { container: name.into(), force: true, volumes: true };
        match self.containers().remove(request).await {
            Err(status) if status.code() != tonic::Code::NotFound => Err(status.into()),
            _ => Ok(()),
        }
    }

    /// Removes an image; one that is not there is success.
    pub(super) async fn remove_image(&self, tag: &str) -> Result<()> {
        let request = wire::RemoveImageRequest { image: tag.into(), force: true, ..Default::default() };
        match self.images().remove(request).await {
            Err(status) if status.code() != tonic::Code::NotFound => Err(status.into()),
            _ => Ok(()),
        }
    }

    /// Sees to it that a container runs.
    pub(super) async fn running(&self, name: &str, script: &str) -> Result<()> {
        match self.status(name).await?.as_deref() {
            Some("running") => return Ok(()),
            Some("paused") => return self.unpause(name).await,
            Some(_) => {}
            None => self.create(name, DEMO, script).await?,
        }
        self.start(name).await?;
        for _ in 0..200 {
            let document = self.inspect(name).await?;
            let log = document["LogPath"].as_str().context("a path")?;
            // The reader is the instance's user, who may read it.
            if std::fs::read_to_string(log).is_ok_and(|text| text.contains("up")) {
                return Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        anyhow::bail!("{name} does not say that it is there")
    }

    /// Sees to it that a container does not run.
    pub(super) async fn resting(&self, name: &str) -> Result<()> {
        match self.status(name).await?.as_deref() {
            Some("running" | "paused") => self.kill(name).await,
            Some(_) => Ok(()),
            None => self.create(name, DEMO, OBEYS).await,
        }
    }

    /// Sees to it that there is an image of this name alone, with one label.
    pub(super) async fn image(&self, tag: &str) -> Result<()> {
        let source = format!("for-{}", tag.replace(['/', ':'], "-"));
        self.resting(&source).await?;
        let request = wire::CommitContainerRequest {
            container: source.clone(),
            reference: tag.into(),
            changes: vec![format!("LABEL departing={}", tag.replace(':', "-"))],
            ..Default::default()
        };
        self.containers().commit(request).await?;
        self.remove(&source).await
    }

    /// A process that waits to be started.
    pub(super) async fn exec(&self, container: &str, command: &[&str]) -> Result<String> {
        let request = wire::CreateExecRequest {
            container: container.into(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            ..Default::default()
        };
        Ok(self.containers().create_exec(request).await?.into_inner().id)
    }
}

/// A container with an anonymous volume, and a label that says what it is called.
pub(super) fn creation(name: &str, image: &str, script: &str) -> wire::CreateContainerRequest {
    let volume = wire::Mount {
        r#type: wire::mount::Type::Volume.into(),
        target: "/anonymous".into(),
        ..Default::default()
    };
    let spec = wire::ContainerSpec {
        image: image.into(),
        command: ["sh", "-c", script].map(str::to_owned).into(),
        labels: HashMap::from([("departing".to_owned(), name.to_owned())]),
        mounts: vec![volume],
        ..Default::default()
    };
    wire::CreateContainerRequest { spec: Some(spec), name: name.into() }
}
