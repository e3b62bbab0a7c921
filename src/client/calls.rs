//! The methods of `k3c.v1`, in our nouns.

use super::{Client, ClientError, Version, retry};
use crate::api;
use crate::model::archive::Part as ArchivePart;
use crate::model::container::{
    ContainerSpec, ContainerSummary, EndpointSpec, ExitStatus, ListFilter, LogEntry, LogPosition,
    LogsOptions, Pruned, WaitCondition,
};
use crate::model::event::{Event, EventFilter};
use crate::model::id::ContainerId;
use crate::model::image::{HistoryEntry, ImageSummary, ImportOptions, LoadOutcome, Removed};
use crate::model::network::{NetworkSummary, NetworkWish};
use crate::model::system::DiskUsage;
use crate::model::volume::VolumeSummary;
use crate::proto::k3c::v1 as wire;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use tonic::transport::Channel;
use tonic::{Response, Status, Streaming};
use wire::containers_client::ContainersClient;
use wire::events_client::EventsClient;
use wire::images_client::ImagesClient;
use wire::load_image_request::Part;
use wire::networks_client::NetworksClient;
use wire::system_client::SystemClient;
use wire::volumes_client::VolumesClient;

/// Limit of an answer, which can be a long list, in bytes.
const MAX_ANSWER: usize = 256 << 20;

/// Size of an archive's piece in one message, in bytes.
const CHUNK: usize = 256 << 10;

/// The answer of a call.
pub(super) type Answer<T> = Result<T, ClientError>;

/// The answers of a call that goes on answering.
pub(super) type Answers<T> = Result<BoxStream<'static, Answer<T>>, ClientError>;

impl Client {
    pub(super) fn containers(&self) -> ContainersClient<Channel> {
        ContainersClient::new(self.channel()).max_decoding_message_size(MAX_ANSWER)
    }

    pub(super) fn image_service(&self) -> ImagesClient<Channel> {
        ImagesClient::new(self.channel()).max_decoding_message_size(MAX_ANSWER)
    }

    fn volume_service(&self) -> VolumesClient<Channel> {
        VolumesClient::new(self.channel()).max_decoding_message_size(MAX_ANSWER)
    }

    fn network_service(&self) -> NetworksClient<Channel> {
        NetworksClient::new(self.channel()).max_decoding_message_size(MAX_ANSWER)
    }

    fn system(&self) -> SystemClient<Channel> {
        SystemClient::new(self.channel()).max_decoding_message_size(MAX_ANSWER)
    }

    pub(super) fn answer<T>(&self, answer: Result<Response<T>, Status>) -> Answer<T> {
        answer.map(Response::into_inner).map_err(|status| ClientError::from_status(&status, self.address()))
    }

    pub(super) fn answers<W, T>(&self, answer: Result<Response<Streaming<W>>, Status>) -> Answers<T>
    where
        W: Send + 'static,
        T: TryFrom<W, Error = api::Invalid> + Send + 'static,
    {
        let address = self.address().clone();
        let stream = self.answer(answer)?.map(move |item| match item {
            Ok(item) => T::try_from(item).map_err(ClientError::from),
            Err(status) => Err(ClientError::from_status(&status, &address)),
        });
        Ok(stream.boxed())
    }

    /// Makes a container; answers its ID, and warnings about wishes that cannot be applied.
    ///
    /// # Errors
    /// `InvalidArgument`: the specification; `NotFound`: the image, for that platform, or a container that is joined;
    /// `AlreadyExists`: the name is taken; `Unsupported`: `host-gateway`; `Unavailable`: the image is still being
    /// imported.
    pub async fn create(
        &self,
        spec: ContainerSpec,
        name: Option<String>,
    ) -> Answer<(ContainerId, Vec<String>)> {
        let request =
            wire::CreateContainerRequest { spec: Some(spec.into()), name: name.unwrap_or_default() };
        let answer = self.answer(self.containers().create(request).await)?;
        let id = ContainerId::try_from(answer.id)
            .map_err(|error| api::Invalid { field: "id", why: error.to_string() });
        Ok((id?, answer.warnings))
    }

    /// Starts a container; answers warnings.
    ///
    /// # Errors
    /// `NotFound`: no such container, or its image is gone; `Conflict`: it is paused or being removed, or one that it
    /// joins does not run; `CommandNotFound`, `CommandNotExecutable`: its command; `InvalidArgument`: a bind mount has
    /// no source; `Unavailable`: the daemon stops.
    pub async fn start(&self, container: &str) -> Answer<Vec<String>> {
        let request = wire::StartContainerRequest { container: container.to_owned() };
        Ok(self.answer(self.containers().start(request).await)?.warnings)
    }

    /// Stops a container; `None`: the timeout in seconds, or the signal, that it was made with.
    ///
    /// # Errors
    /// `NotFound`: no such container; `InvalidArgument`: the signal; `Internal`: it did not end after SIGKILL.
    pub async fn stop(&self, container: &str, timeout: Option<i64>, signal: Option<String>) -> Answer<()> {
        let request = wire::StopContainerRequest {
            container: container.to_owned(),
            timeout_seconds: timeout,
            signal: signal.unwrap_or_default(),
        };
        self.answer(self.containers().stop(request).await).map(drop)
    }

    /// Sends a signal to a container's first process.
    ///
    /// # Errors
    /// `NotFound`: no such container; `NotRunning`; `InvalidArgument`: the signal.
    pub async fn kill(&self, container: &str, signal: &str) -> Answer<()> {
        let request =
            wire::KillContainerRequest { container: container.to_owned(), signal: signal.to_owned() };
        self.answer(self.containers().kill(request).await).map(drop)
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// `NotFound`: no such container; `InvalidArgument`: the name is none, or is the one it has; `AlreadyExists`: it is
    /// taken.
    pub async fn rename(&self, container: &str, name: &str) -> Answer<()> {
        let request = wire::RenameContainerRequest { container: container.to_owned(), name: name.to_owned() };
        self.answer(self.containers().rename(request).await).map(drop)
    }

    /// Freezes a container's processes.
    ///
    /// # Errors
    /// `NotFound`: no such container; `Conflict`: it does not run, is restarting, or is paused already.
    pub async fn pause(&self, container: &str) -> Answer<()> {
        let request = wire::PauseContainerRequest { container: container.to_owned() };
        self.answer(self.containers().pause(request).await).map(drop)
    }

    /// Lets a paused container's processes go on.
    ///
    /// # Errors
    /// `NotFound`: no such container; `Conflict`: it is not paused.
    pub async fn unpause(&self, container: &str) -> Answer<()> {
        let request = wire::UnpauseContainerRequest { container: container.to_owned() };
        self.answer(self.containers().unpause(request).await).map(drop)
    }

    /// Stops a container and starts it afresh; answers warnings.
    ///
    /// # Errors
    /// `NotFound`: no such container; `InvalidArgument`: the signal; else as [`Client::start`].
    pub async fn restart(
        &self,
        container: &str,
        timeout: Option<i64>,
        signal: Option<String>,
    ) -> Answer<Vec<String>> {
        let request = wire::RestartContainerRequest {
            container: container.to_owned(),
            timeout_seconds: timeout,
            signal: signal.unwrap_or_default(),
        };
        Ok(self.answer(self.containers().restart(request).await)?.warnings)
    }

    /// Removes a container; `force` kills it first, `volumes` takes its anonymous volumes along.
    ///
    /// # Errors
    /// `NotFound`: no such container; `Conflict`: without `force`, it runs, is paused or restarting, or is foreign;
    /// with it, it was started meanwhile.
    pub async fn remove(&self, container: &str, force: bool, volumes: bool) -> Answer<()> {
        let request = wire::RemoveContainerRequest { container: container.to_owned(), force, volumes };
        self.answer(self.containers().remove(request).await).map(drop)
    }

    /// Answers when the condition is met. Survives a restart of the engine, but for the next exit, which could have
    /// been missed.
    ///
    /// # Errors
    /// `NotFound`: no such container; `Conflict`: the removal that is waited for failed.
    pub async fn wait(&self, container: &str, condition: WaitCondition) -> Answer<ExitStatus> {
        let call = async || {
            let request = wire::WaitContainerRequest {
                container: container.to_owned(),
                condition: api::condition_to(condition),
            };
            self.answer(self.containers().wait(request).await).map(ExitStatus::from)
        };
        match condition {
            WaitCondition::NextExit => call().await,
            WaitCondition::NotRunning | WaitCondition::Removed => retry::safe(call).await,
        }
    }

    /// Rows of `ps`.
    ///
    /// # Errors
    /// `InvalidArgument`: a filter; `NotFound`: the container of a `before` or `since` filter.
    pub async fn list(&self, filter: ListFilter) -> Answer<Vec<ContainerSummary>> {
        let size = filter.size;
        let request = api::list_to(filter);
        let answer = retry::safe(async || self.answer(self.containers().list(request.clone()).await)).await?;
        let rows = answer.containers.into_iter().map(|row| {
            let mut row = ContainerSummary::try_from(row)?;
            row.size = size.then(|| row.size.unwrap_or_default());
            Ok(row)
        });
        rows.collect()
    }

    /// Docker's document of a container.
    ///
    /// # Errors
    /// `NotFound`: no such container.
    pub async fn inspect(&self, container: &str, size: bool) -> Answer<serde_json::Value> {
        let answer = retry::safe(async || {
            let request = wire::InspectContainerRequest { container: container.to_owned(), size, cri: false };
            self.answer(self.containers().inspect(request).await)
        });
        Ok(api::document(&answer.await?.document)?)
    }

    /// A container as a kubelet sees it.
    ///
    /// # Errors
    /// As [`Client::inspect`].
    pub async fn inspect_cri(&self, container: &str) -> Answer<serde_json::Value> {
        let answer = retry::safe(async || {
            let request =
                wire::InspectContainerRequest { container: container.to_owned(), size: false, cri: true };
            self.answer(self.containers().inspect(request).await)
        });
        Ok(api::document(&answer.await?.document)?)
    }

    /// Entries of a container's log, in order.
    ///
    /// # Errors
    /// `NotFound`: no such container; `Unsupported`: its log driver is `none`. Among the entries: `Internal`, when a
    /// file cannot be read.
    pub async fn logs(&self, container: &str, options: LogsOptions) -> Answers<LogEntry> {
        let (client, container) = (self.clone(), container.to_owned());
        let open = move |seen: Option<LogPosition>| {
            let options = LogsOptions { after: seen.or(options.after), ..options };
            let (client, request) = (client.clone(), api::logs_to(&container, options));
            async move { client.answers(client.containers().logs(request).await) }.boxed()
        };
        retry::resumed(open, |entry: &LogEntry| entry.position).await
    }

    /// Rows of `images`.
    ///
    /// # Errors
    /// `InvalidArgument`: a filter; `NotFound`: the image of a `before` or `since` filter.
    pub async fn images(
        &self,
        all: bool,
        filters: BTreeMap<String, Vec<String>>,
    ) -> Answer<(Vec<ImageSummary>, Vec<String>)> {
        let request = wire::ListImagesRequest { all, filters: api::filters_to(filters) };
        let answer =
            retry::safe(async || self.answer(self.image_service().list(request.clone()).await)).await?;
        let images = answer.images.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok((images, answer.warnings))
    }

    /// Docker's document of an image.
    ///
    /// # Errors
    /// `NotFound`: no such image; `InvalidArgument`: the reference is none; `Unavailable`: the image is still being
    /// imported.
    pub async fn inspect_image(&self, image: &str) -> Answer<serde_json::Value> {
        let answer = retry::safe(async || {
            let request = wire::InspectImageRequest { image: image.to_owned() };
            self.answer(self.image_service().inspect(request).await)
        });
        Ok(api::document(&answer.await?.document)?)
    }

    /// Gives an image one more name.
    ///
    /// # Errors
    /// `NotFound`: no such image; `InvalidArgument`: one of the references; `Unavailable`: the image is still being
    /// imported.
    pub async fn tag(&self, source: &str, target: &str) -> Answer<()> {
        let request = wire::TagImageRequest { source: source.to_owned(), target: target.to_owned() };
        self.answer(self.image_service().tag(request).await).map(drop)
    }

    /// Removes a name, and the image with its last one, or only what of it is for some platforms; answers a line for
    /// each.
    ///
    /// # Errors
    /// `NotFound`: no such image, or not for a platform; `InUse`: a container uses it; `Conflict`: it is k3c's own, or in several repositories
    /// and not forced; `InvalidArgument`: the reference is none; `Unavailable`: the image is still being imported.
    pub async fn remove_image(
        &self,
        image: &str,
        force: bool,
        no_prune: bool,
        platforms: Vec<String>,
    ) -> Answer<Vec<Removed>> {
        let request = wire::RemoveImageRequest { image: image.to_owned(), force, no_prune, platforms };
        let answer = self.answer(self.image_service().remove(request).await)?;
        Ok(answer.lines.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
    }

    /// Loads the images of an archive. An error while reading it ends the call with that error.
    ///
    /// # Errors
    /// `InvalidArgument`, `Unsupported`: the platform. Among the outcomes: `InvalidArgument`, for what cannot be read, is
    /// no archive or a broken one, or has no image for the daemon's platform; `Conflict`: it has a name that is k3c's own;
    /// `Internal`: no space is left.
    pub async fn load<S>(&self, archive: S, platform: Option<String>) -> Answers<LoadOutcome>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let broken = Arc::new(Mutex::new(None));
        let options = wire::LoadOptions { platform: platform.unwrap_or_default(), ..Default::default() };
        let first = wire::LoadImageRequest { part: Some(Part::Options(options)) };
        let rest = upload(archive, Arc::clone(&broken))
            .map(|data| wire::LoadImageRequest { part: data.map(Part::Data) });
        let requests = futures::stream::iter([first]).chain(rest);
        let answer = self.answers(self.image_service().load(requests).await);
        let unreadable = unreadable(broken);
        match answer {
            Ok(outcomes) => Ok(outcomes.map(move |outcome| outcome.map_err(&unreadable)).boxed()),
            Err(error) => Err(unreadable(error)),
        }
    }

    /// Makes an image of a root filesystem's archive; answers its ID. An error while reading it ends the call with that
    /// error.
    ///
    /// # Errors
    /// `InvalidArgument`: the reference, the platform, an instruction, or the archive is none or cut off; `Internal`: no
    /// space is left.
    pub async fn import<S>(&self, archive: S, options: ImportOptions) -> Answer<String>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        use wire::import_image_request::Part;
        let broken = Arc::new(Mutex::new(None));
        let first = wire::ImportImageRequest { part: Some(Part::Options(options.into())) };
        let rest = upload(archive, Arc::clone(&broken))
            .map(|data| wire::ImportImageRequest { part: data.map(Part::Data) });
        let requests = futures::stream::iter([first]).chain(rest);
        let answer = self.answer(self.image_service().import(requests).await);
        answer.map(|answer| answer.id).map_err(unreadable(broken))
    }

    /// Steps by which an image was made, newest first; `None`: of the daemon's platform.
    ///
    /// # Errors
    /// `NotFound`: no such image, or none for the platform; `InvalidArgument`: the reference or the platform is none;
    /// `Unavailable`: the image is still being imported.
    pub async fn history(&self, image: &str, platform: Option<String>) -> Answer<Vec<HistoryEntry>> {
        let request =
            wire::ImageHistoryRequest { image: image.to_owned(), platform: platform.unwrap_or_default() };
        let call = async || self.answer(self.image_service().history(request.clone()).await);
        let answer = retry::safe(call).await?;
        Ok(answer.entries.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
    }

    /// The manifest or index of an image that is there; `verbose`: each manifest, with its descriptor.
    ///
    /// # Errors
    /// `NotFound`: no such image; `InvalidArgument`: the reference is none; `Unavailable`: the image is still being
    /// imported.
    pub async fn inspect_manifest(&self, image: &str, verbose: bool) -> Answer<serde_json::Value> {
        let request = wire::InspectManifestRequest { image: image.to_owned(), verbose };
        let call = async || self.answer(self.image_service().inspect_manifest(request.clone()).await);
        Ok(api::document(&retry::safe(call).await?.document)?)
    }

    /// Images as one archive, in the layout of OCI and of docker save; `None`: each platform that is there.
    ///
    /// # Errors
    /// `NotFound`: no such image, or none for the platform; `InvalidArgument`: a reference, or the platform. In the
    /// archive: `Internal`, when content cannot be read or is damaged.
    pub async fn save(&self, images: &[String], platform: Option<String>) -> Answers<ArchivePart<Bytes>> {
        let request =
            wire::SaveImagesRequest { images: images.to_vec(), platform: platform.unwrap_or_default() };
        self.answers(self.image_service().save(request).await)
    }

    /// Makes a volume; without a name an anonymous one.
    ///
    /// # Errors
    /// `InvalidArgument`: the name is none.
    pub async fn create_volume(
        &self,
        name: Option<String>,
        labels: BTreeMap<String, String>,
    ) -> Answer<VolumeSummary> {
        let request = wire::CreateVolumeRequest {
            name: name.unwrap_or_default(),
            labels: labels.into_iter().collect(),
        };
        let answer = self.answer(self.volume_service().create(request).await)?;
        let volume =
            answer.volume.ok_or_else(|| api::Invalid { field: "volume", why: "missing".to_owned() })?;
        Ok(volume.try_into()?)
    }

    /// Rows of `volume ls`.
    ///
    /// # Errors
    /// `InvalidArgument`: a filter.
    pub async fn volumes(
        &self,
        filters: BTreeMap<String, Vec<String>>,
        size: bool,
    ) -> Answer<Vec<VolumeSummary>> {
        let request = wire::ListVolumesRequest { filters: api::filters_to(filters), size };
        let call = async || self.answer(self.volume_service().list(request.clone()).await);
        let answer = retry::safe(call).await?;
        Ok(answer.volumes.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
    }

    /// Removes a volume and what is in it.
    ///
    /// # Errors
    /// `NotFound`: no such volume, without `force`; `InUse`: a container uses it.
    pub async fn remove_volume(&self, name: &str, force: bool) -> Answer<()> {
        let request = wire::RemoveVolumeRequest { name: name.to_owned(), force };
        self.answer(self.volume_service().remove(request).await).map(drop)
    }

    /// Removes the volumes that nobody uses.
    ///
    /// # Errors
    /// `InvalidArgument`: a filter. A volume that cannot be removed is left out.
    pub async fn prune_volumes(&self, filters: BTreeMap<String, Vec<String>>) -> Answer<Pruned> {
        let request = wire::PruneRequest { filters: api::filters_to(filters) };
        self.answer(self.volume_service().prune(request).await).map(Pruned::from)
    }

    /// Makes a network; answers its ID, and warnings.
    ///
    /// # Errors
    /// `InvalidArgument`: what is wished for; `PermissionDenied`: a predefined name; `AlreadyExists`: the name is taken;
    /// `Conflict`: others have the addresses.
    pub async fn create_network(&self, wish: NetworkWish) -> Answer<(String, Vec<String>)> {
        let answer =
            self.answer(self.network_service().create(wire::CreateNetworkRequest::from(wish)).await)?;
        Ok((answer.id, answer.warnings))
    }

    /// Rows of `network ls`.
    ///
    /// # Errors
    /// `InvalidArgument`: a filter.
    pub async fn networks(&self, filters: BTreeMap<String, Vec<String>>) -> Answer<Vec<NetworkSummary>> {
        let request = wire::ListNetworksRequest { filters: api::filters_to(filters) };
        let call = async || self.answer(self.network_service().list(request.clone()).await);
        let answer = retry::safe(call).await?;
        Ok(answer.networks.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
    }

    /// A network with its members.
    ///
    /// # Errors
    /// `NotFound`: no such network.
    pub async fn inspect_network(&self, network: &str) -> Answer<NetworkSummary> {
        let request = wire::InspectNetworkRequest { network: network.to_owned() };
        let call = async || self.answer(self.network_service().inspect(request.clone()).await);
        let answer = retry::safe(call).await?;
        let network =
            answer.network.ok_or_else(|| api::Invalid { field: "network", why: "missing".to_owned() })?;
        Ok(network.try_into()?)
    }

    /// Removes a network.
    ///
    /// # Errors
    /// `NotFound`: no such network; `PermissionDenied`: a predefined one; `InUse`: a container that runs is in it.
    pub async fn remove_network(&self, network: &str) -> Answer<()> {
        let request = wire::RemoveNetworkRequest { network: network.to_owned() };
        self.answer(self.network_service().remove(request).await).map(drop)
    }

    /// Gives a container a place in one more network.
    ///
    /// # Errors
    /// `NotFound`: no such container or network; `InvalidArgument`: the wishes, or it cannot be in networks;
    /// `AlreadyExists`: it is in the network; `Conflict`: somebody has the address.
    pub async fn connect_network(&self, container: &str, place: EndpointSpec) -> Answer<()> {
        let request =
            wire::ConnectNetworkRequest { container: container.to_owned(), endpoint: Some(place.into()) };
        self.answer(self.network_service().connect(request).await).map(drop)
    }

    /// Takes a container out of a network.
    ///
    /// # Errors
    /// `NotFound`: no such container or network; `InvalidArgument`: it is not in the network.
    pub async fn disconnect_network(&self, network: &str, container: &str) -> Answer<()> {
        let request =
            wire::DisconnectNetworkRequest { network: network.to_owned(), container: container.to_owned() };
        self.answer(self.network_service().disconnect(request).await).map(drop)
    }

    /// Removes the networks that no container is in.
    ///
    /// # Errors
    /// `InvalidArgument`: a filter. A network that cannot be removed is left out.
    pub async fn prune_networks(&self, filters: BTreeMap<String, Vec<String>>) -> Answer<Pruned> {
        let request = wire::PruneRequest { filters: api::filters_to(filters) };
        self.answer(self.network_service().prune(request).await).map(Pruned::from)
    }

    /// Removes the images that nobody uses; and how many bytes that gave.
    ///
    /// # Errors
    /// `InvalidArgument`: a filter. An image that cannot be removed is left out.
    pub async fn prune_images(&self, filters: BTreeMap<String, Vec<String>>) -> Answer<(Vec<Removed>, i64)> {
        let request = wire::PruneRequest { filters: api::filters_to(filters) };
        let answer = self.answer(self.image_service().prune(request).await)?;
        let lines = answer.lines.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
        Ok((lines, answer.reclaimed))
    }

    /// Disk usage of images, containers and volumes.
    ///
    /// # Errors
    /// Only those of every method, as [`Client`] says.
    pub async fn disk_usage(&self) -> Answer<DiskUsage> {
        let call = async || self.answer(self.system().disk_usage(wire::DiskUsageRequest {}).await);
        Ok(retry::safe(call).await?.try_into()?)
    }

    /// Version of the daemon.
    ///
    /// # Errors
    /// Only those of every method, as [`Client`] says.
    pub async fn version(&self) -> Answer<Version> {
        retry::safe(async || self.version_once().await).await
    }

    /// Version of the daemon, asked for once: whether it answers now.
    pub(super) async fn version_once(&self) -> Answer<Version> {
        self.answer(self.system().version(wire::VersionRequest {}).await).map(Version::from)
    }

    /// Docker's document of `info`.
    ///
    /// # Errors
    /// Only those of every method, as [`Client`] says.
    pub async fn info(&self) -> Answer<serde_json::Value> {
        let call = async || self.answer(self.system().info(wire::InfoRequest {}).await);
        Ok(api::document(&retry::safe(call).await?.document)?)
    }

    /// Events, until the filter's `until`.
    ///
    /// # Errors
    /// `InvalidArgument`: a filter. Among the events: `Internal`, when some were lost because they were read too
    /// slowly.
    pub async fn events(&self, filter: EventFilter) -> Answers<Event> {
        let client = self.clone();
        let begun = Timestamp::now();
        let mut again = false;
        let open = move |seen: Option<u64>| {
            let mut filter = EventFilter { after: seen.or(filter.after), ..filter.clone() };
            // Events that happened while it was away are the past by now.
            if std::mem::replace(&mut again, true) && filter.after.is_none() {
                filter.since = filter.since.or(Some(begun));
            }
            let (client, request) = (client.clone(), wire::SubscribeEventsRequest::from(filter));
            async move { client.answers(EventsClient::new(client.channel()).subscribe(request).await) }
                .boxed()
        };
        retry::resumed(open, |event: &Event| event.sequence).await
    }
}

/// The error while reading an archive, if there was one, in the place of what came of it.
fn unreadable(broken: Arc<Mutex<Option<ClientError>>>) -> impl Fn(ClientError) -> ClientError {
    move |error| match broken.lock() {
        Ok(mut slot) => slot.take().unwrap_or(error),
        Err(_) => error,
    }
}

/// An archive's bytes in pieces. A read error is kept in `broken` and cuts the stream by a piece that is none, so that the
/// daemon does not take half an archive for a whole one.
fn upload<S>(
    archive: S,
    broken: Arc<Mutex<Option<ClientError>>>,
) -> impl Stream<Item = Option<Vec<u8>>> + Send
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    async_stream::stream! {
        let mut archive = std::pin::pin!(archive);
        while let Some(piece) = archive.next().await {
            match piece {
                Ok(bytes) => {
                    for chunk in bytes.chunks(CHUNK) {
                        yield Some(chunk.to_vec());
                    }
                }
                Err(error) => {
                    let error = ClientError::new(
                        crate::model::reason::Reason::InvalidArgument,
                        format!("cannot read the archive: {error}"),
                    );
                    if let Ok(mut slot) = broken.lock() {
                        *slot = Some(error);
                    }
                    yield None;
                    return;
                }
            }
        }
    }
}
