//! Containers that somebody else made through CRI: shown as `pod/container`, touched only when named exactly.

use super::target::Target;
use crate::engine::Inner;
use crate::engine::containerd::LABEL_ID;
use crate::engine::error::EngineError;
use crate::model::container::{
    ContainerDetail, ContainerFiles, ContainerSpec, ContainerState, ContainerSummary, ExitStatus, Status,
};
use crate::model::id::ContainerId;
use crate::model::reason::Reason;
use crate::model::reference;
use crate::proto::cri;
use crate::store::{HealthLog, Resolved};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Kubernetes' label for the name of a container's pod.
const POD_NAME: &str = "io.kubernetes.pod.name";

/// A foreign container, with its name: `pod/container`.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Foreign {
    pub(in crate::engine) container: cri::Container,
    pub(in crate::engine) name: String,
}

impl Inner {
    /// All containers that carry no label of ours.
    pub(in crate::engine) async fn foreign(&self) -> Result<Vec<Foreign>, EngineError> {
        let containers: Vec<cri::Container> =
            self.cri.containers().await?.into_iter().filter(|c| !c.labels.contains_key(LABEL_ID)).collect();
        if containers.is_empty() {
            return Ok(Vec::new());
        }
        let pods: BTreeMap<String, String> = self
            .cri
            .pods(None)
            .await?
            .into_iter()
            .map(|p| (p.id, p.metadata.map(|m| m.name).unwrap_or_default()))
            .collect();
        Ok(containers
            .into_iter()
            .map(|container| {
                let pod = pods
                    .get(&container.pod_sandbox_id)
                    .cloned()
                    .or_else(|| container.labels.get(POD_NAME).cloned())
                    .unwrap_or_default();
                let own = container.metadata.as_ref().map(|m| m.name.clone()).unwrap_or_default();
                Foreign { container, name: format!("{pod}/{own}") }
            })
            .collect())
    }

    /// The foreign container with exactly this name or ID; with `prefix`, for calls that may be less exact, also with
    /// an ID that begins so. `missing`: the error when there is none.
    pub(in crate::engine) async fn find_foreign(
        &self,
        who: &str,
        prefix: bool,
        missing: EngineError,
    ) -> Result<Foreign, EngineError> {
        if !matches!(missing, EngineError::NoSuchContainer(_)) {
            return Err(missing);
        }
        let all = self.foreign().await?;
        let exact = all.iter().find(|f| f.container.id == who || f.name == who).cloned();
        let found = exact.or_else(|| {
            let mut begins = all.iter().filter(|f| prefix && f.container.id.starts_with(who));
            match (begins.next(), begins.next()) {
                (Some(one), None) => Some(one.clone()),
                _ => None,
            }
        });
        found.ok_or(missing)
    }

    /// A foreign container as a client attaches to it or adds a process.
    pub(super) async fn foreign_target(
        &self,
        who: &str,
        missing: EngineError,
    ) -> Result<Target, EngineError> {
        let Foreign { container, name } = self.find_foreign(who, true, missing).await?;
        let status = self.cri.status(&container.id, false).await?.status.unwrap_or_default();
        let mut attributes: BTreeMap<String, String> = container.labels.into_iter().collect();
        attributes.insert("image".to_owned(), container.image.map(|i| i.image).unwrap_or_default());
        attributes.insert("name".to_owned(), name);
        Ok(Target {
            id: ContainerId::try_from(container.id.clone())
                .map_err(|e| EngineError::Broken(format!("CRI's ID {}: {e}", container.id)))?,
            status: state(&status).status,
            pod: container.pod_sandbox_id,
            container: container.id,
            open_stdin: false,
            stdin_once: false,
            more_groups: Vec::new(),
            attributes,
        })
    }

    pub(super) async fn stop_foreign(
        &self,
        who: &str,
        timeout: Option<i64>,
        missing: EngineError,
    ) -> Result<(), EngineError> {
        let found = self.find_foreign(who, true, missing).await?;
        self.cri.stop_container(&found.container.id, timeout.unwrap_or(10).max(0)).await
    }

    pub(super) async fn kill_foreign(
        &self,
        who: &str,
        signal: i32,
        missing: EngineError,
    ) -> Result<(), EngineError> {
        let found = self.find_foreign(who, true, missing).await?;
        match self.containerd.kill(&found.container.id, signal).await {
            Err(error) if error.says(crate::engine::containerd::words::is_over) => Err(EngineError::refused(
                Reason::NotRunning,
                format!("cannot kill container: {who}: container {} is not running", found.container.id),
            )),
            other => other,
        }
    }

    pub(super) async fn remove_foreign(
        &self,
        who: &str,
        force: bool,
        missing: EngineError,
    ) -> Result<(), EngineError> {
        let found = self.find_foreign(who, false, missing).await?;
        if !force {
            return Err(EngineError::refused(
                Reason::Conflict,
                format!(
                    "cannot remove container \"{who}\": it was not made by k3c: force remove it by its exact name"
                ),
            ));
        }
        self.cri.remove_container(&found.container.id).await
    }

    pub(super) async fn wait_foreign(
        &self,
        who: &str,
        missing: EngineError,
    ) -> Result<ExitStatus, EngineError> {
        let found = self.find_foreign(who, true, missing).await?;
        loop {
            let status = self.cri.status(&found.container.id, false).await?.status.unwrap_or_default();
            if status.state() == cri::ContainerState::ContainerExited {
                let oom_killed = status.reason == "OOMKilled";
                return Ok(ExitStatus { code: status.exit_code, error: String::new(), oom_killed });
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The file to which CRI writes a foreign container's log.
    pub(in crate::engine) async fn foreign_log(&self, container: &str) -> Result<PathBuf, EngineError> {
        let status = self.cri.status(container, false).await?.status.unwrap_or_default();
        Ok(PathBuf::from(status.log_path))
    }

    /// All that is known of a foreign container.
    pub(super) async fn inspect_foreign(
        &self,
        who: &str,
        missing: EngineError,
    ) -> Result<ContainerDetail, EngineError> {
        let found = self.find_foreign(who, true, missing).await?;
        let status = self.cri.status(&found.container.id, false).await?.status.unwrap_or_default();
        let mut state = state(&status);
        if state.status == Status::Running {
            let pid = self.containerd.pid(&status.id).await.unwrap_or(0);
            state.pid = i32::try_from(pid).unwrap_or(0);
        }
        let image = status.image.map(|i| i.image).unwrap_or_default();
        Ok(ContainerDetail {
            id: ContainerId::try_from(status.id.clone())
                .map_err(|e| EngineError::Broken(format!("CRI's ID {}: {e}", status.id)))?,
            name: found.name,
            created: nanoseconds(status.created_at).unwrap_or(Timestamp::UNIX_EPOCH),
            spec: ContainerSpec { image, ..ContainerSpec::default() },
            resolved: Resolved {
                image_id: status.image_ref,
                labels: status.labels.into_iter().collect(),
                ..Resolved::default()
            },
            state,
            health: HealthLog::default(),
            sizes: None,
            mounts: Vec::new(),
            execs: Vec::new(),
            files: ContainerFiles { log: status.log_path, ..ContainerFiles::default() },
            published: Vec::new(),
            endpoints: Vec::new(),
            namespace: String::new(),
            masked_paths: Vec::new(),
            readonly_paths: Vec::new(),
            driver: self.config.snapshotter.clone(),
            runtime: self.runtime_name(),
            pod: found.container.pod_sandbox_id,
            container: status.id,
            foreign: true,
        })
    }

    /// Rows of the foreign containers in `ps`.
    pub(super) async fn foreign_rows(&self) -> Result<Vec<ContainerSummary>, EngineError> {
        let mut rows = Vec::new();
        for found in self.foreign().await? {
            let Ok(id) = ContainerId::try_from(found.container.id.clone()) else { continue };
            // The container may be gone by now.
            let Ok(answer) = self.cri.status(id.as_str(), false).await else { continue };
            let status = answer.status.unwrap_or_default();
            let image = found.container.image.map(|i| i.image).unwrap_or_default();
            rows.push(ContainerSummary {
                id,
                names: vec![found.name],
                image: reference::familiar(&image),
                image_id: found.container.image_ref,
                command: String::new(),
                created: nanoseconds(status.created_at).unwrap_or(Timestamp::UNIX_EPOCH),
                state: state(&status),
                labels: found.container.labels.into_iter().collect(),
                mounts: Vec::new(),
                size: None,
                network: String::new(),
                ports: Vec::new(),
                foreign: true,
            });
        }
        Ok(rows)
    }
}

fn state(status: &cri::ContainerStatus) -> ContainerState {
    ContainerState {
        status: match status.state() {
            cri::ContainerState::ContainerCreated => Status::Created,
            cri::ContainerState::ContainerRunning => Status::Running,
            cri::ContainerState::ContainerExited => Status::Exited,
            cri::ContainerState::ContainerUnknown => Status::Dead,
        },
        pid: 0,
        exit_code: status.exit_code,
        error: status.message.clone(),
        oom_killed: status.reason == "OOMKilled",
        started_at: nanoseconds(status.started_at),
        finished_at: nanoseconds(status.finished_at),
        attempt: status.metadata.as_ref().map_or(0, |m| m.attempt),
        restart_count: 0,
        health: None,
    }
}

/// CRI's time; 0 is never.
pub(in crate::engine) fn nanoseconds(time: i64) -> Option<Timestamp> {
    if time == 0 { None } else { Timestamp::from_nanosecond(i128::from(time)).ok() }
}
