//! An attempt: the pod and the container that realise a record for one run. They are made apart, so that a pod may hold
//! several containers.

mod amendment;
mod container;
mod joins;
mod mounts;
mod names;
mod pod;
mod users;

pub(super) use container::{MASKED, READ_ONLY};

use crate::engine::containerd::{LABEL_ATTEMPT, LABEL_ID, LABEL_NAME, words};
use crate::engine::error::EngineError;
use crate::engine::images::Facts;
use crate::engine::point::point;
use crate::engine::{Inner, blocking};
use crate::model::amendment::{ANNOTATION, Amendment};
use crate::model::pod::folder;
use crate::model::reason::Reason;
use crate::model::signal;
use crate::store::Record;
use std::collections::HashMap;
use std::path::PathBuf;

/// Name of the log in an attempt's folder.
pub(in crate::engine) const LOG: &str = "container.log";

/// Name of the hosts file among a container's own files.
const HOSTS: &str = "hosts";

impl Inner {
    /// Folder of an attempt's log.
    pub(in crate::engine) fn log_dir(&self, record: &Record, attempt: u32) -> PathBuf {
        self.config.data.join("logs").join(record.id.as_str()).join(attempt.to_string())
    }

    /// Folder of the files that the shim makes for the pod of a record's attempt.
    pub(in crate::engine::containers) fn pod_folder(&self, record: &Record) -> PathBuf {
        folder(&self.config.run.join("shim"), &record.attempt.pod)
    }

    /// Folder of our own files that are mounted into the container.
    pub(in crate::engine) fn own_dir(&self, record: &Record) -> PathBuf {
        self.config.data.join("containers").join(record.id.as_str())
    }

    /// Makes the pod and the container of the record's current attempt, and notes their IDs in it.
    pub(in crate::engine::containers) async fn make_attempt(
        &self,
        record: &mut Record,
        image: &Facts,
    ) -> Result<(), EngineError> {
        self.make_folders(record).await?;
        // Refusals come before there is a pod.
        let runs_as = self.runs_as(record, image).await?;
        self.write_seccomp(record).await?;
        let stays = self.networks.read().await;
        let pod = self.pod_config(record)?;
        let made = self.cri.run_pod(&pod, &self.config.runtime_handler).await;
        record.attempt.pod = made.map_err(in_dockers_words)?;
        drop(stays);
        point("create.pod");
        let config = self.container_config(record, runs_as)?;
        let id = record.attempt.pod.clone();
        // CRI looks for the hosts file only when the container is started.
        let container = self.cri.create_container(&id, &config, &pod);
        let (container, named) = tokio::join!(container, self.name_pod(record));
        named?;
        record.attempt.container = container?;
        point("create.container");
        record.attempt.used = false;
        record.attempt.pid = 0;
        Ok(())
    }

    async fn make_folders(&self, record: &Record) -> Result<(), EngineError> {
        let logs = self.log_dir(record, record.attempt.number);
        let own = self.own_dir(record);
        let (log, hosts) = (logs.join(LOG), own.join(HOSTS));
        blocking(move || {
            std::fs::create_dir_all(&logs).map_err(EngineError::file("cannot make", &logs))?;
            std::fs::create_dir_all(&own).map_err(EngineError::file("cannot make", &own))?;
            // The log is there before the container is, so that a follower cannot miss its beginning; and the hosts file,
            // because CRI makes a folder of a source that is missing.
            for path in [log, hosts] {
                let made = std::fs::OpenOptions::new().create(true).append(true).open(&path);
                made.map_err(EngineError::file("cannot make", &path))?;
            }
            Ok(())
        })
        .await?
    }

    /// Notes the pod's address, and writes the hosts file with it.
    async fn name_pod(&self, record: &mut Record) -> Result<(), EngineError> {
        // CRI says the host's addresses for a pod that has none.
        let all = match record.spec.network.has_address() {
            true => self.cri.pod_addresses(&record.attempt.pod).await?,
            false => Vec::new(),
        };
        record.attempt.endpoints = match all.is_empty() {
            true => Vec::new(),
            false => self.places_of(record, &all).await?,
        };
        self.write_hosts(record).await
    }

    /// Removes an attempt's pod, logs and files, as far as they are there.
    pub(in crate::engine) async fn discard(&self, record: &Record) {
        if !record.attempt.pod.is_empty()
            && let Err(error) = self.cri.remove_pod(&record.attempt.pod).await
        {
            tracing::warn!(%error, pod = record.attempt.pod, "cannot remove a pod");
        }
        for dir in [self.config.data.join("logs").join(record.id.as_str()), self.own_dir(record)] {
            tokio::fs::remove_dir_all(dir).await.ok();
        }
    }
}

/// Labels of an attempt's pod and container.
fn labels(record: &Record) -> HashMap<String, String> {
    HashMap::from([
        (LABEL_ID.to_owned(), record.id.to_string()),
        (LABEL_ATTEMPT.to_owned(), record.attempt.number.to_string()),
        (LABEL_NAME.to_owned(), record.name.clone()),
    ])
}

fn annotation(amendment: &Amendment) -> HashMap<String, String> {
    amendment.value().into_iter().map(|value| (ANNOTATION.to_owned(), value)).collect()
}

/// The plugin's own words, out of containerd's.
fn in_dockers_words(error: EngineError) -> EngineError {
    let refused = match &error {
        EngineError::Containerd { status, .. } => words::network_refusal(status),
        _ => None,
    };
    match refused {
        Some(why) => {
            EngineError::refused(Reason::Conflict, format!("failed to set up container networking: {why}"))
        }
        None => error,
    }
}

/// The number of a record's stop signal.
pub(super) fn stop_signal(record: &Record) -> i32 {
    signal::parse(&record.resolved.stop_signal).unwrap_or(15)
}
