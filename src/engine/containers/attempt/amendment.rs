//! The amendment of a container: wishes that CRI has no words for, by which the shim changes the specification.

use super::LOG;
use crate::engine::Inner;
use crate::engine::logs::Rotation;
use crate::model::amendment::{Amendment, Log};
use crate::model::container::{MountKind, Sharing};
use crate::model::journal;
use crate::store::Record;
use std::collections::BTreeMap;

impl Inner {
    /// The changes that the shim makes to the container's specification.
    pub(super) fn container_amendment(&self, record: &Record) -> Amendment {
        let spec = &record.spec;
        let mounts = &record.resolved.mounts;
        Amendment {
            host_uts: spec.uts == Sharing::Host,
            host_cgroupns: spec.cgroupns == Sharing::Host,
            shm_size: spec.shm_size,
            no_shm: spec.ipc == Sharing::None,
            tmpfs: mounts
                .iter()
                .filter_map(|m| match &m.kind {
                    MountKind::Tmpfs { options } => {
                        let mut options = options.clone();
                        options.extend(m.read_only.then(|| "ro".to_owned()));
                        Some((m.target.clone(), options))
                    }
                    _ => None,
                })
                .collect(),
            non_recursive: mounts.iter().filter(|m| m.non_recursive).map(|m| m.target.clone()).collect(),
            ulimits: spec.ulimits.clone(),
            annotations: spec.annotations.clone(),
            init: spec.init,
            terminal_size: spec.terminal_size,
            log: (spec.log.driver != "none").then(|| {
                // Faulty options were refused when the container was created.
                let rotation = Rotation::parse(&spec.log.options).unwrap_or_default();
                let path = self.log_dir(record, record.attempt.number).join(LOG);
                Log { path, size: rotation.size, files: rotation.files }
            }),
            journal: journal_fields(record),
            ..Amendment::default()
        }
    }
}

fn journal_fields(record: &Record) -> BTreeMap<String, String> {
    if record.spec.log.driver != journal::DRIVER {
        return BTreeMap::new();
    }
    // Faulty options were refused when the container was created.
    journal::fields(&record.spec.log.options, &crate::engine::logs::writer(record)).unwrap_or_default()
}
