//! `ps`.

use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::container::{ContainerState, ContainerSummary, ListFilter, NetworkMode, Status};
use crate::model::filter::ContainerFilter;
use crate::model::port;
use crate::model::reference::Reference;
use crate::store::Record;
use std::collections::BTreeMap;

impl Engine {
    /// The containers that the filter lets through, newest first.
    ///
    /// # Errors
    /// `NotFound`: the container of a `before` or `since` filter.
    pub async fn list(
        &self,
        filter: ListFilter<ContainerFilter>,
    ) -> Result<Vec<ContainerSummary>, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let records = inner.records.all();
        let (groups, foreign) = tokio::try_join!(inner.image_groups(), inner.foreign_rows())?;
        let owner: BTreeMap<String, String> =
            groups.values().flat_map(|g| g.names.iter().map(|n| (n.clone(), g.id.clone()))).collect();
        let mut rows: Vec<ContainerSummary> = records.iter().map(|r| row(r, &owner)).collect();
        rows.extend(foreign);
        rows.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
        let mut wanted = filter.filters;
        for network in &mut wanted.networks {
            inner.network_name(network).clone_into(network);
        }
        let images = ancestors(inner, &wanted.ancestors).await;
        let made = |who: &String| inner.records.find(who).map(|record| record.created);
        let before = wanted.before.as_ref().map(made).transpose()?;
        let since = wanted.since.as_ref().map(made).transpose()?;
        let any_state = filter.all || filter.limit.is_some() || wanted.any_state();
        rows.retain(|row| {
            let runs = row.state.status.is_up();
            (any_state || runs)
                && before.is_none_or(|b| row.created < b)
                && since.is_none_or(|s| row.created > s)
                && wanted.matches(row, &images)
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

fn row(record: &Record, owner: &BTreeMap<String, String>) -> ContainerSummary {
    let resolved = &record.resolved;
    let image = if resolved.reference.is_empty() || owner.get(&resolved.reference) == Some(&resolved.image_id)
    {
        shown(&record.spec.image)
    } else {
        // The tag names another image by now, or is gone.
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
        network: match &record.spec.network {
            // It is in none of its own.
            NetworkMode::Container(_) => String::new(),
            mode if !mode.has_address() => mode.to_string(),
            _ => {
                let mut names: Vec<String> =
                    record.spec.places().into_iter().map(|place| place.network).collect();
                names.sort();
                names.join(",")
            }
        },
        ports: match record.status.is_up() && record.spec.network.has_address() {
            true => port::shown(&resolved.exposed, &record.attempt.published),
            false => Vec::new(),
        },
        foreign: false,
    }
}

/// A command line; words with spaces are in quotes.
fn command(words: &[String]) -> String {
    let quoted = |word: &String| if word.contains(' ') { format!("'{word}'") } else { word.clone() };
    let (first, rest) = words.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    [first.to_owned()].into_iter().chain(rest.iter().map(quoted)).collect::<Vec<_>>().join(" ")
}

/// An image's name as it was typed, without a digest.
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
    /// Size of the files that a container wrote, and of all that it sees, in bytes; `None`: it is gone, or not ours.
    pub(super) async fn size_of(&self, row: &ContainerSummary) -> Option<(i64, i64)> {
        self.sizes(&self.records.get(&row.id).ok()?).await.ok()
    }
}

/// The images that `ancestor` filters mean: image IDs and references.
async fn ancestors(inner: &Inner, values: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for value in values {
        all.push(Reference::parse(value).map_or_else(|_| value.clone(), |r| r.to_string()));
        if let Ok(found) = inner.find_image(value).await {
            all.push(found.group.id);
        }
    }
    all
}
