//! Health checks: a command that is run in the container now and then. Three failures in a row (or as many as were asked
//! for) make it unhealthy, one success makes it healthy.

use crate::engine::lifecycle;
use crate::engine::{Inner, events};
use crate::model::container::{Health, Healthcheck, Status};
use crate::model::id::ContainerId;
use crate::proto::cri;
use crate::store::{Change, HealthLog, Probe, Record};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Docker's defaults.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: u32 = 3;
/// Output that is kept of each check, in bytes.
const OUTPUT: usize = 4096;
/// Number of results that are kept.
const KEPT: usize = 5;

impl Inner {
    /// Checks a container that has just started, or was found running, until its attempt is over.
    pub(in crate::engine) fn watch_health(self: &Arc<Self>, record: &Record) {
        let Some(check) = record.resolved.health.clone() else { return };
        let (inner, id, container) =
            (Arc::downgrade(self), record.id.clone(), record.attempt.container.clone());
        let begun = record.exit.started.unwrap_or_else(Timestamp::now);
        tokio::spawn(async move {
            loop {
                let pause = match inner.upgrade() {
                    Some(inner) => match inner.current(&id, &container) {
                        Some(record) => next(&check, &record.health, since(begun)),
                        None => return,
                    },
                    None => return,
                };
                tokio::time::sleep(pause).await;
                let Some(inner) = inner.upgrade() else { return };
                match inner.current(&id, &container) {
                    Some(record) if record.status == Status::Running => {}
                    // A paused container answers no check.
                    Some(_) => continue,
                    None => return,
                }
                let probe = inner.probe(&container, &check).await;
                if inner.note(&id, &container, &check, probe, begun).await.is_none() {
                    return;
                }
            }
        });
    }

    /// The record, while its attempt is this one and is not over.
    fn current(&self, id: &ContainerId, container: &str) -> Option<Record> {
        let record = self.records.get(id).ok()?;
        let runs = lifecycle::lives(record.status);
        (record.attempt.container == container && runs).then_some(record)
    }

    async fn probe(&self, container: &str, check: &Healthcheck) -> Probe {
        let timeout = check.timeout.filter(|t| !t.is_zero()).unwrap_or(TIMEOUT);
        let cmd = match check.test.as_slice() {
            [kind, text] if kind == "CMD-SHELL" => ["/bin/sh", "-c", text].map(str::to_owned).into(),
            [_, words @ ..] => words.to_vec(),
            [] => Vec::new(),
        };
        let message = cri::ExecSyncRequest {
            container_id: container.to_owned(),
            cmd,
            // CRI takes whole seconds; a shorter time is kept here.
            timeout: i64::try_from(timeout.as_secs().max(1)).unwrap_or(i64::MAX),
        };
        let (start, began) = (Timestamp::now(), Instant::now());
        let mut runtime = self.cri.runtime();
        let answer = tokio::time::timeout(timeout, runtime.exec_sync(message)).await;
        let (code, output) = match answer {
            Ok(Ok(answer)) => {
                let answer = answer.into_inner();
                let mut output = answer.stdout;
                output.extend_from_slice(&answer.stderr);
                output.truncate(OUTPUT);
                (answer.exit_code, String::from_utf8_lossy(&output).into_owned())
            }
            Ok(Err(status)) if status.code() != tonic::Code::DeadlineExceeded => {
                (-1, status.message().to_owned())
            }
            _ => {
                let took = began.elapsed().as_secs_f64();
                (-1, format!("Health check exceeded timeout ({}) after {took:.1}s", go(timeout)))
            }
        };
        Probe { start, end: Timestamp::now(), code, output }
    }

    /// Records a check's result. `None`: its attempt is over.
    async fn note(
        self: &Arc<Self>,
        id: &ContainerId,
        container: &str,
        check: &Healthcheck,
        probe: Probe,
        begun: Timestamp,
    ) -> Option<()> {
        let _one = self.records.lock(id).await;
        let mut record = self.current(id, container)?;
        let before = record.health.status;
        judge(&mut record.health, check, probe, since(begun));
        let mut change = Change::new().put(&record);
        if record.health.status != before
            && let Some(now) = record.health.status
        {
            let action = format!("health_status: {}", now.as_str());
            change = change.event(events::container(&record, &action, Timestamp::now(), &[]));
        }
        if let Err(error) = self.records.commit(change).await {
            tracing::warn!(%error, container = record.name, "cannot record a health check");
        }
        Some(())
    }
}

/// The health with which an attempt begins.
pub(in crate::engine) fn fresh(record: &Record) -> HealthLog {
    HealthLog { status: record.resolved.health.as_ref().map(|_| Health::Starting), ..HealthLog::default() }
}

fn since(begun: Timestamp) -> Duration {
    Duration::try_from(Timestamp::now().duration_since(begun)).unwrap_or_default()
}

fn starting(check: &Healthcheck, log: &HealthLog, age: Duration) -> bool {
    log.status == Some(Health::Starting) && check.start_period.is_some_and(|period| age < period)
}

/// Pause before the next check.
fn next(check: &Healthcheck, log: &HealthLog, age: Duration) -> Duration {
    let or = |time: Option<Duration>, default: Duration| time.filter(|t| !t.is_zero()).unwrap_or(default);
    let interval = or(check.interval, INTERVAL);
    match starting(check, log, age) {
        true => or(check.start_interval, START_INTERVAL).min(interval),
        false => interval,
    }
}

/// Adds a result to the log, by Docker's rules: failures in the start period do not count.
fn judge(log: &mut HealthLog, check: &Healthcheck, probe: Probe, age: Duration) {
    let retries = if check.retries == 0 { RETRIES } else { check.retries };
    if probe.code == 0 {
        log.failing = 0;
        log.status = Some(Health::Healthy);
    } else if !starting(check, log, age) {
        log.failing += 1;
        if log.failing >= retries {
            log.status = Some(Health::Unhealthy);
        }
    }
    log.probes.push(probe);
    let surplus = log.probes.len().saturating_sub(KEPT);
    log.probes.drain(..surplus);
}

/// A duration as Go writes it, in whole seconds or milliseconds.
fn go(time: Duration) -> String {
    match time.subsec_millis() {
        0 => format!("{}s", time.as_secs()),
        _ => format!("{}ms", time.as_millis()),
    }
}

impl Inner {
    /// Checks all running containers, after the engine came up.
    pub(in crate::engine) fn watch_all_health(self: &Arc<Self>) {
        for record in self.records.all() {
            if lifecycle::lives(record.status) {
                self.watch_health(&record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(code: i32) -> Probe {
        Probe { start: Timestamp::UNIX_EPOCH, end: Timestamp::UNIX_EPOCH, code, output: String::new() }
    }

    #[test]
    fn judgement() {
        let check = Healthcheck {
            retries: 2,
            start_period: Some(Duration::from_secs(10)),
            interval: Some(Duration::from_secs(60)),
            ..Healthcheck::default()
        };
        let mut log = HealthLog { status: Some(Health::Starting), ..HealthLog::default() };
        let (young, old) = (Duration::from_secs(1), Duration::from_secs(11));
        assert_eq!(next(&check, &log, young), START_INTERVAL);
        judge(&mut log, &check, probe(1), young);
        assert_eq!((log.status, log.failing), (Some(Health::Starting), 0));
        judge(&mut log, &check, probe(1), old);
        assert_eq!((log.status, log.failing), (Some(Health::Starting), 1));
        judge(&mut log, &check, probe(-1), old);
        assert_eq!(log.status, Some(Health::Unhealthy));
        judge(&mut log, &check, probe(0), old);
        assert_eq!((log.status, log.failing), (Some(Health::Healthy), 0));
        assert_eq!(next(&check, &log, young), Duration::from_secs(60));
        for _ in 0..9 {
            judge(&mut log, &check, probe(0), old);
        }
        assert_eq!(log.probes.len(), KEPT);
    }
}
