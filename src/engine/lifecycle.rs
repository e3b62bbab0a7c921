//! A container's life: what may be done in which state, and what each event makes of a record. Pure; the verbs ask here.
//!
//! ```text
//!  create            start                 pause
//! --------> Created -------> Running <---------------> Paused
//!              ^   \           |        unpause          |
//!              |    \ remove   | end (exit, stop, kill)  |
//!   a start    |     \         v                         |
//!   that failed|      \     Exited <---------------------+
//!              +-------\------ |  ^
//!                       \      |  | stop, or the policy has had enough
//!                        \     |  v
//!                         \    | Restarting --(pause)--> Running
//!                          v   v
//!                        Removing --> (no record)      Dead: could not be removed, is tried again
//! ```
//!
//! A person's will is in `desired`, `stopping` and `removing`, and is written down before anything is done about it, so
//! that an engine that is killed in the middle leaves the next one something to finish ([`unfinished`]).

use super::EngineError;
use super::containers::Starter;
use crate::model::container::{RestartPolicy, Status};
use crate::model::id::ContainerId;
use crate::model::reason::Reason;
use crate::store::{Desired, Exit, Record, Removal, Stopping};
use jiff::Timestamp;
use std::time::Duration;

/// First pause before a restart by policy, in milliseconds, as in Docker; it doubles each time.
const FIRST_PAUSE: u64 = 100;
/// Longest pause before a restart by policy, in milliseconds.
const LAST_PAUSE: u64 = 60_000;
/// A run of at least this long resets the pause before a restart.
const GOOD_RUN: Duration = Duration::from_secs(10);
/// First pause after a start by policy that failed, in milliseconds.
const FAILED_PAUSE: u64 = 1_000;

/// A thing that somebody wants to do with a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Start,
    Stop,
    Kill,
    Pause,
    Unpause,
    Update,
    Attach,
    Exec,
    /// Without force.
    Remove,
}

/// Answer to a verb that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Do it.
    Go,
    /// Nothing to do, because the container is in the wanted state already: success.
    Done,
}

/// Refuses a verb that the container's state does not allow. `who`: what the user calls it.
///
/// # Errors
/// [`EngineError::Refused`] in Docker's words: `Conflict`, or `NotRunning` for a kill.
pub(super) fn may(verb: Verb, status: Status, id: &ContainerId, who: &str) -> Result<Verdict, EngineError> {
    use Status as S;
    let conflict = |text: String| Err(EngineError::refused(Reason::Conflict, text));
    let not_running = || conflict(format!("container {id} is not running"));
    let restarting =
        || conflict(format!("Container {id} is restarting, wait until the container is running"));
    match (verb, status) {
        (Verb::Start, S::Created | S::Restarting | S::Exited)
        | (Verb::Stop | Verb::Kill, S::Running | S::Paused)
        | (Verb::Pause | Verb::Exec | Verb::Attach, S::Running)
        | (Verb::Unpause, S::Paused)
        | (Verb::Remove, S::Created | S::Exited | S::Removing | S::Dead)
        | (Verb::Update, S::Created | S::Running | S::Paused | S::Restarting | S::Exited) => Ok(Verdict::Go),
        (Verb::Start, S::Running) | (Verb::Stop, _) => Ok(Verdict::Done),
        (Verb::Start, S::Paused) => {
            conflict("cannot start a paused container, try unpause instead".to_owned())
        }
        (Verb::Start, S::Removing | S::Dead) => {
            conflict("container is marked for removal and cannot be started".to_owned())
        }
        (Verb::Kill, _) => Err(EngineError::refused(
            Reason::NotRunning,
            format!("cannot kill container: {who}: container {id} is not running"),
        )),
        (Verb::Pause, S::Paused) => conflict(format!("Container {id} is already paused")),
        (Verb::Pause | Verb::Exec, S::Restarting) => restarting(),
        (Verb::Pause | Verb::Exec, S::Created | S::Exited | S::Removing | S::Dead) => not_running(),
        (Verb::Unpause, _) => conflict(format!("Container {id} is not paused")),
        (Verb::Exec, S::Paused) => {
            conflict(format!("Container {who} is paused, unpause the container before exec"))
        }
        (Verb::Update, S::Removing | S::Dead) => conflict(format!(
            "Cannot update container {id}: container is marked for removal and cannot be \"update\""
        )),
        (Verb::Attach, S::Paused) => {
            conflict("cannot attach to a paused container, unpause it first".to_owned())
        }
        (Verb::Attach, S::Restarting) => {
            conflict("cannot attach to a restarting container, wait until it is running".to_owned())
        }
        (Verb::Attach, _) => conflict("cannot attach to a stopped container, start it first".to_owned()),
        (Verb::Remove, status) => {
            let why = match status {
                S::Paused => "container is paused and must be unpaused first",
                S::Restarting => {
                    "container is restarting: stop the container before removing or force remove"
                }
                _ => "container is running: stop the container before removing or force remove",
            };
            conflict(format!("cannot remove container \"{who}\": {why}"))
        }
    }
}

/// True when the container has a process.
pub(super) fn lives(status: Status) -> bool {
    matches!(status, Status::Running | Status::Paused)
}

/// True when the container has no process and the next start makes one.
pub(super) fn rests(status: Status) -> bool {
    matches!(status, Status::Created | Status::Exited | Status::Dead)
}

/// A start begins. A container that `always` brings back at the engine's start is wanted again, as in Docker.
pub(super) fn start_wanted(record: &mut Record, starter: Starter) {
    if starter != Starter::Policy {
        record.desired = Desired::Running;
        record.stopped_by_user = false;
        record.backoff_ms = 0;
    }
    if starter == Starter::User {
        record.restart_count = 0;
    }
}

/// The attempt runs. `pid`: its first process on the engine's host, 0 when that is not known.
pub(super) fn started(record: &mut Record, starter: Starter, pid: u32, now: Timestamp) {
    record.status = Status::Running;
    record.stopping = None;
    record.attempt.used = true;
    record.attempt.pid = pid;
    record.exit = Exit { started: Some(now), ..Exit::default() };
    record.health = super::containers::fresh_health(record);
    if starter == Starter::Policy {
        record.restart_count += 1;
    }
}

/// A start failed; true when it is tried again. A fault of the container itself (its command, its image) will not get
/// better by itself.
pub(super) fn start_failed(record: &mut Record, starter: Starter, error: &EngineError) -> bool {
    if starter == Starter::User {
        record.desired = Desired::Stopped;
    }
    record.stopping = None;
    record.exit.code = match error {
        EngineError::Start { code, .. } => *code,
        _ => 128,
    };
    record.exit.error = error.to_string();
    record.attempt.used = true;
    record.attempt.pid = 0;
    let again =
        starter != Starter::User && !matches!(error, EngineError::Start { .. } | EngineError::NoSuchImage(_));
    record.status = match record.exit.started {
        _ if again => Status::Restarting,
        None => Status::Created,
        Some(_) => Status::Exited,
    };
    if again {
        record.backoff_ms = (record.backoff_ms * 2).clamp(FAILED_PAUSE, LAST_PAUSE);
    }
    again
}

/// End of an attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    /// Exit code, 0-255.
    pub(super) code: i32,
    /// Time of the end, never before the start: a start is noted when CRI has answered, which for a quick one is after
    /// its end.
    pub(super) time: Timestamp,
    /// The kernel killed it for its memory.
    pub(super) oom: bool,
}

/// The step that follows an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A restart by policy, after the record's pause.
    Restart,
    /// The removal that `--rm` asked for.
    Remove,
    /// The stop of the attempt's pod.
    Rest,
}

/// The attempt is over. Answers the next step, and how long the attempt ran.
pub(super) fn ended(record: &mut Record, end: End, draining: bool) -> (Next, Duration) {
    let ran = record.exit.started.map_or(Duration::ZERO, |s| end.time.duration_since(s).unsigned_abs());
    record.exit.code = end.code;
    record.exit.finished = Some(end.time);
    record.exit.oom_killed |= end.oom;
    record.attempt.pid = 0;
    // A restart that was asked for is under way still.
    record.stopping = record.stopping.filter(|s| s.then_start);
    let again = !draining && wants_restart(record);
    record.status = if again { Status::Restarting } else { Status::Exited };
    if again {
        let last = record.backoff_ms;
        record.backoff_ms =
            if last == 0 || ran >= GOOD_RUN { FIRST_PAUSE } else { (last * 2).min(LAST_PAUSE) };
    }
    let next = match again {
        true => Next::Restart,
        false if record.spec.auto_remove => Next::Remove,
        false => Next::Rest,
    };
    (next, ran)
}

/// True when the restart policy brings the container back after this exit.
fn wants_restart(record: &Record) -> bool {
    if record.desired == Desired::Stopped || record.stopped_by_user {
        return false;
    }
    match record.spec.restart {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { max } => record.exit.code != 0 && (max == 0 || record.restart_count < max),
    }
}

/// A person does not want it to run any more: a pending restart is off.
pub(super) fn given_up(record: &mut Record) {
    record.desired = Desired::Stopped;
    record.stopped_by_user = true;
    if record.status == Status::Restarting {
        record.status = Status::Exited;
    }
}

/// A person wants it removed.
pub(super) fn removal_wanted(record: &mut Record, removal: Removal) {
    given_up(record);
    record.removing = Some(removal);
}

/// Work on a container that an engine left when it was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfinished {
    /// A removal that was begun, or that `--rm` asks for.
    Remove { volumes: bool },
    /// A stop that was begun; a restart has a start after it.
    Stop(Stopping),
    /// A start: by policy, or the second half of a restart.
    Start(Starter),
}

/// The work on a container that an earlier engine left, seen at the engine's start.
pub(super) fn unfinished(record: &Record) -> Option<Unfinished> {
    if let Some(removal) = record.removing {
        return Some(Unfinished::Remove { volumes: removal.volumes });
    }
    match (record.status, record.stopping) {
        (Status::Running | Status::Paused, Some(stopping)) => return Some(Unfinished::Stop(stopping)),
        (Status::Exited, Some(stopping)) if stopping.then_start => {
            return Some(Unfinished::Start(Starter::User));
        }
        _ => {}
    }
    let wanted = match record.status {
        Status::Restarting => true,
        Status::Exited => match record.spec.restart {
            // Docker: a manual stop holds `always` down only until the daemon starts again.
            RestartPolicy::Always => record.exit.started.is_some(),
            _ => wants_restart(record),
        },
        _ => false,
    };
    match (wanted, record.status) {
        (true, _) => Some(Unfinished::Start(Starter::Engine)),
        (false, Status::Exited) if record.spec.auto_remove => Some(Unfinished::Remove { volumes: true }),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::container::ContainerSpec;
    use crate::model::id::ContainerId;
    use crate::store::{Attempt, HealthLog, Resolved};

    const STATES: [Status; 7] = [
        Status::Created,
        Status::Running,
        Status::Paused,
        Status::Restarting,
        Status::Exited,
        Status::Removing,
        Status::Dead,
    ];

    pub(in crate::engine) fn record(status: Status) -> Record {
        Record {
            id: ContainerId::from_bytes([0xab; 32]),
            name: "web".into(),
            spec: ContainerSpec::default(),
            created: Timestamp::UNIX_EPOCH,
            resolved: Resolved::default(),
            desired: Desired::Running,
            stopped_by_user: false,
            status,
            attempt: Attempt::default(),
            exit: Exit::default(),
            restart_count: 0,
            backoff_ms: 0,
            health: HealthLog::default(),
            stopping: None,
            removing: None,
        }
    }

    /// One letter a state, in the order of `STATES`: g(o), d(one), - (refused).
    #[test]
    fn what_may_be_done_when() {
        for (verb, expected) in [
            (Verb::Start, "gd-gg--"),
            (Verb::Stop, "dggdddd"),
            (Verb::Kill, "-gg----"),
            (Verb::Pause, "-g-----"),
            (Verb::Unpause, "--g----"),
            (Verb::Update, "ggggg--"),
            (Verb::Attach, "-g-----"),
            (Verb::Exec, "-g-----"),
            (Verb::Remove, "g---ggg"),
        ] {
            let letters: String = STATES
                .iter()
                .map(|status| match may(verb, *status, &ContainerId::from_bytes([0xab; 32]), "web") {
                    Ok(Verdict::Go) => 'g',
                    Ok(Verdict::Done) => 'd',
                    Err(_) => '-',
                })
                .collect();
            assert_eq!(letters, expected, "{verb:?}");
        }
    }

    #[test]
    fn what_follows_an_end() {
        use RestartPolicy as P;
        let end = |code| End { code, time: Timestamp::UNIX_EPOCH, oom: false };
        // Policy, code, restarts so far, stopped by a person, --rm, draining -> next, status.
        for (policy, code, count, stopped, rm, draining, next, status) in [
            (P::No, 1, 0, false, false, false, Next::Rest, Status::Exited),
            (P::No, 0, 0, false, true, false, Next::Remove, Status::Exited),
            (P::Always, 0, 9, false, false, false, Next::Restart, Status::Restarting),
            (P::Always, 0, 0, true, false, false, Next::Rest, Status::Exited),
            (P::Always, 0, 0, false, false, true, Next::Rest, Status::Exited),
            (P::UnlessStopped, 0, 0, false, false, false, Next::Restart, Status::Restarting),
            (P::OnFailure { max: 0 }, 0, 0, false, false, false, Next::Rest, Status::Exited),
            (P::OnFailure { max: 2 }, 1, 1, false, false, false, Next::Restart, Status::Restarting),
            (P::OnFailure { max: 2 }, 1, 2, false, false, false, Next::Rest, Status::Exited),
        ] {
            let mut record = record(Status::Running);
            record.spec.restart = policy;
            record.spec.auto_remove = rm;
            record.restart_count = count;
            record.stopped_by_user = stopped;
            let (answer, _) = ended(&mut record, end(code), draining);
            assert_eq!((answer, record.status), (next, status), "{policy:?} {code} {count} {stopped}");
            assert_eq!((record.exit.code, record.exit.finished.is_some()), (code, true));
        }
    }

    #[test]
    fn pauses_double_and_a_good_run_resets_them() {
        for (last, seconds, pause) in [(0, 1, 100), (100, 1, 200), (51_200, 1, 60_000), (60_000, 10, 100)] {
            let mut record = record(Status::Running);
            record.spec.restart = RestartPolicy::Always;
            record.backoff_ms = last;
            record.exit.started = Some(Timestamp::UNIX_EPOCH);
            let time = Timestamp::from_second(seconds).unwrap();
            ended(&mut record, End { code: 0, time, oom: false }, false);
            assert_eq!(record.backoff_ms, pause, "{last} {seconds}");
        }
    }

    #[test]
    fn what_a_start_makes_of_a_record() {
        let guilty = EngineError::Start { code: 127, text: "no".into() };
        let below = EngineError::Broken("containerd is ill".into());
        for (starter, error, ran_before, again, status, code) in [
            (Starter::User, &guilty, false, false, Status::Created, 127),
            (Starter::User, &below, true, false, Status::Exited, 128),
            (Starter::Policy, &guilty, true, false, Status::Exited, 127),
            (Starter::Policy, &below, true, true, Status::Restarting, 128),
            (Starter::Engine, &below, false, true, Status::Restarting, 128),
        ] {
            let mut record = record(Status::Created);
            record.exit.started = ran_before.then_some(Timestamp::UNIX_EPOCH);
            assert_eq!(start_failed(&mut record, starter, error), again, "{starter:?}");
            assert_eq!((record.status, record.exit.code), (status, code), "{starter:?}");
            assert!(record.attempt.used);
            assert_eq!(record.desired == Desired::Stopped, starter == Starter::User);
        }
        let mut record = record(Status::Restarting);
        record.exit = Exit { code: 3, error: "x".into(), oom_killed: true, ..Exit::default() };
        started(&mut record, Starter::Policy, 42, Timestamp::UNIX_EPOCH);
        assert_eq!((record.status, record.attempt.pid, record.restart_count), (Status::Running, 42, 1));
        assert_eq!(record.exit, Exit { started: Some(Timestamp::UNIX_EPOCH), ..Exit::default() });
    }

    #[test]
    fn what_a_killed_engine_left() {
        use Unfinished as U;
        let stop = Stopping { signal: 15, until: None, then_start: false };
        let restart = Stopping { then_start: true, ..stop };
        let removal = Some(Removal { volumes: true, failed: 0 });
        for (status, stopping, removing, rm, left) in [
            (Status::Running, None, None, false, None),
            (Status::Running, Some(stop), None, false, Some(U::Stop(stop))),
            (Status::Paused, Some(restart), None, false, Some(U::Stop(restart))),
            (Status::Exited, Some(restart), None, false, Some(U::Start(Starter::User))),
            (Status::Exited, None, None, false, None),
            (Status::Exited, None, None, true, Some(U::Remove { volumes: true })),
            (Status::Running, Some(stop), removal, false, Some(U::Remove { volumes: true })),
            (Status::Dead, None, removal, false, Some(U::Remove { volumes: true })),
            (Status::Restarting, None, None, false, Some(U::Start(Starter::Engine))),
            (Status::Created, None, None, false, None),
        ] {
            let mut record = record(status);
            (record.stopping, record.removing, record.spec.auto_remove) = (stopping, removing, rm);
            assert_eq!(unfinished(&record), left, "{status:?} {stopping:?}");
        }
    }
}
