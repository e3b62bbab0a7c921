//! The STATUS column of `ps`.

use super::duration;
use crate::model::container::{ContainerState, Health, Status};
use jiff::Timestamp;
use std::time::Duration;

/// `Up 5 minutes`, `Exited (137) 2 hours ago`, ...
pub(crate) fn status(state: &ContainerState, now: Timestamp) -> String {
    let since = |then: Option<Timestamp>| duration::human(elapsed(then, now));
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => {
            let health = match state.health {
                None => "",
                Some(Health::Starting) => " (health: starting)",
                Some(Health::Healthy) => " (healthy)",
                Some(Health::Unhealthy) => " (unhealthy)",
            };
            format!("Up {}{health}", since(state.started_at))
        }
        Status::Paused => format!("Up {} (Paused)", since(state.started_at)),
        Status::Restarting => format!("Restarting ({}) {}", state.exit_code, ago(state.finished_at, now)),
        Status::Removing => "Removal In Progress".to_owned(),
        Status::Exited if state.finished_at.is_none() => "Created".to_owned(),
        Status::Exited => format!("Exited ({}) {}", state.exit_code, ago(state.finished_at, now)),
        Status::Dead => "Dead".to_owned(),
    }
}

/// `5 minutes ago`
pub(crate) fn ago(then: Option<Timestamp>, now: Timestamp) -> String {
    format!("{} ago", duration::human(elapsed(then, now)))
}

/// Since then; nothing for a clock that went back.
pub(crate) fn elapsed(then: Option<Timestamp>, now: Timestamp) -> Duration {
    then.and_then(|then| Duration::try_from(now.duration_since(then)).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let now = Timestamp::from_second(10_000).unwrap();
        let state = |status, exit_code| ContainerState {
            status,
            pid: 0,
            exit_code,
            error: String::new(),
            oom_killed: false,
            started_at: Timestamp::from_second(9_700).ok(),
            finished_at: Timestamp::from_second(9_997).ok(),
            attempt: 0,
            restart_count: 0,
            health: None,
        };
        let cases = [
            (Status::Created, "Created"),
            (Status::Running, "Up 5 minutes"),
            (Status::Paused, "Up 5 minutes (Paused)"),
            (Status::Restarting, "Restarting (7) 3 seconds ago"),
            (Status::Removing, "Removal In Progress"),
            (Status::Exited, "Exited (7) 3 seconds ago"),
            (Status::Dead, "Dead"),
        ];
        for (word, text) in cases {
            assert_eq!(status(&state(word, 7), now), text);
        }
        assert_eq!(elapsed(Timestamp::from_second(20_000).ok(), now), Duration::ZERO);
    }
}
