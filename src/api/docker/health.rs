//! `State.Health` and `Config.Healthcheck`.

use super::schema::document;
use super::time;
use crate::model::container::{HealthLog, Healthcheck, Probe};
use std::time::Duration;

document! {
    /// Results of a container's checks.
    Health is "container.Health" {
        status: String = "Status";
        failing_streak: u32 = "FailingStreak";
        log: Vec<Check> = "Log";
    }
}

document! {
    /// One check.
    Check is "container.HealthcheckResult" {
        start: String = "Start";
        end: String = "End";
        exit_code: i32 = "ExitCode";
        output: String = "Output";
    }
}

document! {
    /// Checks of a container; durations are nanoseconds.
    HealthConfig is "container.HealthConfig" {
        test: Vec<String> = "Test", omit;
        interval: i64 = "Interval", omit;
        timeout: i64 = "Timeout", omit;
        start_period: i64 = "StartPeriod", omit;
        start_interval: i64 = "StartInterval", omit;
        retries: u32 = "Retries", omit;
    }
}

impl Health {
    /// `None`: the container has no checks.
    pub(super) fn of(log: HealthLog) -> Option<Self> {
        let status = log.status?;
        Some(Self {
            status: status.as_str().to_owned(),
            failing_streak: log.failing,
            log: log.probes.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<Probe> for Check {
    fn from(probe: Probe) -> Self {
        Self {
            start: time(Some(probe.start)),
            end: time(Some(probe.end)),
            exit_code: probe.code,
            output: probe.output,
        }
    }
}

impl From<Healthcheck> for HealthConfig {
    fn from(check: Healthcheck) -> Self {
        let nanos = |time: Option<Duration>| time.and_then(|t| i64::try_from(t.as_nanos()).ok()).unwrap_or(0);
        Self {
            test: check.test,
            interval: nanos(check.interval),
            timeout: nanos(check.timeout),
            start_period: nanos(check.start_period),
            start_interval: nanos(check.start_interval),
            retries: check.retries,
        }
    }
}
