//! `inspect`: all that is known of one container.

use super::foreign::nanoseconds;
use super::list::state;
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::container::{ContainerDetail, ContainerFiles, CriDetail, Mount, MountKind, MountPoint};
use crate::store::Record;

impl Engine {
    /// All that is known of one container. `size` asks for its sizes, too.
    ///
    /// # Errors
    /// `NotFound`: no such container; `InvalidArgument`: the prefix of an ID is several containers'.
    pub async fn inspect(&self, who: &str, size: bool) -> Result<ContainerDetail, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let record = match inner.records.find(who) {
            Ok(record) => record,
            Err(error) => return inner.inspect_foreign(who, error).await,
        };
        let mut detail = inner.detail(&record);
        detail.endpoints = inner.endpoints(&record);
        detail.namespace = inner.namespace_path(&record).await;
        inner.find_files(&record, &mut detail.files).await;
        if size {
            detail.sizes = inner.sizes(&record).await.ok();
        }
        Ok(detail)
    }

    /// A container as CRI has it.
    ///
    /// # Errors
    /// As [`Engine::inspect`].
    pub async fn inspect_cri(&self, who: &str) -> Result<CriDetail, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let container = match inner.records.find(who) {
            Ok(record) => record.attempt.container,
            Err(missing) => inner.find_foreign(who, true, missing).await?.container.id,
        };
        let answer = inner.cri.status(&container, true).await?;
        let status = answer.status.unwrap_or_default();
        let metadata = status.metadata.clone().unwrap_or_default();
        let mount = |mount: crate::proto::cri::Mount| (mount.container_path, mount.host_path, mount.readonly);
        Ok(CriDetail {
            name: metadata.name,
            attempt: metadata.attempt,
            state: status.state().as_str_name().to_owned(),
            created: nanoseconds(status.created_at),
            started: nanoseconds(status.started_at),
            finished: nanoseconds(status.finished_at),
            exit_code: status.exit_code,
            id: status.id,
            image: status.image.map(|i| i.image).unwrap_or_default(),
            image_id: status.image_ref,
            reason: status.reason,
            message: status.message,
            labels: status.labels.into_iter().collect(),
            annotations: status.annotations.into_iter().collect(),
            log: status.log_path,
            mounts: status.mounts.into_iter().map(mount).collect(),
            info: answer.info.into_iter().collect(),
        })
    }
}

impl Inner {
    /// Details of a container that are known without asking containerd.
    fn detail(&self, record: &Record) -> ContainerDetail {
        let log = self.log_dir(record, record.attempt.number).join(super::attempt::LOG);
        let path = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
        let (masked_paths, readonly_paths) = super::security::hidden_paths(&record.spec);
        ContainerDetail {
            id: record.id.clone(),
            name: record.name.clone(),
            created: record.created,
            spec: record.spec.clone(),
            resolved: record.resolved.clone(),
            state: state(record),
            health: record.health.clone(),
            sizes: None,
            mounts: record.resolved.mounts.iter().map(|m| self.mount_point(m)).collect(),
            execs: self.execs_of(&record.id),
            files: ContainerFiles {
                hosts: path(self.own_dir(record).join("hosts")),
                log: path(log),
                ..ContainerFiles::default()
            },
            published: record.attempt.published.clone(),
            endpoints: Vec::new(),
            namespace: String::new(),
            masked_paths,
            readonly_paths,
            driver: self.config.snapshotter.clone(),
            runtime: self.runtime_name(),
            pod: record.attempt.pod.clone(),
            container: record.attempt.container.clone(),
            foreign: false,
        }
    }

    fn mount_point(&self, mount: &Mount) -> MountPoint {
        let source = match &mount.kind {
            MountKind::Bind { source, .. } => source.clone(),
            MountKind::Volume { name, .. } => self.volume_dir(name).to_string_lossy().into_owned(),
            MountKind::Image { .. } | MountKind::Tmpfs { .. } => String::new(),
        };
        MountPoint { mount: mount.clone(), source }
    }

    /// The OCI runtime's name.
    pub(in crate::engine) fn runtime_name(&self) -> String {
        let handler = &self.config.runtime_handler;
        if handler.is_empty() { "runc".to_owned() } else { handler.clone() }
    }

    /// Finds the pod's files, CRI's or the shim's: the resolver's configuration and the host name.
    async fn find_files(&self, record: &Record, files: &mut ContainerFiles) {
        let Ok(spec) = self.containerd.spec(&record.attempt.container).await else { return };
        let mounts = spec["mounts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let source = |target: &str| {
            let mount = mounts.iter().find(|m| m["destination"] == target)?;
            mount["source"].as_str().map(str::to_owned)
        };
        let folder = self.pod_folder(record);
        let made = |name: &str| folder.join(name).exists().then(|| folder.join(name).display().to_string());
        files.resolv_conf = source("/etc/resolv.conf").or_else(|| made("resolv.conf")).unwrap_or_default();
        files.hostname = source("/etc/hostname").or_else(|| made("hostname")).unwrap_or_default();
    }

    /// Size of the files that a container wrote, and of all that it sees, in bytes.
    pub(super) async fn sizes(&self, record: &Record) -> Result<(i64, i64), EngineError> {
        let own = self.written(record).await?;
        let below = match self.facts(&record.resolved.image_id).await {
            Ok(facts) => self.unpacked_size(&facts).await,
            Err(_) => 0,
        };
        Ok((own, own + below))
    }
}
