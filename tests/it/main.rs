//! The tests of the whole: the real binary, its real containerd, buildkitd and runc, under users of the tests' own.
//!
//! `make test` runs them against the release binary (`K3C_TEST_BIN`). A need that the host does not meet skips a test
//! with a reason, or fails it if `K3C_TEST_REQUIRE` is set. `K3C_TEST_KEEP` keeps directories for a look. `K3C_BENCH`
//! measures instead.

#![expect(clippy::disallowed_methods, reason = "tests start programs and wait")]

mod archives;
mod behaviour;
mod bench;
mod binary;
mod build;
mod cni;
mod compare;
mod containers;
mod crashes;
mod debian;
mod departures;
mod env;
mod faults;
mod full;
mod guest;
mod handover;
mod host;
mod images;
mod layers;
mod logs;
mod networks;
mod pods;
mod ports;
mod preflight;
mod proxy;
mod registry;
mod rest;
mod rooms;
mod runtimes;
mod shared;
mod slowest;
mod storms;
mod streams;
mod tmux;
mod user;
mod vanishing;

use anyhow::Result;
use host::Need;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use slowest::Durations;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// The limit of each test; none takes as long.
const LONGEST: Duration = Duration::from_secs(1200);

/// A test with its needs.
pub(crate) struct Case {
    name: &'static str,
    needs: &'static [Need],
    run: fn() -> Result<()>,
}

/// Needs of most tests.
pub(crate) const DAEMON: &[Need] = &[Need::Daemon];

impl Case {
    /// A test by its name, with its needs.
    pub(crate) const fn new(name: &'static str, needs: &'static [Need], run: fn() -> Result<()>) -> Self {
        Self { name, needs, run }
    }

    fn trial(&self, durations: &Arc<Durations>) -> Trial {
        let (name, needs, run) = (self.name, self.needs, self.run);
        let durations = durations.clone();
        Trial::ignorable_test(name, move || {
            let unmet: Vec<String> = needs.iter().filter_map(|need| need.unmet()).collect();
            match (unmet.is_empty(), host::required()) {
                (true, _) => durations
                    .measure(name, || in_time(run))
                    .map(|()| Completion::Completed)
                    .map_err(|e| Failed::from(format!("{e:#}"))),
                (false, true) => Err(Failed::from(format!("required, but {}", unmet.join("; ")))),
                (false, false) => Ok(Completion::ignored_with(unmet.join("; "))),
            }
        })
    }
}

/// A test that hangs fails, and says so; its thread is left behind.
fn in_time(run: fn() -> Result<()>) -> Result<()> {
    let (told, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(run()));
    match end.recv_timeout(LONGEST) {
        Ok(ended) => ended,
        Err(RecvTimeoutError::Timeout) => anyhow::bail!("has not ended after {LONGEST:?}"),
        Err(RecvTimeoutError::Disconnected) => anyhow::bail!("panicked"),
    }
}

fn main() -> ExitCode {
    let mut args = Arguments::from_args();
    let cases: Vec<Case> = [
        vec![
            Case::new("rooms::drawn_listed_and_there", &[], rooms::drawn_listed_and_there),
            Case::new("rooms::arrows_go_down", &[], rooms::arrows_go_down),
            Case::new("rooms::a_wrong_arrow_is_seen", &[], rooms::a_wrong_arrow_is_seen),
            Case::new("rooms::a_wrong_table_is_seen", &[], rooms::a_wrong_table_is_seen),
            Case::new("slowest::ten_at_most", &[], slowest::ten_at_most),
        ],
        binary::cases(),
        cni::cases(),
        containers::cases(),
        runtimes::cases(),
        build::cases(),
        images::cases(),
        layers::cases(),
        archives::cases(),
        registry::cases(),
        pods::cases(),
        networks::cases(),
        ports::cases(),
        proxy::cases(),
        preflight::cases(),
        streams::cases(),
        tmux::cases(),
        behaviour::cases(),
        storms::cases(),
        rest::cases(),
        logs::cases(),
        faults::cases(),
        crashes::cases(),
        departures::cases(),
        handover::cases(),
        full::cases(),
        vanishing::cases(),
        guest::cases(),
    ]
    .into_iter()
    .flatten()
    .collect();
    let list = args.list;
    if args.test_threads.is_none() {
        // Each daemon is some ten processes; more side by side only makes all of them late.
        args.test_threads = Some(2);
    }
    let root = nix::unistd::geteuid().is_root();
    if !list
        && root
        && let Err(error) = prepare()
    {
        report(&format!("cannot prepare the host for the tests: {error:#}"));
        return ExitCode::FAILURE;
    }
    let special: Option<fn() -> anyhow::Result<()>> = match () {
        () if std::env::var_os("K3C_BENCH").is_some() => Some(bench::all),
        () if std::env::var_os("K3C_COMPARE").is_some() => Some(compare::all),
        () => None,
    };
    if let Some(special) = special {
        let done = if root { special() } else { Err(anyhow::anyhow!("needs root: it makes a user")) };
        let tidied = if root { tidy() } else { Ok(()) };
        return match done.and(tidied) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                report(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        };
    }
    let durations = Arc::default();
    let trials = cases.iter().map(|case| case.trial(&durations)).collect();
    drop(durations);
    let conclusion = libtest_mimic::run(&args, trials);
    if list || !root {
        return conclusion.exit_code();
    }
    match tidy() {
        Ok(()) => conclusion.exit_code(),
        Err(error) => {
            report(&format!("left behind at the end: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn prepare() -> Result<()> {
    user::remove_stale()?;
    host::open_devices();
    env::install_binary().map(drop)
}

fn tidy() -> Result<()> {
    let shared = shared::end();
    let users = user::remove_all();
    let _ = std::fs::remove_dir_all(format!("/var/tmp/k3cit-{}", std::process::id()));
    env::remove_cgroups(&format!("k3cit-{}", std::process::id()))?;
    shared.and(users)
}

#[expect(clippy::print_stderr, reason = "the runner's own words")]
pub(crate) fn report(text: &str) {
    eprintln!("{text}");
}
