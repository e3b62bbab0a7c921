//! An attempt: the pod and the container that realise a record for one run.

use super::limits::limits;
use crate::engine::cri::{LABEL_ATTEMPT, LABEL_ID, LABEL_NAME};
use crate::engine::error::EngineError;
use crate::engine::images::Facts;
use crate::engine::{Inner, blocking};
use crate::model::container::{Mount, MountKind};
use crate::model::name;
use crate::model::signal;
use crate::proto::cri;
use crate::store::Record;
use cri::security_profile::ProfileType;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// The log's name in an attempt's directory.
pub(in crate::engine) const LOG: &str = "container.log";

/// What Docker hides of /proc and /sys.
const MASKED: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

impl Inner {
    /// Where an attempt's log is.
    pub(in crate::engine) fn log_dir(&self, record: &Record, attempt: u32) -> PathBuf {
        self.config.data.join("logs").join(record.id.as_str()).join(attempt.to_string())
    }

    /// Files of ours that are mounted into the container.
    pub(in crate::engine) fn own_dir(&self, record: &Record) -> PathBuf {
        self.config.data.join("containers").join(record.id.as_str())
    }

    /// Makes the pod and the container of the record's current attempt, and notes their IDs in it.
    pub(super) async fn make_attempt(&self, record: &mut Record, image: &Facts) -> Result<(), EngineError> {
        let logs = self.log_dir(record, record.attempt);
        let own = self.own_dir(record);
        let log = logs.join(LOG);
        blocking(move || {
            std::fs::create_dir_all(&logs).map_err(EngineError::file("cannot make", &logs))?;
            std::fs::create_dir_all(&own).map_err(EngineError::file("cannot make", &own))?;
            // It is there before the container is, so that whoever follows it cannot miss its beginning.
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&log)
                .map(drop)
                .map_err(EngineError::file("cannot make", &log))
        })
        .await??;
        let user = self.user(record, image).await?;
        let pod = self.pod_config(record);
        record.pod = self.cri.run_pod(&pod, &self.config.runtime_handler).await?;
        record.address = self.cri.pod_address(&record.pod).await?;
        let hosts = self.own_dir(record).join("hosts");
        tokio::fs::write(&hosts, hosts_file(record))
            .await
            .map_err(EngineError::file("cannot write", &hosts))?;
        let config = self.container_config(record, user);
        record.container = self.cri.create_container(&record.pod, &config, &pod).await?;
        record.used = false;
        record.pid = 0;
        Ok(())
    }

    /// Removes what an attempt made, as far as it is there.
    pub(in crate::engine) async fn discard(&self, record: &Record) {
        if !record.pod.is_empty()
            && let Err(error) = self.cri.remove_pod(&record.pod).await
        {
            tracing::warn!(%error, pod = record.pod, "cannot remove a pod");
        }
        for dir in [self.config.data.join("logs").join(record.id.as_str()), self.own_dir(record)] {
            tokio::fs::remove_dir_all(dir).await.ok();
        }
    }

    fn labels(record: &Record) -> HashMap<String, String> {
        HashMap::from([
            (LABEL_ID.to_owned(), record.id.to_string()),
            (LABEL_ATTEMPT.to_owned(), record.attempt.to_string()),
            (LABEL_NAME.to_owned(), record.name.clone()),
        ])
    }

    fn pod_config(&self, record: &Record) -> cri::PodSandboxConfig {
        let dns = (!self.config.dns.is_empty())
            .then(|| cri::DnsConfig { servers: self.config.dns.clone(), ..Default::default() });
        cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: name::pod(&record.name),
                uid: record.id.to_string(),
                namespace: "default".to_owned(),
                attempt: record.attempt,
            }),
            hostname: record.resolved.hostname.clone(),
            log_directory: self.log_dir(record, record.attempt).to_string_lossy().into_owned(),
            dns_config: dns,
            labels: Self::labels(record),
            linux: Some(cri::LinuxPodSandboxConfig {
                security_context: Some(cri::LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces()),
                    privileged: record.spec.privileged,
                    seccomp: Some(seccomp(false)),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn container_config(&self, record: &Record, user: User) -> cri::ContainerConfig {
        let spec = &record.spec;
        let resolved = &record.resolved;
        let mut mounts: Vec<cri::Mount> = resolved.mounts.iter().map(|m| self.cri_mount(m)).collect();
        if !mounts.iter().any(|m| m.container_path == "/etc/hosts") {
            mounts.push(cri::Mount {
                container_path: "/etc/hosts".to_owned(),
                host_path: self.own_dir(record).join("hosts").to_string_lossy().into_owned(),
                readonly: spec.read_only,
                ..Default::default()
            });
        }
        let hidden = |paths: &[&str]| {
            if spec.privileged { Vec::new() } else { paths.iter().map(|p| (*p).to_owned()).collect() }
        };
        cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata { name: "container".to_owned(), attempt: record.attempt }),
            image: Some(cri::ImageSpec { image: resolved.config_digest.clone(), ..Default::default() }),
            command: [resolved.entrypoint.clone(), resolved.command.clone()].concat(),
            working_dir: resolved.working_dir.clone(),
            envs: resolved
                .env
                .iter()
                .filter_map(|e| e.split_once('='))
                .map(|(key, value)| cri::KeyValue { key: key.to_owned(), value: value.as_bytes().to_vec() })
                .collect(),
            mounts,
            labels: Self::labels(record),
            log_path: LOG.to_owned(),
            tty: spec.tty,
            stdin: spec.open_stdin,
            linux: Some(cri::LinuxContainerConfig {
                resources: limits(&spec.resources, &self.config.controllers).resources,
                security_context: Some(cri::LinuxContainerSecurityContext {
                    capabilities: Some(cri::Capability {
                        add_capabilities: spec.cap_add.clone(),
                        drop_capabilities: spec.cap_drop.clone(),
                        ..Default::default()
                    }),
                    privileged: spec.privileged,
                    namespace_options: Some(namespaces()),
                    run_as_user: user.uid.map(|value| cri::Int64Value { value }),
                    run_as_username: user.name,
                    run_as_group: user.gid.map(|value| cri::Int64Value { value }),
                    readonly_rootfs: spec.read_only,
                    masked_paths: hidden(MASKED),
                    readonly_paths: hidden(READ_ONLY),
                    seccomp: Some(seccomp(spec.privileged)),
                    ..Default::default()
                }),
            }),
            ..Default::default()
        }
    }

    fn cri_mount(&self, mount: &Mount) -> cri::Mount {
        let source = match &mount.kind {
            MountKind::Bind { source, .. } => self.host_path(source),
            MountKind::Volume { name } => self.volume_dir(name),
            // Refused by `create`.
            MountKind::Tmpfs => PathBuf::new(),
        };
        let propagation = match mount.propagation.trim_start_matches('r') {
            "shared" => cri::MountPropagation::PropagationBidirectional,
            "slave" => cri::MountPropagation::PropagationHostToContainer,
            _ => cri::MountPropagation::PropagationPrivate,
        };
        // Docker's `ro` is recursive where the runtime can do it; containerd wants a private mount for that.
        let recursive = mount.read_only
            && propagation == cri::MountPropagation::PropagationPrivate
            && self.recursive_read_only.load(Ordering::Relaxed);
        cri::Mount {
            container_path: mount.target.clone(),
            host_path: source.to_string_lossy().into_owned(),
            readonly: mount.read_only,
            recursive_read_only: recursive,
            propagation: propagation.into(),
            ..Default::default()
        }
    }

    /// Who runs it, in CRI's terms: CRI takes a user's name, but only a group's number.
    async fn user(&self, record: &Record, image: &Facts) -> Result<User, EngineError> {
        let text = record.resolved.user.as_str();
        let (user, group) = text.split_once(':').unwrap_or((text, ""));
        let mut result = User::default();
        match user.parse::<i64>() {
            Ok(uid) => result.uid = Some(uid),
            Err(_) if user.is_empty() && !group.is_empty() => result.uid = Some(0),
            Err(_) => user.clone_into(&mut result.name),
        }
        if !group.is_empty() {
            let gid = match group.parse::<i64>() {
                Ok(gid) => gid,
                Err(_) => self.group_of_image(image, group).await?.ok_or_else(|| {
                    EngineError::invalid(format!(
                        "unable to find group {group}: no matching entries in group file"
                    ))
                })?,
            };
            result.gid = Some(gid);
        }
        Ok(result)
    }
}

/// The user, as CRI wants it.
#[derive(Debug, Default)]
struct User {
    uid: Option<i64>,
    name: String,
    gid: Option<i64>,
}

fn namespaces() -> cri::NamespaceOption {
    cri::NamespaceOption {
        network: cri::NamespaceMode::Pod.into(),
        pid: cri::NamespaceMode::Container.into(),
        ipc: cri::NamespaceMode::Pod.into(),
        ..Default::default()
    }
}

fn seccomp(off: bool) -> cri::SecurityProfile {
    let kind = if off { ProfileType::Unconfined } else { ProfileType::RuntimeDefault };
    cri::SecurityProfile { profile_type: kind.into(), localhost_ref: String::new() }
}

fn hosts_file(record: &Record) -> String {
    let mut text = "127.0.0.1\tlocalhost\n\
        ::1\tlocalhost ip6-localhost ip6-loopback\n\
        fe00::\tip6-localnet\n\
        ff00::\tip6-mcastprefix\n\
        ff02::1\tip6-allnodes\n\
        ff02::2\tip6-allrouters\n"
        .to_owned();
    if !record.address.is_empty() {
        text.push_str(&format!("{}\t{}\n", record.address, record.resolved.hostname));
    }
    text
}

/// The number of a record's stop signal.
pub(super) fn stop_signal(record: &Record) -> i32 {
    signal::parse(&record.resolved.stop_signal).unwrap_or(15)
}
