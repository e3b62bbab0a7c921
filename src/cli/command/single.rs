//! The tree with one verb only: whoever types `k3c ps` does not wait until all other verbs are defined.

use super::Root;
use super::layout::finish;
use crate::cli::context::PROGRAM;
use crate::cli::{
    attach, build, commit, completion, cp, create, diff, events, exec, export, history, images, import, info,
    inspect, kill, load, login, logs, pause, port, ps, pull, push, rename, restart, rm, rmi, run, save,
    search, start, stats, stop, tag, top, update, version, wait,
};
use clap::{Args, Command, CommandFactory};
use std::ffi::OsString;

type Define = fn(Command) -> Command;

/// Verbs without verbs below them.
const VERBS: &[(&str, Define)] = &[
    ("attach", attach::Args::augment_args),
    ("build", build::Args::augment_args),
    ("commit", commit::Args::augment_args),
    ("completion", completion::Args::augment_args),
    ("cp", cp::Args::augment_args),
    ("create", create::Args::augment_args),
    ("diff", diff::Args::augment_args),
    ("events", events::Args::augment_args),
    ("exec", exec::Args::augment_args),
    ("export", export::Args::augment_args),
    ("history", history::Args::augment_args),
    ("images", images::Args::augment_args),
    ("import", import::Args::augment_args),
    ("info", info::Args::augment_args),
    ("inspect", inspect::Args::augment_args),
    ("kill", kill::Args::augment_args),
    ("load", load::Args::augment_args),
    ("login", login::Args::augment_args),
    ("logout", login::LogoutArgs::augment_args),
    ("logs", logs::Args::augment_args),
    ("pause", pause::Args::augment_args),
    ("port", port::Args::augment_args),
    ("ps", ps::Args::augment_args),
    ("pull", pull::Args::augment_args),
    ("push", push::Args::augment_args),
    ("rename", rename::Args::augment_args),
    ("restart", restart::Args::augment_args),
    ("rm", rm::Args::augment_args),
    ("rmi", rmi::Args::augment_args),
    ("run", run::Args::augment_args),
    ("save", save::Args::augment_args),
    ("search", search::Args::augment_args),
    ("start", start::Args::augment_args),
    ("stats", stats::Args::augment_args),
    ("stop", stop::Args::augment_args),
    ("tag", tag::Args::augment_args),
    ("top", top::Args::augment_args),
    ("unpause", pause::UnpauseArgs::augment_args),
    ("update", update::Args::augment_args),
    ("version", version::Args::augment_args),
    ("wait", wait::Args::augment_args),
];

/// The tree with the verb of these arguments (without the program's name), if it is a simple one.
pub(super) fn tree(args: &[OsString]) -> Option<Command> {
    let verb = verb(args)?;
    let (name, define) = VERBS.iter().find(|(name, _)| *name == verb)?;
    Some(finish(Root::command().subcommand(define(Command::new(*name))), PROGRAM))
}

/// The first word that is neither a flag nor the value of one.
fn verb(args: &[OsString]) -> Option<&str> {
    let mut args = args.iter();
    loop {
        match args.next()?.to_str()? {
            "--address" => drop(args.next()?),
            flag if flag.starts_with("--address=") => {}
            flag if flag.starts_with('-') => return None,
            word => return Some(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn verbs_are_as_in_the_whole_tree() {
        let whole = crate::cli::command::tree();
        let mut missing: Vec<&str> = Vec::new();
        for verb in whole.get_subcommands().filter(|verb| !verb.has_subcommands()) {
            let name = verb.get_name();
            let Some(single) = tree(&words(name)) else {
                missing.push(name);
                continue;
            };
            let single = single.find_subcommand(name).unwrap();
            let shown = |command: &Command| command.clone().render_long_help().to_string();
            assert_eq!(shown(single), shown(verb));
            let flags = |command: &Command| format!("{:?}", command.get_arguments().collect::<Vec<_>>());
            assert_eq!(flags(single), flags(verb));
            let more = |command: &Command| format!("{:?}", command.get_all_aliases().collect::<Vec<_>>());
            assert_eq!((more(single), single.is_hide_set()), (more(verb), verb.is_hide_set()));
        }
        // The one takes its arguments as they are, of the other is only told where it went.
        assert_eq!(missing, ["daemon", "bake"]);
    }

    #[test]
    fn first_words() {
        let cases = [
            ("ps -a", Some("ps")),
            ("--address run ps", Some("ps")),
            ("--address=run ps", Some("ps")),
            ("--address", None),
            ("-v run", None),
            ("--help", None),
            ("", None),
        ];
        for (line, expected) in cases {
            assert_eq!(verb(&words(line)), expected, "{line}");
        }
        for line in ["container ls", "help run", "daemon", "nosuch", "buildx build"] {
            assert!(tree(&words(line)).is_none(), "{line}");
        }
    }
}
