//! Containers.

use super::{Invalid, count, filters_from, filters_to, number, time};
use crate::model::container::{
    ContainerSpec, ContainerState, ContainerSummary, ExitStatus, ListFilter, LogEntry, LogsOptions, Mount,
    MountKind, Resources, RestartPolicy, Status, Stream, WaitCondition,
};
use crate::model::id::ContainerId;
use crate::proto::k3c::v1 as wire;
use wire::log_entry::Stream as WireStream;
use wire::mount::Type;
use wire::wait_container_request::Condition;

impl From<ContainerSpec> for wire::ContainerSpec {
    fn from(spec: ContainerSpec) -> Self {
        Self {
            image: spec.image,
            entrypoint: spec.entrypoint.map(|values| wire::Strings { values }),
            command: spec.command,
            env: spec.env,
            working_dir: spec.working_dir,
            user: spec.user,
            hostname: spec.hostname,
            labels: spec.labels.into_iter().collect(),
            mounts: spec.mounts.into_iter().map(Into::into).collect(),
            read_only: spec.read_only,
            cap_add: spec.cap_add,
            cap_drop: spec.cap_drop,
            privileged: spec.privileged,
            resources: Some(spec.resources.into()),
            auto_remove: spec.auto_remove,
            restart: Some(spec.restart.into()),
            stop_signal: spec.stop_signal,
            stop_timeout_seconds: spec.stop_timeout,
            tty: spec.tty,
            open_stdin: spec.open_stdin,
            stdin_once: spec.stdin_once,
        }
    }
}

impl TryFrom<wire::ContainerSpec> for ContainerSpec {
    type Error = Invalid;

    fn try_from(spec: wire::ContainerSpec) -> Result<Self, Invalid> {
        if spec.image.is_empty() {
            return Err(Invalid::new("spec.image", "must not be empty"));
        }
        if let Some(entry) = spec.env.iter().find(|entry| entry.starts_with('=') || entry.is_empty()) {
            return Err(Invalid::new("spec.env", format_args!("no name in {entry:?}")));
        }
        Ok(Self {
            image: spec.image,
            entrypoint: spec.entrypoint.map(|entrypoint| entrypoint.values),
            command: spec.command,
            env: spec.env,
            working_dir: spec.working_dir,
            user: spec.user,
            hostname: spec.hostname,
            labels: spec.labels.into_iter().collect(),
            mounts: spec.mounts.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            read_only: spec.read_only,
            cap_add: spec.cap_add,
            cap_drop: spec.cap_drop,
            privileged: spec.privileged,
            resources: spec.resources.unwrap_or_default().try_into()?,
            auto_remove: spec.auto_remove,
            restart: spec.restart.unwrap_or_default().try_into()?,
            stop_signal: spec.stop_signal,
            stop_timeout: spec.stop_timeout_seconds,
            tty: spec.tty,
            open_stdin: spec.open_stdin,
            stdin_once: spec.stdin_once,
        })
    }
}

impl From<Mount> for wire::Mount {
    fn from(mount: Mount) -> Self {
        let (kind, source, create_source) = match mount.kind {
            MountKind::Bind { source, create } => (Type::Bind, source, create),
            MountKind::Volume { name } => (Type::Volume, name, false),
            MountKind::Tmpfs => (Type::Tmpfs, String::new(), false),
        };
        Self {
            r#type: kind.into(),
            source,
            target: mount.target,
            read_only: mount.read_only,
            propagation: mount.propagation,
            create_source,
        }
    }
}

impl TryFrom<wire::Mount> for Mount {
    type Error = Invalid;

    fn try_from(mount: wire::Mount) -> Result<Self, Invalid> {
        let target = mount.target;
        if !target.starts_with('/') {
            return Err(Invalid::new(
                "mount.target",
                format_args!("mount path must be absolute: {target:?}"),
            ));
        }
        let kind = match Type::try_from(mount.r#type) {
            Ok(Type::Bind) if mount.source.starts_with('/') => {
                MountKind::Bind { source: mount.source, create: mount.create_source }
            }
            Ok(Type::Bind) => {
                let why = format!("bind source path must be absolute: {:?}", mount.source);
                return Err(Invalid::new("mount.source", why));
            }
            Ok(Type::Volume) => MountKind::Volume { name: mount.source },
            Ok(Type::Tmpfs) if mount.source.is_empty() => MountKind::Tmpfs,
            Ok(Type::Tmpfs) => return Err(Invalid::new("mount.source", "a tmpfs has no source")),
            Ok(Type::Unspecified) | Err(_) => {
                return Err(Invalid::new("mount.type", format_args!("unknown mount type {}", mount.r#type)));
            }
        };
        match mount.propagation.as_str() {
            "" | "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {}
            other => {
                return Err(Invalid::new("mount.propagation", format_args!("unknown propagation {other:?}")));
            }
        }
        Ok(Self { kind, target, read_only: mount.read_only, propagation: mount.propagation })
    }
}

impl From<Resources> for wire::Resources {
    fn from(limits: Resources) -> Self {
        Self {
            memory_bytes: limits.memory,
            memory_swap_bytes: limits.memory_swap,
            nano_cpus: limits.nano_cpus,
            cpu_shares: limits.cpu_shares,
            cpuset_cpus: limits.cpuset_cpus,
            pids_limit: limits.pids_limit,
        }
    }
}

impl TryFrom<wire::Resources> for Resources {
    type Error = Invalid;

    fn try_from(limits: wire::Resources) -> Result<Self, Invalid> {
        let lowest = [
            ("resources.memory_bytes", limits.memory_bytes, 0),
            ("resources.memory_swap_bytes", limits.memory_swap_bytes, -1),
            ("resources.nano_cpus", limits.nano_cpus, 0),
            ("resources.cpu_shares", limits.cpu_shares, 0),
            ("resources.pids_limit", limits.pids_limit, -1),
        ];
        for (field, value, low) in lowest {
            if value < low {
                return Err(Invalid::new(field, format_args!("{value} is less than {low}")));
            }
        }
        Ok(Self {
            memory: limits.memory_bytes,
            memory_swap: limits.memory_swap_bytes,
            nano_cpus: limits.nano_cpus,
            cpu_shares: limits.cpu_shares,
            cpuset_cpus: limits.cpuset_cpus,
            pids_limit: limits.pids_limit,
        })
    }
}

impl From<RestartPolicy> for wire::RestartPolicy {
    fn from(policy: RestartPolicy) -> Self {
        let (name, max) = match policy {
            RestartPolicy::No => ("no", 0),
            RestartPolicy::Always => ("always", 0),
            RestartPolicy::UnlessStopped => ("unless-stopped", 0),
            RestartPolicy::OnFailure { max } => ("on-failure", max),
        };
        Self { name: name.to_owned(), maximum_retry_count: number(max) }
    }
}

impl TryFrom<wire::RestartPolicy> for RestartPolicy {
    type Error = Invalid;

    fn try_from(policy: wire::RestartPolicy) -> Result<Self, Invalid> {
        let max = count("restart.maximum_retry_count", policy.maximum_retry_count)?;
        let plain = match policy.name.as_str() {
            "on-failure" => return Ok(Self::OnFailure { max }),
            "" | "no" => Self::No,
            "always" => Self::Always,
            "unless-stopped" => Self::UnlessStopped,
            other => return Err(Invalid::new("restart.name", format_args!("unknown policy {other:?}"))),
        };
        if max != 0 {
            return Err(Invalid::new("restart.maximum_retry_count", "can only be used with 'on-failure'"));
        }
        Ok(plain)
    }
}

impl From<ContainerState> for wire::ContainerState {
    fn from(state: ContainerState) -> Self {
        Self {
            status: state.status.as_str().to_owned(),
            pid: state.pid,
            exit_code: state.exit_code,
            error: state.error,
            oom_killed: state.oom_killed,
            started_at: state.started_at.map(time::to),
            finished_at: state.finished_at.map(time::to),
            attempt: number(state.attempt),
            restart_count: number(state.restart_count),
        }
    }
}

impl TryFrom<wire::ContainerState> for ContainerState {
    type Error = Invalid;

    fn try_from(state: wire::ContainerState) -> Result<Self, Invalid> {
        Ok(Self {
            status: status(&state.status)?,
            pid: state.pid,
            exit_code: state.exit_code,
            error: state.error,
            oom_killed: state.oom_killed,
            started_at: time::from("state.started_at", state.started_at)?,
            finished_at: time::from("state.finished_at", state.finished_at)?,
            attempt: count("state.attempt", state.attempt)?,
            restart_count: count("state.restart_count", state.restart_count)?,
        })
    }
}

fn status(word: &str) -> Result<Status, Invalid> {
    let all = [
        Status::Created,
        Status::Running,
        Status::Paused,
        Status::Restarting,
        Status::Removing,
        Status::Exited,
        Status::Dead,
    ];
    let known = all.into_iter().find(|status| status.as_str() == word);
    known.ok_or_else(|| Invalid::new("state.status", format_args!("unknown status {word:?}")))
}

impl From<ContainerSummary> for wire::ContainerSummary {
    fn from(row: ContainerSummary) -> Self {
        let (size_rw, size_root_fs) = row.size.unwrap_or_default();
        Self {
            id: row.id.into(),
            names: row.names,
            image: row.image,
            image_id: row.image_id,
            command: row.command,
            created: Some(time::to(row.created)),
            state: Some(row.state.into()),
            labels: row.labels.into_iter().collect(),
            mounts: row.mounts.into_iter().map(Into::into).collect(),
            size_rw,
            size_root_fs,
            foreign: row.foreign,
        }
    }
}

/// Sizes of zero come out as "not asked for"; whoever asked knows better.
impl TryFrom<wire::ContainerSummary> for ContainerSummary {
    type Error = Invalid;

    fn try_from(row: wire::ContainerSummary) -> Result<Self, Invalid> {
        let size = (row.size_rw, row.size_root_fs);
        Ok(Self {
            id: ContainerId::try_from(row.id).map_err(|error| Invalid::new("id", error))?,
            names: row.names,
            image: row.image,
            image_id: row.image_id,
            command: row.command,
            created: time::required("created", row.created)?,
            state: row.state.ok_or_else(|| Invalid::new("state", "missing"))?.try_into()?,
            labels: row.labels.into_iter().collect(),
            mounts: row.mounts.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            size: Some(size).filter(|size| *size != (0, 0)),
            foreign: row.foreign,
        })
    }
}

impl From<ExitStatus> for wire::WaitContainerResponse {
    fn from(status: ExitStatus) -> Self {
        Self { exit_code: status.code, error: status.error, oom_killed: status.oom_killed }
    }
}

impl From<wire::WaitContainerResponse> for ExitStatus {
    fn from(answer: wire::WaitContainerResponse) -> Self {
        Self { code: answer.exit_code, error: answer.error, oom_killed: answer.oom_killed }
    }
}

/// For the wire.
pub fn condition_to(condition: WaitCondition) -> i32 {
    match condition {
        WaitCondition::NotRunning => Condition::NotRunning.into(),
        WaitCondition::NextExit => Condition::NextExit.into(),
        WaitCondition::Removed => Condition::Removed.into(),
    }
}

/// From the wire.
pub fn condition_from(condition: i32) -> Result<WaitCondition, Invalid> {
    match Condition::try_from(condition) {
        Ok(Condition::NotRunning) => Ok(WaitCondition::NotRunning),
        Ok(Condition::NextExit) => Ok(WaitCondition::NextExit),
        Ok(Condition::Removed) => Ok(WaitCondition::Removed),
        Err(_) => Err(Invalid::new("condition", format_args!("unknown condition {condition}"))),
    }
}

/// For the wire.
pub fn list_to(filter: ListFilter) -> wire::ListContainersRequest {
    wire::ListContainersRequest {
        all: filter.all,
        filters: filters_to(filter.filters),
        limit: filter.limit.map_or(0, |limit| i32::try_from(limit).unwrap_or(i32::MAX)),
        size: filter.size,
    }
}

/// From the wire. A limit below one is none, as in Docker.
pub fn list_from(request: wire::ListContainersRequest) -> ListFilter {
    ListFilter {
        all: request.all,
        filters: filters_from(request.filters),
        limit: usize::try_from(request.limit).ok().filter(|limit| *limit > 0),
        size: request.size,
    }
}

/// For the wire.
pub fn logs_to(container: &str, options: LogsOptions) -> wire::LogsRequest {
    wire::LogsRequest {
        container: container.to_owned(),
        follow: options.follow,
        tail: options.tail.map(|lines| i64::try_from(lines).unwrap_or(i64::MAX)),
        since: options.since.map(time::to),
        until: options.until.map(time::to),
        stdout: options.stdout,
        stderr: options.stderr,
        current_attempt: options.current_attempt,
    }
}

/// From the wire: of which container, and what.
pub fn logs_from(request: wire::LogsRequest) -> Result<(String, LogsOptions), Invalid> {
    let tail = request.tail.map(u64::try_from).transpose();
    let options = LogsOptions {
        follow: request.follow,
        tail: tail.map_err(|_| Invalid::new("tail", "must not be negative; leave it out for all lines"))?,
        since: time::from("since", request.since)?,
        until: time::from("until", request.until)?,
        stdout: request.stdout,
        stderr: request.stderr,
        current_attempt: request.current_attempt,
    };
    Ok((request.container, options))
}

impl From<LogEntry> for wire::LogEntry {
    fn from(entry: LogEntry) -> Self {
        let stream = match entry.stream {
            Stream::Stdout => WireStream::Stdout,
            Stream::Stderr => WireStream::Stderr,
        };
        Self {
            stream: stream.into(),
            time: Some(time::to(entry.time)),
            data: entry.data,
            partial: entry.partial,
        }
    }
}

impl TryFrom<wire::LogEntry> for LogEntry {
    type Error = Invalid;

    fn try_from(entry: wire::LogEntry) -> Result<Self, Invalid> {
        let stream = match WireStream::try_from(entry.stream) {
            Ok(WireStream::Stdout) => Stream::Stdout,
            Ok(WireStream::Stderr) => Stream::Stderr,
            Ok(WireStream::Unspecified) | Err(_) => {
                return Err(Invalid::new("stream", format_args!("unknown stream {}", entry.stream)));
            }
        };
        let time = time::required("time", entry.time)?;
        Ok(Self { stream, time, data: entry.data, partial: entry.partial })
    }
}

#[cfg(test)]
mod tests;
