//! `update`: limits of a container that may be running, and its restart policy.

use super::limits::{complete, in_range, limits};
use crate::engine::error::EngineError;
use crate::engine::lifecycle::{self, Verb};
use crate::engine::{Engine, Inner, events};
use crate::model::container::{Resources, RestartPolicy};
use crate::proto::cri;
use crate::store::{Change, Record};
use jiff::Timestamp;

impl Engine {
    /// Changes the limits that are not zero, and the restart policy. Answers warnings: limits that this host cannot
    /// apply.
    ///
    /// # Errors
    /// `NotFound`: no such container; `Conflict`: it is being removed; `InvalidArgument`: the limits, or a restart
    /// policy for a container with `--rm`.
    pub async fn update(
        &self,
        who: &str,
        resources: Resources,
        restart: Option<RestartPolicy>,
    ) -> Result<Vec<String>, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let id = inner.records.find(who)?.id;
        let _one = inner.records.lock(&id).await;
        let mut record = inner.records.get(&id)?;
        lifecycle::may(Verb::Update, record.status, &record.id, who)?;
        if let Some(restart) = restart {
            if record.spec.auto_remove && restart != RestartPolicy::No {
                return Err(EngineError::invalid(format!(
                    "Cannot update container {id}: restart policy cannot be updated because AutoRemove is enabled for \
                     the container"
                )));
            }
            record.spec.restart = restart;
        }
        let merged = complete(merge(record.spec.resources.clone(), resources));
        let mut warnings = Vec::new();
        if merged != record.spec.resources {
            check(&merged)
                .map_err(str::to_owned)
                .and_then(|()| in_range(&merged, &inner.config.controllers))
                .map_err(|why| EngineError::invalid(format!("Cannot update container {id}: {why}")))?;
            let before = limits(&record.spec.resources, &inner.config.controllers);
            let now = limits(&merged, &inner.config.controllers);
            record.spec.resources = merged;
            if lifecycle::lives(record.status) {
                inner.apply_limits(&record).await?;
            }
            record.resolved.warnings.retain(|w| !before.warnings.contains(w));
            record.resolved.warnings.extend(now.warnings.iter().cloned());
            record.resolved.dropped_limits = now.dropped;
            warnings = now.warnings;
        }
        let event = events::container(&record, "update", Timestamp::now(), &[]);
        inner.records.commit(Change::new().put(&record).event(event)).await?;
        Ok(warnings)
    }
}

impl Inner {
    /// Applies a record's limits to its running container.
    pub(in crate::engine) async fn apply_limits(&self, record: &Record) -> Result<(), EngineError> {
        let Some(linux) = limits(&record.spec.resources, &self.config.controllers).resources else {
            return Ok(());
        };
        let message = cri::UpdateContainerResourcesRequest {
            container_id: record.attempt.container.clone(),
            linux: Some(linux),
            ..Default::default()
        };
        let answer = self.cri.runtime().update_container_resources(message).await;
        answer.map(drop).map_err(EngineError::call("cannot update the container"))
    }
}

/// Merges the limits that were asked for into the present ones.
fn merge(mut now: Resources, asked: Resources) -> Resources {
    let Resources {
        memory,
        memory_swap,
        nano_cpus,
        cpu_shares,
        cpuset_cpus,
        pids_limit,
        memory_reservation,
        cpu_period,
        cpu_quota,
        cpuset_mems,
        blkio_weight,
        blkio_rates,
    } = asked;
    for (field, value) in [
        (&mut now.memory, memory),
        (&mut now.memory_swap, memory_swap),
        (&mut now.nano_cpus, nano_cpus),
        (&mut now.cpu_shares, cpu_shares),
        (&mut now.pids_limit, pids_limit),
        (&mut now.memory_reservation, memory_reservation),
        (&mut now.cpu_period, cpu_period),
        (&mut now.cpu_quota, cpu_quota),
        (&mut now.blkio_weight, blkio_weight),
    ] {
        if value != 0 {
            *field = value;
        }
    }
    for (field, value) in [(&mut now.cpuset_cpus, cpuset_cpus), (&mut now.cpuset_mems, cpuset_mems)] {
        if !value.is_empty() {
            *field = value;
        }
    }
    if !blkio_rates.is_empty() {
        now.blkio_rates = blkio_rates;
    }
    now
}

/// Refuses limits that contradict each other, in Docker's words.
fn check(limits: &Resources) -> Result<(), &'static str> {
    let Resources { memory, memory_swap, nano_cpus, cpu_period, cpu_quota, .. } = *limits;
    if memory > 0 && memory_swap > 0 && memory > memory_swap {
        return Err(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        );
    }
    if nano_cpus > 0 && cpu_period > 0 {
        return Err("Conflicting options: Nano CPUs and CPU Period cannot both be set.");
    }
    if nano_cpus > 0 && cpu_quota > 0 {
        return Err("Conflicting options: Nano CPUs and CPU Quota cannot both be set.");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_stays() {
        let now = Resources { memory: 5, cpuset_cpus: "0".into(), pids_limit: 3, ..Resources::default() };
        let asked = Resources { memory: 7, pids_limit: -1, ..Resources::default() };
        let merged = merge(now, asked);
        assert_eq!((merged.memory, merged.cpuset_cpus.as_str(), merged.pids_limit), (7, "0", -1));
        assert!(check(&Resources { memory: 5, memory_swap: 3, ..Resources::default() }).is_err());
        assert!(check(&Resources { nano_cpus: 5, cpu_quota: 3, ..Resources::default() }).is_err());
    }
}
