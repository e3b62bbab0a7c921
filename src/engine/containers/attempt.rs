//! An attempt: the pod and the container that realise a record for one run.

use super::limits::limits;
use super::security::{self, Seccomp};
use super::user::{GIDS, UIDS, refuse_unmapped};
use crate::engine::containerd::{LABEL_ATTEMPT, LABEL_ID, LABEL_NAME};
use crate::engine::error::EngineError;
use crate::engine::images::Facts;
use crate::engine::logs::Rotation;
use crate::engine::{Inner, blocking};
use crate::model::amendment::{ANNOTATION, Amendment, Log};
use crate::model::container::{ContainerSpec, Device, Dns, Mount, MountKind, Sharing, Status};
use crate::model::journal;
use crate::model::name;
use crate::model::reason::Reason;
use crate::model::signal;
use crate::proto::cri;
use crate::store::{Endpoint, Record};
use cri::security_profile::ProfileType;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// The log's name in an attempt's directory.
pub(in crate::engine) const LOG: &str = "container.log";

/// Name of the one network that there is.
const NETWORK: &str = "bridge";

/// A seccomp profile's name among a container's own files.
const SECCOMP: &str = "seccomp.json";

/// What Docker hides of /proc and /sys.
pub(super) const MASKED: &[&str] = &[
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
pub(super) const READ_ONLY: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

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
        let logs = self.log_dir(record, record.attempt.number);
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
        let groups = self.more_groups(record, image).await?;
        self.write_seccomp(record).await?;
        let pod = self.pod_config(record);
        record.attempt.pod = self.cri.run_pod(&pod, &self.config.runtime_handler).await?;
        let address = self.cri.pod_address(&record.attempt.pod).await?;
        record.attempt.endpoints = match address.is_empty() {
            true => Vec::new(),
            false => vec![Endpoint { network: NETWORK.to_owned(), address }],
        };
        let hosts = self.own_dir(record).join("hosts");
        tokio::fs::write(&hosts, hosts_file(record))
            .await
            .map_err(EngineError::file("cannot write", &hosts))?;
        let config = self.container_config(record, user, groups)?;
        record.attempt.container = self.cri.create_container(&record.attempt.pod, &config, &pod).await?;
        record.attempt.used = false;
        record.attempt.pid = 0;
        Ok(())
    }

    /// Removes what an attempt made, as far as it is there.
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

    fn labels(record: &Record) -> HashMap<String, String> {
        HashMap::from([
            (LABEL_ID.to_owned(), record.id.to_string()),
            (LABEL_ATTEMPT.to_owned(), record.attempt.number.to_string()),
            (LABEL_NAME.to_owned(), record.name.clone()),
        ])
    }

    fn pod_config(&self, record: &Record) -> cri::PodSandboxConfig {
        let spec = &record.spec;
        let amendment = Amendment {
            domainname: spec.domainname.clone(),
            host_uts: spec.uts == Sharing::Host,
            ..Amendment::default()
        };
        cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: name::pod(&record.name),
                uid: record.id.to_string(),
                namespace: "default".to_owned(),
                attempt: record.attempt.number,
            }),
            hostname: record.resolved.hostname.clone(),
            log_directory: self.log_dir(record, record.attempt.number).to_string_lossy().into_owned(),
            dns_config: self.dns(&spec.dns),
            annotations: annotation(&amendment),
            labels: Self::labels(record),
            linux: Some(cri::LinuxPodSandboxConfig {
                cgroup_parent: cgroup_parent(&spec.cgroup_parent),
                sysctls: spec.sysctls.clone().into_iter().collect(),
                security_context: Some(cri::LinuxSandboxSecurityContext {
                    namespace_options: Some(namespaces(spec)),
                    privileged: spec.privileged,
                    seccomp: Some(seccomp(&Seccomp::Default, None)),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn container_config(
        &self,
        record: &Record,
        user: User,
        groups: Vec<i64>,
    ) -> Result<cri::ContainerConfig, EngineError> {
        let spec = &record.spec;
        let resolved = &record.resolved;
        let security = security::parse(&spec.security_opt)?;
        let mut mounts: Vec<cri::Mount> = resolved.mounts.iter().filter_map(|m| self.cri_mount(m)).collect();
        if !mounts.iter().any(|m| m.container_path == "/etc/hosts") {
            mounts.push(cri::Mount {
                container_path: "/etc/hosts".to_owned(),
                host_path: self.own_dir(record).join("hosts").to_string_lossy().into_owned(),
                readonly: spec.read_only,
                ..Default::default()
            });
        }
        // Who cannot make devices gets the host's own, bound.
        let rootless = self.config.rootless;
        mounts.extend(spec.devices.iter().filter(|_| rootless).map(|device| cri::Mount {
            container_path: device.container.clone(),
            host_path: device.host.clone(),
            readonly: !device.permissions.contains('w'),
            ..Default::default()
        }));
        let hidden = |paths: &[&str]| {
            if spec.privileged || security.unmasked {
                Vec::new()
            } else {
                paths.iter().map(|p| (*p).to_owned()).collect()
            }
        };
        let mut resources = limits(&spec.resources, &self.config.controllers).resources;
        if let Some(score) = spec.oom_score_adj {
            resources.get_or_insert_default().oom_score_adj = score.into();
        }
        let kept = spec.log.driver != "none";
        let unconfined = spec.privileged || security.seccomp == Seccomp::Unconfined;
        let seccomp_off = if unconfined { &Seccomp::Unconfined } else { &security.seccomp };
        Ok(cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata {
                name: "container".to_owned(),
                attempt: record.attempt.number,
            }),
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
            log_path: if kept { LOG.to_owned() } else { String::new() },
            annotations: annotation(&self.container_amendment(record)),
            devices: if rootless { Vec::new() } else { spec.devices.iter().map(cri_device).collect() },
            tty: spec.tty,
            stdin: spec.open_stdin,
            linux: Some(cri::LinuxContainerConfig {
                resources,
                security_context: Some(cri::LinuxContainerSecurityContext {
                    capabilities: Some(cri::Capability {
                        add_capabilities: spec.cap_add.clone(),
                        drop_capabilities: spec.cap_drop.clone(),
                        ..Default::default()
                    }),
                    privileged: spec.privileged,
                    namespace_options: Some(namespaces(spec)),
                    supplemental_groups: groups,
                    supplemental_groups_policy: groups_policy(&user).into(),
                    no_new_privs: security.no_new_privileges,
                    apparmor: apparmor(&security.apparmor),
                    run_as_user: user.uid.map(|value| cri::Int64Value { value }),
                    run_as_username: user.name,
                    run_as_group: user.gid.map(|value| cri::Int64Value { value }),
                    readonly_rootfs: spec.read_only,
                    masked_paths: hidden(MASKED),
                    readonly_paths: hidden(READ_ONLY),
                    seccomp: Some(seccomp(seccomp_off, Some(&self.own_dir(record)))),
                    ..Default::default()
                }),
            }),
            ..Default::default()
        })
    }

    /// A tmpfs is none of CRI's: see `container_amendment`.
    fn cri_mount(&self, mount: &Mount) -> Option<cri::Mount> {
        let source = match &mount.kind {
            MountKind::Bind { source, .. } => self.host_path(source),
            MountKind::Volume { name, .. } => self.volume_dir(name).join(&mount.subpath),
            MountKind::Image { reference } => {
                return Some(cri::Mount {
                    container_path: mount.target.clone(),
                    image: Some(cri::ImageSpec { image: reference.clone(), ..Default::default() }),
                    image_sub_path: mount.subpath.clone(),
                    readonly: true,
                    ..Default::default()
                });
            }
            MountKind::Tmpfs { .. } => return None,
        };
        let propagation = match mount.propagation.trim_start_matches('r') {
            "shared" => cri::MountPropagation::PropagationBidirectional,
            "slave" => cri::MountPropagation::PropagationHostToContainer,
            _ => cri::MountPropagation::PropagationPrivate,
        };
        // Docker's `ro` is recursive where the runtime can do it; containerd wants a private mount for that.
        let recursive = mount.read_only
            && propagation == cri::MountPropagation::PropagationPrivate
            && self.course.recursive_read_only.load(Ordering::Relaxed);
        Some(cri::Mount {
            container_path: mount.target.clone(),
            host_path: source.to_string_lossy().into_owned(),
            readonly: mount.read_only,
            recursive_read_only: recursive,
            propagation: propagation.into(),
            ..Default::default()
        })
    }

    /// What was asked for, with the host's in the place of what was not; `None`: all is the host's.
    fn dns(&self, asked: &Dns) -> Option<cri::DnsConfig> {
        let mut servers = asked.servers.clone();
        if servers.is_empty() {
            servers.clone_from(&self.config.dns);
        }
        if servers.is_empty() && asked.searches.is_empty() && asked.options.is_empty() {
            return None;
        }
        let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let words = |key: &str| -> Vec<String> {
            host.lines()
                .filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(char::is_whitespace))
                .flat_map(str::split_whitespace)
                .map(str::to_owned)
                .collect()
        };
        if servers.is_empty() {
            servers = words("nameserver");
        }
        let mut searches = if asked.searches.is_empty() { words("search") } else { asked.searches.clone() };
        searches.retain(|domain| domain != ".");
        let options = if asked.options.is_empty() { words("options") } else { asked.options.clone() };
        Some(cri::DnsConfig { servers, searches, options })
    }

    /// The numbers of the groups that its user is in besides.
    async fn more_groups(&self, record: &Record, image: &Facts) -> Result<Vec<i64>, EngineError> {
        let mut all = Vec::new();
        for group in &record.spec.group_add {
            all.push(match group.parse::<i64>() {
                Ok(gid) => {
                    refuse_unmapped(gid, GIDS)?;
                    gid
                }
                Err(_) => {
                    let found = self.group_of_image(image, group).await?;
                    found.ok_or_else(|| {
                        EngineError::invalid(format!(
                            "Unable to find group {group}: no matching entries in group file"
                        ))
                    })?
                }
            });
        }
        Ok(all)
    }

    /// CRI takes a profile as a file, in the runtime's form.
    async fn write_seccomp(&self, record: &Record) -> Result<(), EngineError> {
        let spec = &record.spec;
        let Seccomp::Profile(docker) = security::parse(&spec.security_opt)?.seccomp else { return Ok(()) };
        let profile = security::profile(&docker, &spec.cap_add, &spec.cap_drop)?;
        let path = self.own_dir(record).join(SECCOMP);
        tokio::fs::write(&path, profile.to_string()).await.map_err(EngineError::file("cannot write", &path))
    }

    /// Tells the shim whose namespaces it joins: their processes are known only now.
    pub(super) async fn join_others(&self, record: &Record) -> Result<(), EngineError> {
        let mut amendment = self.container_amendment(record);
        for (kind, sharing) in [("pid", &record.spec.pid), ("ipc", &record.spec.ipc)] {
            let Sharing::Container(who) = sharing else { continue };
            let other = self.records.find(who)?;
            if other.status != Status::Running {
                return Err(EngineError::refused(
                    Reason::Conflict,
                    format!(
                        "failed to join {} namespace: container {} is not running",
                        kind.to_uppercase(),
                        other.id
                    ),
                ));
            }
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
                let shm =
                    mounts.filter(|m| m["destination"] == "/dev/shm").find_map(|m| m["source"].as_str());
                amendment.shm_source = shm.unwrap_or_default().to_owned();
            }
        }
        if amendment == self.container_amendment(record) {
            return Ok(());
        }
        self.containerd
            .annotate(&record.attempt.container, ANNOTATION, amendment.value().unwrap_or_default())
            .await
    }

    /// What the shim changes in the container's specification.
    fn container_amendment(&self, record: &Record) -> Amendment {
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
                // What is wrong with them was said when it was created.
                let rotation = Rotation::parse(&spec.log.options).unwrap_or_default();
                let path = self.log_dir(record, record.attempt.number).join(LOG);
                Log { path, size: rotation.size, files: rotation.files }
            }),
            journal: journal_fields(record),
            ..Amendment::default()
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
                Err(_) => self.group_of_image(image, group).await?.ok_or_else(|| no_group(group))?,
            };
            result.gid = Some(gid);
        }
        for (id, map) in [(result.uid, UIDS), (result.gid, GIDS)] {
            if let Some(id) = id {
                refuse_unmapped(id, map)?;
            }
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

/// A group that is asked for stands alone; else the user is in all that the image's files name.
fn groups_policy(user: &User) -> cri::SupplementalGroupsPolicy {
    match user.gid {
        Some(_) => cri::SupplementalGroupsPolicy::Strict,
        None => cri::SupplementalGroupsPolicy::Merge,
    }
}

fn no_group(group: &str) -> EngineError {
    EngineError::invalid(format!("unable to find group {group}: no matching entries in group file"))
}

fn namespaces(spec: &ContainerSpec) -> cri::NamespaceOption {
    let or_node = |sharing: &Sharing, own: cri::NamespaceMode| match sharing {
        Sharing::Host => cri::NamespaceMode::Node.into(),
        _ => own.into(),
    };
    cri::NamespaceOption {
        network: cri::NamespaceMode::Pod.into(),
        pid: or_node(&spec.pid, cri::NamespaceMode::Container),
        ipc: or_node(&spec.ipc, cri::NamespaceMode::Pod),
        ..Default::default()
    }
}

/// `own`: where a profile was written.
fn seccomp(wanted: &Seccomp, own: Option<&Path>) -> cri::SecurityProfile {
    let (kind, file) = match (wanted, own) {
        (Seccomp::Unconfined, _) => (ProfileType::Unconfined, String::new()),
        (Seccomp::Profile(_), Some(own)) => {
            (ProfileType::Localhost, own.join(SECCOMP).to_string_lossy().into_owned())
        }
        _ => (ProfileType::RuntimeDefault, String::new()),
    };
    cri::SecurityProfile { profile_type: kind.into(), localhost_ref: file }
}

fn apparmor(profile: &str) -> Option<cri::SecurityProfile> {
    let (kind, name) = match profile {
        "" => return None,
        "unconfined" => (ProfileType::Unconfined, ""),
        name => (ProfileType::Localhost, name),
    };
    Some(cri::SecurityProfile { profile_type: kind.into(), localhost_ref: name.to_owned() })
}

/// Below the cgroup that is delegated to us, which looks like the root from here.
fn cgroup_parent(asked: &str) -> String {
    let parts: Vec<&str> = asked.split('/').filter(|p| !p.is_empty() && *p != "." && *p != "..").collect();
    if parts.is_empty() { String::new() } else { format!("/{}", parts.join("/")) }
}

fn cri_device(device: &Device) -> cri::Device {
    cri::Device {
        container_path: device.container.clone(),
        host_path: device.host.clone(),
        permissions: device.permissions.clone(),
    }
}

fn journal_fields(record: &Record) -> BTreeMap<String, String> {
    if record.spec.log.driver != journal::DRIVER {
        return BTreeMap::new();
    }
    // What is wrong with them was said when it was created.
    journal::fields(&record.spec.log.options, &crate::engine::logs::writer(record)).unwrap_or_default()
}

fn annotation(amendment: &Amendment) -> HashMap<String, String> {
    amendment.value().into_iter().map(|value| (ANNOTATION.to_owned(), value)).collect()
}

fn hosts_file(record: &Record) -> String {
    let mut text = "127.0.0.1\tlocalhost\n\
        ::1\tlocalhost ip6-localhost ip6-loopback\n\
        fe00::\tip6-localnet\n\
        ff00::\tip6-mcastprefix\n\
        ff02::1\tip6-allnodes\n\
        ff02::2\tip6-allrouters\n"
        .to_owned();
    for entry in &record.spec.extra_hosts {
        if let Some((name, address)) = entry.split_once(':') {
            text.push_str(&format!("{address}\t{name}\n"));
        }
    }
    if !record.attempt.address().is_empty() {
        let mut names = record.resolved.hostname.clone();
        if !record.spec.domainname.is_empty() {
            names = format!("{names}.{} {names}", record.spec.domainname);
        }
        text.push_str(&format!("{}\t{names}\n", record.attempt.address()));
    }
    text
}

/// The number of a record's stop signal.
pub(super) fn stop_signal(record: &Record) -> i32 {
    signal::parse(&record.resolved.stop_signal).unwrap_or(15)
}
