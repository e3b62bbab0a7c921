//! Pauses before a registry is asked again that was too busy or hung up: as long as it wants (`Retry-After`), or longer
//! each time.

use super::registry::Outcomes;
use crate::engine::error::EngineError;
use crate::engine::locks::held;
use crate::model::image::{Progress, TransferOutcome};
use crate::model::login::Login;
use crate::model::reason::Reason;
use jiff::Timestamp;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Pauses of a registry that does not say how long it wants to be left alone.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];
/// The longest pause that somebody waits for.
const LONGEST: Duration = Duration::from_mins(5);

/// Logins of one call, by host: nobody is asked twice. They end with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<Mutex<HashMap<String, Login>>>);

impl Known {
    pub(super) fn get(&self, host: &str) -> Option<Login> {
        held(&self.0).get(host).cloned()
    }

    pub(super) fn keep(&self, host: &str, login: &Login) {
        held(&self.0).insert(host.to_owned(), login.clone());
    }
}

/// The pauses of one call.
#[derive(Debug, Default)]
pub(super) struct Pauses(usize);

impl Pauses {
    /// The next pause. An error that will be the same, or has come often enough, is answered.
    fn next(
        &mut self,
        error: EngineError,
        wanted: Option<Duration>,
    ) -> Result<(Duration, EngineError), EngineError> {
        if error.reason() != Reason::Unavailable {
            return Err(error);
        }
        if let Some(wanted) = wanted.filter(|wanted| *wanted > LONGEST) {
            let seconds = wanted.as_secs();
            let text =
                format!("{error}: it wants to be asked again in {seconds} s, which is too long to wait");
            return Err(EngineError::refused(Reason::Unavailable, text));
        }
        let Some(pause) = PAUSES.get(self.0).copied() else { return Err(error) };
        self.0 += 1;
        Ok((wanted.map_or(pause, |wanted| wanted.max(PAUSES[0])), error))
    }
}

/// Waits, and says so, before something is tried again that failed; an error that will be the same is answered at once.
pub(super) async fn pause(
    pauses: &mut Pauses,
    error: EngineError,
    wanted: Option<Duration>,
    outcomes: &Outcomes,
) -> Result<(), EngineError> {
    let (pause, error) = pauses.next(error, wanted)?;
    let status = format!("Retrying in {} s: {error}", pause.as_secs());
    let step = Progress { status, ..Progress::default() };
    outcomes.send(Ok(TransferOutcome::Progress(step))).await.ok();
    tokio::time::sleep(pause).await;
    Ok(())
}

/// The time of a `Retry-After`: seconds, or a date.
pub(super) fn wanted(header: &str) -> Option<Duration> {
    let header = header.trim();
    if let Ok(seconds) = header.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = jiff::fmt::rfc2822::parse(header).ok()?.timestamp();
    Some(Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(wanted(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(wanted("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO));
        let later = jiff::fmt::rfc2822::DateTimePrinter::new();
        let later = later.timestamp_to_rfc9110_string(&(Timestamp::now() + Duration::from_secs(90))).unwrap();
        let read = wanted(&later).unwrap();
        assert!((85..=90).contains(&read.as_secs()), "{later}: {read:?}");
        for none in ["", "soon", "-1", "1.5"] {
            assert_eq!(wanted(none), None, "{none}");
        }
    }

    #[test]
    fn pauses_are_bounded() {
        let busy = || EngineError::refused(Reason::Unavailable, "busy");
        let mut pauses = Pauses::default();
        for (wanted, seconds) in [(None, 1), (Some(30), 30), (Some(0), 1), (None, 8)] {
            let (pause, _) = pauses.next(busy(), wanted.map(Duration::from_secs)).unwrap();
            assert_eq!(pause.as_secs(), seconds, "{wanted:?}");
        }
        assert!(pauses.next(busy(), None).is_err(), "it is asked for ever");
        let error = Pauses::default().next(busy(), Some(Duration::from_hours(2))).unwrap_err().to_string();
        assert!(error.contains("asked again in 7200 s"), "{error}");
        let other = EngineError::refused(Reason::Unauthorized, "no");
        assert!(Pauses::default().next(other, None).is_err());
    }
}
