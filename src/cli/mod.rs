//! The command line: one file per verb, which parses, calls the client, and prints. It can do nothing that the API
//! cannot.
//!
//! ```text
//! arguments ─ argv (Docker's rules) ─ command (clap: values, help, completion) ─ verb ─ client
//!                                                                                  └─ ui (all that is printed)
//! ```

mod argv;
mod attach;
mod build;
mod builder;
mod command;
mod commit;
mod completion;
mod context;
mod cp;
mod create;
mod df;
mod diff;
mod error;
mod events;
mod exec;
mod export;
mod format;
mod history;
mod images;
mod import;
mod info;
mod inspect;
mod kill;
mod load;
mod login;
mod logs;
mod manifest;
mod network;
mod options;
mod output;
mod parallel;
mod pause;
mod port;
mod prune;
mod ps;
mod pull;
mod push;
mod rename;
mod restart;
mod rm;
mod rmi;
mod run;
mod save;
mod search;
mod signals;
mod start;
mod stats;
mod stop;
mod streams;
mod tag;
mod top;
mod ui;
mod update;
mod version;
mod volume;
mod wait;

use argv::Scanned;
use context::{Context, PROGRAM};
use error::{CommandError, Outcome};
use std::ffi::OsString;
use std::process::ExitCode;
use ui::Ui;

/// Runs the command that this process was started with; `daemon` gets the arguments of `k3c daemon` as they are.
pub fn main(daemon: fn(Vec<OsString>) -> ExitCode) -> ExitCode {
    let ui = Ui::stdio();
    match start(std::env::args_os().skip(1).collect(), ui) {
        Started::Done(code) => ExitCode::from(code),
        Started::Daemon(args) => daemon(args),
    }
}

/// The outcome of the command line before the daemon's own arguments are read.
enum Started {
    Done(u8),
    Daemon(Vec<OsString>),
}

fn start(args: Vec<OsString>, ui: Ui) -> Started {
    let mut tree = command::tree_for(&args);
    let argv = match argv::scan(&tree, args) {
        Ok(Scanned::Run(argv)) => argv,
        Ok(Scanned::Raw(rest)) => return Started::Daemon(rest),
        Ok(Scanned::Help(path)) => {
            let shown = ui.data(command::help(tree, &path).as_bytes()).map_err(CommandError::from);
            return Started::Done(end(&ui, shown));
        }
        Err(error) => return Started::Done(end(&ui, Err(error))),
    };
    let (root, verb) = match command::parse(&mut tree, &argv) {
        Ok(parsed) => parsed,
        Err(error) => return Started::Done(end(&ui, Err(argv::value_error(&tree, &argv, &error)))),
    };
    let verb = match verb {
        Some(verb) if !root.version => verb,
        _ => {
            let text = match root.version {
                true => format!("{PROGRAM} version {}, build {}\n", version::own(), crate::config::commit()),
                false => command::help(tree, &[]),
            };
            let shown = ui.data(text.as_bytes()).map_err(CommandError::from);
            return Started::Done(end(&ui, shown));
        }
    };
    let mut builder = match verb.is_one_question() {
        // Threads take longer to start than the answer takes.
        true => tokio::runtime::Builder::new_current_thread(),
        false => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = match builder.worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Started::Done(end(&ui, Err(error.into()))),
    };
    let cx = Context::new(ui, root.address);
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = verb.run(&cx) => outcome,
            number = cx.signals.ended() => Err(match number {
                Ok(number) => CommandError::exit(128 + number),
                Err(error) => CommandError::failed(error),
            }),
        }
    });
    // A read of standard input that nobody waits for any more must not hold us.
    runtime.shutdown_background();
    Started::Done(end(&cx.ui, outcome))
}

/// Says what went wrong, once, and gives the code.
fn end(ui: &Ui, outcome: Outcome) -> u8 {
    let Err(error) = outcome else { return 0 };
    if let Some(text) = error.render(PROGRAM) {
        ui.message(&text);
    }
    error.code()
}
