//! Calls that change containers in place, measure them, and move files in and out of them.

use super::calls::{Answer, Answers};
use super::{Client, retry};
use crate::api;
use crate::model::archive::Part as ArchivePart;
use crate::model::container::{CommitOptions, PathStat, Processes, Pruned, Resources, RestartPolicy, Stats};
use crate::proto::k3c::v1 as wire;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use std::collections::BTreeMap;
use wire::copy_to_request::Part;

impl Client {
    /// Changes limits and restart policy; answers warnings.
    ///
    /// # Errors
    /// `NotFound`: no such container; `Conflict`: it is being removed; `InvalidArgument`: the limits, or a restart
    /// policy for a container with `--rm`.
    pub async fn update(
        &self,
        container: &str,
        resources: Resources,
        restart: Option<RestartPolicy>,
    ) -> Answer<Vec<String>> {
        let request = wire::UpdateContainerRequest {
            container: container.to_owned(),
            resources: Some(resources.into()),
            restart: restart.map(Into::into),
        };
        Ok(self.answer(self.containers().update(request).await)?.warnings)
    }

    /// Processes of a container as ps(1) lists them with `args`; without arguments `-ef`.
    ///
    /// # Errors
    /// `NotFound`: no such container; `NotRunning`; `Conflict`: it is restarting; `InvalidArgument`: ps does not take
    /// the arguments, or prints no PIDs with them.
    pub async fn top(&self, container: &str, args: &[String]) -> Answer<Processes> {
        let request = wire::TopContainerRequest { container: container.to_owned(), args: args.to_vec() };
        let call = async || self.answer(self.containers().top(request.clone()).await);
        retry::safe(call).await.map(Processes::from)
    }

    /// Figures of the named containers (empty: of those that run, or with `all` of all), each second; without `stream`
    /// once.
    ///
    /// # Errors
    /// `NotFound`: one of the named containers.
    pub async fn stats(&self, containers: &[String], all: bool, stream: bool) -> Answers<Stats> {
        let request = wire::StatsRequest { containers: containers.to_vec(), all, stream };
        retry::safe(async || self.answers(self.containers().stats(request.clone()).await)).await
    }

    /// Changes of a container's files: kind and path.
    ///
    /// # Errors
    /// `NotFound`: no such container, or its image is gone.
    pub async fn diff(&self, container: &str) -> Answer<Vec<(String, String)>> {
        let call = async || {
            let request = wire::DiffContainerRequest { container: container.to_owned() };
            self.answer(self.containers().diff(request).await)
        };
        Ok(retry::safe(call).await?.changes.into_iter().map(|c| (c.kind, c.path)).collect())
    }

    /// A container's root filesystem as an archive, without the mounts in it.
    ///
    /// # Errors
    /// `NotFound`: no such container. In the archive: `Internal`, when a file cannot be read.
    pub async fn export(&self, container: &str) -> Answers<ArchivePart<Bytes>> {
        let request = wire::ExportContainerRequest { container: container.to_owned() };
        self.answers(self.containers().export(request).await)
    }

    /// Makes an image of a container; answers the image's ID.
    ///
    /// # Errors
    /// `NotFound`: no such container, or its image is gone; `InvalidArgument`: the reference, or an instruction.
    pub async fn commit(&self, container: &str, options: CommitOptions) -> Answer<String> {
        let request = api::commit_to(container, options);
        Ok(self.answer(self.containers().commit(request).await)?.id)
    }

    /// Facts of a path in a container.
    ///
    /// # Errors
    /// `NotFound`: no such container, or no such path in it; `InvalidArgument`: the path leads through what is no
    /// folder.
    pub async fn stat_path(&self, container: &str, path: &str) -> Answer<PathStat> {
        let request = wire::StatPathRequest { container: container.to_owned(), path: path.to_owned() };
        let call = async || self.answer(self.containers().stat_path(request.clone()).await);
        let stat = retry::safe(call).await?.stat.unwrap_or_default();
        Ok(stat.try_into()?)
    }

    /// A path in a container as an archive, whose root is called `name`.
    ///
    /// # Errors
    /// As [`Client::stat_path`]. In the archive: `Internal`, when a file cannot be read.
    pub async fn copy_from(
        &self,
        container: &str,
        path: &str,
        name: &str,
        follow: bool,
    ) -> Answers<ArchivePart<Bytes>> {
        let request = wire::CopyFromRequest {
            container: container.to_owned(),
            path: path.to_owned(),
            follow_link: follow,
            name: name.to_owned(),
        };
        self.answers(self.containers().copy_from(request).await)
    }

    /// Unpacks an archive into a folder of a container; answers warnings. When the archive ends with an error, so does
    /// the call.
    ///
    /// # Errors
    /// `NotFound`: no such container or folder; `Conflict`: the place is read-only; `InvalidArgument`: the path is no
    /// folder, or the archive is none or cut off.
    pub async fn copy_to<S>(
        &self,
        container: &str,
        path: &str,
        keep_owner: bool,
        archive: S,
    ) -> Answer<Vec<String>>
    where
        S: Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    {
        let options = wire::CopyToOptions {
            container: container.to_owned(),
            path: path.to_owned(),
            keep_owner,
            no_overwrite_dir_non_dir: true,
        };
        let first = wire::CopyToRequest { part: Some(Part::Options(options)) };
        // A part that says nothing is out of place: the daemon refuses the rest.
        let rest = archive
            .map(|bytes| wire::CopyToRequest { part: bytes.ok().map(|bytes| Part::Data(bytes.into())) });
        let requests = futures::stream::iter([first]).chain(rest);
        Ok(self.answer(self.containers().copy_to(requests).await)?.warnings)
    }

    /// Removes the containers that do not run.
    ///
    /// # Errors
    /// `InvalidArgument`: a filter. A container that cannot be removed is left out.
    pub async fn prune_containers(&self, filters: BTreeMap<String, Vec<String>>) -> Answer<Pruned> {
        let request = wire::PruneRequest { filters: api::filters_to(filters) };
        self.answer(self.containers().prune(request).await).map(Pruned::from)
    }
}
