//! A caller that goes away, and an engine that dies, in the middle of a call that changes something: whoever leaves, and
//! whenever, the call was not begun or is done. All sides agree on which, and it can be made again.

mod api;
mod lines;
mod verbs;
mod view;
mod volumes;

use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::{Case, DAEMON, report};
use anyhow::{Context, Result, ensure};
use api::Api;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use verbs::{Scene, VERBS, Verb};
use view::View;

/// Images of these tests have tags that begin so.
const PREFIX: &str = "departing/";

/// When somebody goes away, after the call.
const DELAYS: [u64; 5] = [0, 5, 20, 50, 100];

/// What was begun is over by then.
const SETTLED: Duration = Duration::from_secs(60);

const ENGINE: &str = "__engine";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("departures::every_call_that_changes_something", &[], every_call),
        Case::new("departures::clients_leave", DAEMON, || rounds(How::ClientLeaves)),
        Case::new("departures::engines_die", DAEMON, || rounds(How::EngineDies)),
        Case::new("departures::interrupted_lines", DAEMON, lines::interrupted),
        Case::new("departures::one_volume_two_creators", DAEMON, volumes::one_volume_two_creators),
        Case::new("departures::volume_removed_under_a_container", DAEMON, volumes::removed_under_a_container),
    ]
}

/// Who goes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    ClientLeaves,
    EngineDies,
}

/// On which side of a call its object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// Calls that change nothing, or that their client has a part in to the end: its streams, its archive.
const OTHERS: &[&str] = &[
    "Containers/Attach",
    "Containers/CopyFrom",
    "Containers/Diff",
    "Containers/Export",
    "Containers/Inspect",
    "Containers/List",
    "Containers/Logs",
    "Containers/StatPath",
    "Containers/Stats",
    "Containers/Top",
    "Containers/Wait",
    "Networks/Inspect",
    "Networks/List",
    "Events/Subscribe",
    "Images/History",
    "Images/Inspect",
    "Images/InspectManifest",
    "Images/List",
    "Images/Save",
    // These need a registry.
    "Images/CheckLogin",
    "Images/Pull",
    "Images/Push",
    "Images/RemoteManifest",
    "Images/RemoteTags",
    "System/DiskUsage",
    "System/Info",
    "System/Version",
    "Volumes/List",
];

/// The table of verbs has every call of the API's definition but the others.
fn every_call() -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/proto/k3c/v1/k3c.proto");
    let (mut service, mut defined) = (String::new(), BTreeSet::new());
    for line in std::fs::read_to_string(file)?.lines() {
        let mut words = line.split([' ', '(', '{']).filter(|word| !word.is_empty());
        match (words.next(), words.next()) {
            (Some("service"), Some(name)) => name.clone_into(&mut service),
            (Some("rpc"), Some(name)) => ensure!(defined.insert(format!("{service}/{name}")), "{line}"),
            _ => {}
        }
    }
    let here = VERBS.iter().map(|verb| &verb.rpc).chain(OTHERS);
    let here: BTreeSet<String> = here.map(|rpc| (*rpc).to_owned()).collect();
    ensure!(defined.len() > OTHERS.len() && defined == here, "defined: {defined:#?}\nhere: {here:#?}");
    Ok(())
}

fn rounds(how: How) -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    for (number, delay) in (0..).zip(DELAYS) {
        let since = Instant::now();
        let round = Round { env: &env, how, number, notes: VERBS.iter().map(|_| Arc::default()).collect() };
        round
            .run(Duration::from_millis(delay))
            .with_context(|| format!("{how:?} after {delay} ms"))
            .with_context(|| env.complaints())?;
        report(&format!("{how:?} after {delay} ms: all agree, and again, after {:?}", since.elapsed()));
    }
    let names: Vec<String> = View::take(&env)?.containers.into_keys().collect();
    Api::with(&env, |api| async move {
        futures::future::try_join_all(names.iter().map(|name| api.remove(name))).await
    })?;
    let left = |view: &View| view.containers.keys().map(|name| format!("{name} was left")).collect();
    settled(&env, left)?;
    env.stop()
}

/// All verbs once.
struct Round<'a> {
    env: &'a TestEnv,
    how: How,
    number: i32,
    /// For each verb.
    notes: Vec<Arc<Mutex<String>>>,
}

impl Round<'_> {
    fn run(&self, delay: Duration) -> Result<()> {
        self.all(|verb, scene| (verb.prepare)(scene)).context("prepare")?;
        let before = settled(self.env, |_| Vec::new()).context("before")?;
        let answered = match self.how {
            How::ClientLeaves => self.clients_leave(delay)?,
            How::EngineDies => self.engine_dies(delay)?,
        };
        let sides = |view: &View| -> Vec<Result<Side, String>> {
            let sides = VERBS.iter().zip(&answered).map(|(verb, answered)| {
                match (verb.side)(&before, view, verb) {
                    Ok(Side::Before) if *answered => Err("it was answered, and is not done".to_owned()),
                    side => side,
                }
                .map_err(|why| format!("{}: {why}", verb.rpc))
            });
            sides.collect()
        };
        let now = settled(self.env, |view| sides(view).into_iter().filter_map(Result::err).collect())?;
        let reached: Vec<Side> =
            sides(&now).into_iter().collect::<Result<_, _>>().map_err(anyhow::Error::msg)?;
        // What is in memory is what is stored: the next engine tells the same.
        self.env.kill_process(ENGINE)?;
        let next = settled(self.env, |_| Vec::new()).context("with the next engine")?.told();
        let now = now.told();
        ensure!(now == next, "told: {now:#?}\nby the next engine: {next:#?}");
        let mut side = reached.into_iter();
        self.all(|verb, scene| (verb.again)(scene, side.next().unwrap_or(Side::Before))).context("again")?;
        let undone = |view: &View| -> Vec<String> {
            let undone = |verb: &&Verb| (verb.side)(&before, view, verb) != Ok(Side::After);
            VERBS.iter().filter(undone).map(|verb| format!("{}: not done", verb.rpc)).collect()
        };
        settled(self.env, undone).context("after the second call").map(drop)
    }

    fn scene(&self, api: &Api, index: usize) -> Scene {
        Scene {
            api: api.clone(),
            name: VERBS[index].name,
            round: self.number,
            note: self.notes[index].clone(),
        }
    }

    /// Makes calls for all verbs at once, which must succeed.
    fn all(&self, mut call: impl FnMut(&Verb, Scene) -> verbs::Call + Send) -> Result<()> {
        Api::with(self.env, |api| async move {
            let calls = VERBS.iter().enumerate().map(|(index, verb)| {
                let call = call(verb, self.scene(&api, index));
                async move { call.await.with_context(|| verb.rpc) }
            });
            futures::future::try_join_all(calls).await.map(drop)
        })
    }

    /// Each call by a client of its own that leaves: every other one closes its connection, the rest give up the one call.
    /// Returns which were answered before.
    fn clients_leave(&self, delay: Duration) -> Result<Vec<bool>> {
        let one = |(index, verb): (usize, &Verb)| {
            let hangs_up = (index + usize::try_from(self.number).unwrap_or(0)) % 2 == 0;
            let answered = Api::with(self.env, |api| async move {
                let mut call = (verb.call)(self.scene(&api, index));
                let answer = tokio::select! {
                    biased;
                    answer = &mut call => Some(answer),
                    () = pass(delay) => None,
                };
                drop(call);
                if !hangs_up {
                    // The connection lives on, so that the call's end gets through.
                    api.status("nobody").await?;
                }
                answer.transpose()
            });
            Ok(answered.with_context(|| verb.rpc)?.is_some())
        };
        VERBS.iter().enumerate().map(one).collect()
    }

    /// All calls at once, and the engine's end. Returns which were answered before.
    fn engine_dies(&self, delay: Duration) -> Result<Vec<bool>> {
        let engine = self.env.process(ENGINE)?;
        Api::with(self.env, |api| async move {
            let end = tokio::spawn(async move {
                pass(delay).await;
                kill(Pid::from_raw(engine), Signal::SIGKILL)
            });
            let calls = VERBS.iter().enumerate().map(|(index, verb)| {
                let call = (verb.call)(self.scene(&api, index));
                async move {
                    match call.await {
                        Ok(()) => Ok(true),
                        // What a client says when nobody is there any more.
                        Err(error) if error.downcast_ref().is_some_and(is_cut) => Ok(false),
                        Err(error) => Err(error.context(verb.rpc)),
                    }
                }
            });
            let answered = futures::future::join_all(calls).await;
            end.await??;
            answered.into_iter().collect()
        })
    }
}

/// The engine went away under the call.
fn is_cut(status: &tonic::Status) -> bool {
    matches!(status.code(), tonic::Code::Unavailable | tonic::Code::Unknown | tonic::Code::Cancelled)
}

/// Waits; for no time at all, long enough that what was asked for is on its way.
async fn pass(delay: Duration) {
    match delay.is_zero() {
        true => {
            for _ in 0..16 {
                tokio::task::yield_now().await;
            }
        }
        false => tokio::time::sleep(delay).await,
    }
}

/// Looks until all sides agree, nothing is `missing`, and a second look some moments later sees the same.
fn settled(env: &TestEnv, missing: impl Fn(&View) -> Vec<String>) -> Result<View> {
    let (mut last, mut wrong) = (None::<View>, Vec::new());
    within(SETTLED, "all sides agree", || {
        let (view, now) = match View::take(env) {
            Ok(view) => {
                let now = [view.wrong(), missing(&view)].concat();
                (Some(view), now)
            }
            Err(error) => (None, vec![format!("{error:#}")]),
        };
        let told = |view: &Option<View>| view.as_ref().map(View::told);
        let same = now.is_empty() && told(&view) == told(&last);
        (last, wrong) = (view, now);
        if !same {
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok(same)
    })
    .with_context(|| format!("{wrong:#?}"))?;
    last.context("nothing was seen")
}
