//! Namespaces of other containers that a container joins: their processes are known only when it starts.

use crate::engine::Inner;
use crate::engine::error::EngineError;
use crate::model::amendment::ANNOTATION;
use crate::model::container::{NetworkMode, Sharing, Status};
use crate::model::pod::{MEMORY, SHM};
use crate::model::reason::Reason;
use crate::store::Record;

impl Inner {
    /// Writes the namespaces that the container joins into its annotation: the processes that have them are known only
    /// now.
    pub(in crate::engine::containers) async fn join_others(
        &self,
        record: &Record,
    ) -> Result<(), EngineError> {
        let mut amendment = self.container_amendment(record);
        if let NetworkMode::Container(who) = &record.spec.network {
            let other = self.running(who, "network")?;
            amendment.joins.insert("network".to_owned(), format!("/proc/{}/ns/net", other.attempt.pid));
            self.copy_hosts(&other, record).await?;
        }
        for (kind, sharing) in [("pid", &record.spec.pid), ("ipc", &record.spec.ipc)] {
            let Sharing::Container(who) = sharing else { continue };
            let other = self.running(who, &kind.to_uppercase())?;
            amendment.joins.insert(kind.to_owned(), format!("/proc/{}/ns/{kind}", other.attempt.pid));
            if kind == "ipc" {
                if !matches!(other.spec.ipc, Sharing::Shareable | Sharing::Host) {
                    return Err(EngineError::refused(
                        Reason::Conflict,
                        format!(
                            "cannot join IPC of container {}: non-shareable IPC (hint: use IpcMode:shareable for the \
                             donor container)",
                            other.id
                        ),
                    ));
                }
                let spec = self.containerd.spec(&other.attempt.container).await?;
                let mounts = spec["mounts"].as_array().into_iter().flatten();
                // Where CRI asks for none, the shim mounts that of the pod.
                let asked = |m: &&serde_json::Value| m["destination"] == SHM && m["type"] == "bind";
                let shm = mounts.filter(asked).find_map(|m| m["source"].as_str());
                let own = || self.pod_folder(&other).join(MEMORY).to_string_lossy().into_owned();
                amendment.shm_source = shm.map_or_else(own, str::to_owned);
            }
        }
        if amendment == self.container_amendment(record) {
            return Ok(());
        }
        self.containerd
            .annotate(&record.attempt.container, ANNOTATION, amendment.value().unwrap_or_default())
            .await
    }

    /// A container that runs, for one who joins its namespace.
    fn running(&self, who: &str, namespace: &str) -> Result<Record, EngineError> {
        let other = self.records.find(who)?;
        if other.status == Status::Running {
            return Ok(other);
        }
        let text = format!("failed to join {namespace} namespace: container {} is not running", other.id);
        Err(EngineError::refused(Reason::Conflict, text))
    }
}
