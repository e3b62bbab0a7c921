//! Containers, what they do, and what is in them.

use super::{Invalid, count, filters_from, filters_to, number, time};
use crate::model::archive::Part;
use crate::model::container::{
    CommitOptions, ContainerState, ContainerSummary, ExitStatus, Health, ListFilter, LogEntry, LogPosition,
    LogsOptions, PathStat, Processes, Pruned, Stats, Status, Stream, WaitCondition,
};
use crate::model::filter::{ContainerFilter, InvalidFilter};
use crate::model::id::ContainerId;
use crate::proto::k3c::v1 as wire;
use wire::log_entry::Stream as WireStream;
use wire::wait_container_request::Condition;

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
            health: state.health.map_or("", Health::as_str).to_owned(),
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
            health: health(&state.health)?,
        })
    }
}

fn health(word: &str) -> Result<Option<Health>, Invalid> {
    let all = [Health::Starting, Health::Healthy, Health::Unhealthy];
    match all.into_iter().find(|health| health.as_str() == word) {
        None if !word.is_empty() => Err(Invalid::new("state.health", format_args!("unknown word {word:?}"))),
        known => Ok(known),
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
            ports: row.ports.into_iter().map(Into::into).collect(),
            network: row.network,
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
            ports: row.ports.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            network: row.network,
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

/// The filter of a list, from the wire. A limit below one is none, as in Docker.
pub fn list_from(request: wire::ListContainersRequest) -> Result<ListFilter<ContainerFilter>, InvalidFilter> {
    Ok(ListFilter {
        all: request.all,
        filters: ContainerFilter::parse(filters_from(request.filters))?,
        limit: usize::try_from(request.limit).ok().filter(|limit| *limit > 0),
        size: request.size,
    })
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
        after: options.after.map(position_to),
        details: options.details,
    }
}

fn position_to(position: LogPosition) -> wire::LogPosition {
    wire::LogPosition { file: position.file, offset: position.offset }
}

fn position_from(position: wire::LogPosition) -> LogPosition {
    LogPosition { file: position.file, offset: position.offset }
}

/// The container and the options of a call for logs, from the wire.
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
        after: request.after.map(position_from),
        details: request.details,
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
            position: Some(position_to(entry.position)),
            attributes: entry.attributes.into_iter().collect(),
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
        let position = position_from(entry.position.unwrap_or_default());
        let attributes = entry.attributes.into_iter().collect();
        Ok(Self { stream, time, data: entry.data, partial: entry.partial, position, attributes })
    }
}

impl From<Processes> for wire::TopContainerResponse {
    fn from(all: Processes) -> Self {
        let processes = all.rows.into_iter().map(|values| wire::Strings { values }).collect();
        Self { titles: all.titles, processes }
    }
}

impl From<wire::TopContainerResponse> for Processes {
    fn from(all: wire::TopContainerResponse) -> Self {
        Self { titles: all.titles, rows: all.processes.into_iter().map(|row| row.values).collect() }
    }
}

impl From<Stats> for wire::StatsResponse {
    fn from(stats: Stats) -> Self {
        Self {
            id: stats.id,
            name: stats.name,
            known: stats.known,
            time: Some(time::to(jiff::Timestamp::now())),
            cpu_nanos: stats.cpu_nanos,
            cpu_percent: stats.cpu_percent,
            memory_usage: stats.memory_usage,
            memory_limit: stats.memory_limit,
            pids: stats.pids,
            block_read: stats.block.0,
            block_write: stats.block.1,
            net_rx: stats.net.0,
            net_tx: stats.net.1,
            online_cpus: stats.online_cpus,
        }
    }
}

impl TryFrom<wire::StatsResponse> for Stats {
    type Error = Invalid;

    fn try_from(stats: wire::StatsResponse) -> Result<Self, Invalid> {
        Ok(Self {
            id: stats.id,
            name: stats.name,
            known: stats.known,
            cpu_nanos: stats.cpu_nanos,
            cpu_percent: stats.cpu_percent,
            memory_usage: stats.memory_usage,
            memory_limit: stats.memory_limit,
            pids: stats.pids,
            block: (stats.block_read, stats.block_write),
            net: (stats.net_rx, stats.net_tx),
            online_cpus: stats.online_cpus,
        })
    }
}

impl TryFrom<wire::Chunk> for Part<bytes::Bytes> {
    type Error = Invalid;

    fn try_from(chunk: wire::Chunk) -> Result<Self, Invalid> {
        Ok(match chunk.left_out.is_empty() {
            true => Self::Data(chunk.data.into()),
            false => Self::LeftOut(chunk.left_out),
        })
    }
}

impl From<Part<bytes::Bytes>> for wire::Chunk {
    fn from(part: Part<bytes::Bytes>) -> Self {
        match part {
            Part::Data(data) => Self { data: data.into(), ..Default::default() },
            Part::LeftOut(left_out) => Self { left_out, ..Default::default() },
        }
    }
}

/// For the wire.
pub fn commit_to(container: &str, options: CommitOptions) -> wire::CommitContainerRequest {
    wire::CommitContainerRequest {
        container: container.to_owned(),
        reference: options.reference,
        author: options.author,
        comment: options.comment,
        changes: options.changes,
        no_pause: options.no_pause,
    }
}

/// The container and the options of a commit, from the wire.
pub fn commit_from(request: wire::CommitContainerRequest) -> (String, CommitOptions) {
    let options = CommitOptions {
        reference: request.reference,
        author: request.author,
        comment: request.comment,
        changes: request.changes,
        no_pause: request.no_pause,
    };
    (request.container, options)
}

impl From<PathStat> for wire::PathStat {
    fn from(stat: PathStat) -> Self {
        Self {
            name: stat.name,
            size: stat.size,
            mode: stat.mode,
            modified: stat.modified.map(time::to),
            link_target: stat.link_target,
        }
    }
}

impl TryFrom<wire::PathStat> for PathStat {
    type Error = Invalid;

    fn try_from(stat: wire::PathStat) -> Result<Self, Invalid> {
        Ok(Self {
            name: stat.name,
            size: stat.size,
            mode: stat.mode,
            modified: time::from("stat.modified", stat.modified)?,
            link_target: stat.link_target,
        })
    }
}

impl From<Pruned> for wire::PruneResponse {
    fn from(pruned: Pruned) -> Self {
        Self { deleted: pruned.deleted, reclaimed: pruned.reclaimed }
    }
}

impl From<wire::PruneResponse> for Pruned {
    fn from(answer: wire::PruneResponse) -> Self {
        Self { deleted: answer.deleted, reclaimed: answer.reclaimed }
    }
}

#[cfg(test)]
mod tests;
