//! `ps`.

use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::container::{
    ContainerState, ContainerSummary, Health, ListFilter, Mount, MountKind, Status,
};
use crate::model::pattern;
use crate::model::reference::Reference;
use crate::store::Record;
use std::collections::BTreeMap;

impl Engine {
    /// The containers that the filter lets through, newest first.
    pub async fn list(&self, filter: ListFilter) -> Result<Vec<ContainerSummary>, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        for (key, values) in &filter.filters {
            check(key, values)?;
        }
        let records = inner.records.all();
        let groups = inner.image_groups().await?;
        let owner: BTreeMap<String, String> =
            groups.values().flat_map(|g| g.names.iter().map(|n| (n.clone(), g.id.clone()))).collect();
        let mut rows: Vec<ContainerSummary> = records.iter().map(|r| row(r, &owner)).collect();
        rows.extend(inner.foreign_rows().await?);
        rows.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        let ancestors = ancestors(inner, filter.filters.get("ancestor")).await;
        let bound = |key: &str| -> Result<Option<jiff::Timestamp>, EngineError> {
            let Some(who) = filter.filters.get(key).and_then(|v| v.first()) else { return Ok(None) };
            Ok(Some(inner.records.find(who)?.created))
        };
        let (before, since) = (bound("before")?, bound("since")?);
        let any_state = filter.all
            || filter.limit.is_some()
            || ["status", "exited"].iter().any(|k| filter.filters.contains_key(*k))
            || before.is_some()
            || since.is_some();
        rows.retain(|row| {
            let runs = matches!(row.state.status, Status::Running | Status::Paused | Status::Restarting);
            (any_state || runs)
                && before.is_none_or(|b| row.created < b)
                && since.is_none_or(|s| row.created > s)
                && filter.filters.iter().all(|(key, values)| matches(row, key, values, &ancestors))
        });
        if let Some(limit) = filter.limit {
            rows.truncate(limit);
        }
        if filter.size {
            for row in &mut rows {
                row.size = inner.size_of(row).await;
            }
        }
        Ok(rows)
    }
}

/// Values of the filter `health`.
const HEALTH: [&str; 4] = ["starting", "healthy", "unhealthy", "none"];

fn row(record: &Record, owner: &BTreeMap<String, String>) -> ContainerSummary {
    let resolved = &record.resolved;
    let image = if resolved.reference.is_empty() || owner.get(&resolved.reference) == Some(&resolved.image_id)
    {
        shown(&record.spec.image)
    } else {
        // The tag has moved away, or is gone.
        let hex = resolved.image_id.strip_prefix("sha256:").unwrap_or(&resolved.image_id);
        hex.chars().take(12).collect()
    };
    ContainerSummary {
        id: record.id.clone(),
        names: vec![record.name.clone()],
        image,
        image_id: resolved.image_id.clone(),
        command: command(&[resolved.entrypoint.as_slice(), &resolved.command].concat()),
        created: record.created,
        state: state(record),
        labels: resolved.labels.clone(),
        mounts: resolved.mounts.clone(),
        size: None,
        foreign: false,
    }
}

/// The words, those with spaces in quotes.
fn command(words: &[String]) -> String {
    let quoted = |word: &String| if word.contains(' ') { format!("'{word}'") } else { word.clone() };
    let (first, rest) = words.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    [first.to_owned()].into_iter().chain(rest.iter().map(quoted)).collect::<Vec<_>>().join(" ")
}

/// As typed, without a digest.
fn shown(image: &str) -> String {
    match image.split_once('@') {
        Some((name, _)) if !name.is_empty() => name.to_owned(),
        _ => image.to_owned(),
    }
}

pub(super) fn state(record: &Record) -> ContainerState {
    ContainerState {
        status: record.status,
        pid: i32::try_from(record.attempt.pid).unwrap_or(0),
        exit_code: record.exit.code,
        error: record.exit.error.clone(),
        oom_killed: record.exit.oom_killed,
        started_at: record.exit.started,
        finished_at: record.exit.finished,
        attempt: record.attempt.number,
        restart_count: record.restart_count,
        health: record.health.status.filter(|_| record.status == Status::Running),
    }
}

impl Inner {
    /// Bytes that a container wrote, and bytes of all that it sees; `None`: it is gone, or not ours.
    pub(super) async fn size_of(&self, row: &ContainerSummary) -> Option<(i64, i64)> {
        self.sizes(&self.records.get(&row.id).ok()?).await.ok()
    }
}

/// The images that `ancestor` filters mean: image IDs and references.
async fn ancestors(inner: &Inner, values: Option<&Vec<String>>) -> Vec<String> {
    let mut all = Vec::new();
    for value in values.into_iter().flatten() {
        all.push(Reference::parse(value).map_or_else(|_| value.clone(), |r| r.to_string()));
        if let Ok(found) = inner.find_image(value).await {
            all.push(found.group.id);
        }
    }
    all
}

fn check(key: &str, values: &[String]) -> Result<(), EngineError> {
    match key {
        "id" | "name" | "label" | "ancestor" | "volume" | "before" | "since" => Ok(()),
        "health" => match values.iter().find(|v| !HEALTH.contains(&v.as_str())) {
            Some(bad) => Err(EngineError::invalid(format!("unrecognized filter value for health: {bad}"))),
            None => Ok(()),
        },
        "status" => {
            let words = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
            match values.iter().find(|v| !words.contains(&v.as_str())) {
                Some(bad) => Err(EngineError::invalid(format!(
                    "invalid filter 'status={bad}': must be one of 'created', 'restarting', 'running', 'removing', 'paused', 'exited', or 'dead'"
                ))),
                None => Ok(()),
            }
        }
        "exited" => match values.iter().find(|v| v.parse::<i32>().is_err()) {
            Some(bad) => Err(EngineError::invalid(format!("invalid filter 'exited={bad}'"))),
            None => Ok(()),
        },
        other => Err(EngineError::invalid(format!("invalid filter '{other}'"))),
    }
}

/// Values of one key are alternatives (labels must all be there), keys must all agree.
fn matches(row: &ContainerSummary, key: &str, values: &[String], ancestors: &[String]) -> bool {
    match key {
        "id" => pattern::matches(values, row.id.as_str()),
        "name" => row
            .names
            .iter()
            .any(|n| pattern::matches(values, n) || pattern::matches(values, &format!("/{n}"))),
        "label" => values.iter().all(|v| match v.split_once('=') {
            Some((key, value)) => row.labels.get(key).is_some_and(|l| l == value),
            None => row.labels.contains_key(v),
        }),
        "status" => values.iter().any(|v| v == row.state.status.as_str()),
        "exited" => {
            row.state.status == Status::Exited
                && values.iter().any(|v| v.parse::<i32>().is_ok_and(|c| c == row.state.exit_code))
        }
        "ancestor" => ancestors
            .iter()
            .any(|a| *a == row.image_id || Reference::parse(&row.image).is_ok_and(|r| r.to_string() == *a)),
        "health" => {
            let word = row.state.health.map_or("none", Health::as_str);
            values.iter().any(|v| v == word)
        }
        "volume" => values.iter().any(|v| row.mounts.iter().any(|m| m.target == *v || source(m) == v)),
        _ => true,
    }
}

fn source(mount: &Mount) -> &str {
    match &mount.kind {
        MountKind::Bind { source, .. } => source,
        MountKind::Volume { name, .. } => name,
        MountKind::Image { reference } => reference,
        MountKind::Tmpfs { .. } => "",
    }
}
