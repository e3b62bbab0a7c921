//! Docker's rules for the command line (those of Go's pflag), applied to clap's definitions.
//!
//! The scan walks the arguments once: it finds the command, checks every flag and counts the positionals, and on a
//! mistake answers in Docker's words. What it hands to clap is unambiguous: `--flag=value`, then `--`, then the
//! positionals. So clap is left with values, help and completion.
//!
//! The rules that differ from clap's own: a flag's value may begin with a hyphen; `--bool=false` works for every
//! switch; the last of several wins; flags of `run` and its like end at the first positional.

use super::context::PROGRAM;
use super::error::{CommandError, Kind};
use super::options::{flags, value};
use clap::{Arg, ArgAction, Command};
use std::ffi::OsString;

/// An argument list, before any value was looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// For clap: the program's name, the commands, flags and positionals.
    Run(Vec<String>),
    /// The help of the command with this path (without the program's name).
    Help(Vec<String>),
    /// A command that parses its own arguments.
    Raw(Vec<OsString>),
}

/// The command that has arguments of its own, of which this side knows nothing.
const RAW: &str = "daemon";

/// buildx' commands for builders that have names.
const NAMED_BUILDERS: &[&str] = &["create", "inspect", "ls", "rm", "stop", "use"];

/// Walks `args` (without the program's name).
pub(crate) fn scan(root: &Command, args: Vec<OsString>) -> Result<Scanned, CommandError> {
    let mut scan = Scan { command: root, path: vec![root.get_name().to_owned()], out: Vec::new() };
    scan.out.push(root.get_name().to_owned());
    let mut args = args.into_iter().peekable();
    let mut flags = Flags::default();
    let mut positionals: Vec<String> = Vec::new();
    let mut flags_ended = false;
    while let Some(arg) = args.next() {
        let arg = arg.into_string().map_err(|bad| {
            CommandError::flag(format!("argument is not valid UTF-8: {}", bad.to_string_lossy()))
        })?;
        if !flags_ended && arg == "--" {
            flags_ended = true;
            continue;
        }
        if !flags_ended && arg.len() > 1 && arg.starts_with('-') {
            let mut next = || args.next().map(|v| v.to_string_lossy().into_owned());
            let found = match arg.strip_prefix("--") {
                Some(long) => scan.long(long, &mut flags, &mut next)?,
                None => scan.short(&arg[1..], &mut flags, &mut next)?,
            };
            if found == Found::Help {
                return Ok(Scanned::Help(scan.path.split_off(1)));
            }
            continue;
        }
        if scan.command.has_subcommands() {
            if scan.path.len() == 1 && arg == "help" {
                let rest = args.map(|a| a.to_string_lossy().into_owned()).collect();
                return scan.help(rest);
            }
            let Some(command) = scan.command.find_subcommand(&arg) else {
                return Err(scan.unknown_command(&arg));
            };
            if scan.path.len() == 1 && arg == RAW {
                // Flags before the command are for it to take or to refuse.
                let mut before = Vec::new();
                flags.emit(&mut before);
                return Ok(Scanned::Raw(before.into_iter().map(OsString::from).chain(args).collect()));
            }
            flags.emit(&mut scan.out);
            flags = Flags::default();
            scan.command = command;
            scan.path.push(command.get_name().to_owned());
            scan.out.push(command.get_name().to_owned());
            continue;
        }
        positionals.push(arg);
        flags_ended |= flags_come_first(scan.command);
    }
    flags.emit(&mut scan.out);
    if scan.command.has_subcommands() {
        let flags_only = scan.path.len() == 1 && scan.out.len() > 1;
        return Ok(if flags_only { Scanned::Run(scan.out) } else { Scanned::Help(scan.path.split_off(1)) });
    }
    scan.count(positionals.len())?;
    if !positionals.is_empty() {
        scan.out.push("--".to_owned());
        scan.out.append(&mut positionals);
    }
    Ok(Scanned::Run(scan.out))
}

/// Turns what clap says about a value into Docker's words.
pub(crate) fn value_error(root: &Command, argv: &[String], error: &clap::Error) -> CommandError {
    use clap::error::{ContextKind, ContextValue};
    use std::error::Error as _;

    let (command, path) = leaf(root, argv);
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let named = text(ContextKind::InvalidArg);
    let long = named.trim_start_matches('-').split([' ', '=', '[']).next().unwrap_or_default().to_owned();
    let why = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(source), _) => source.to_string(),
        (None, Some(ContextValue::Strings(words))) => format!("must be one of {}", words.join(", ")),
        _ => error.kind().to_string(),
    };
    let what = match command.get_opts().find(|a| a.get_long() == Some(&long)) {
        Some(arg) => format!("{:?} flag", flag_name(arg)),
        None => named,
    };
    flag_error(
        command,
        &path,
        format!("invalid argument {:?} for {what}: {why}", text(ContextKind::InvalidValue)),
    )
}

/// The command's own line of usage, without `Usage:`.
pub(crate) fn usage(command: &Command, path: &str) -> String {
    if command.has_subcommands() {
        return match path.contains(' ') {
            true => format!("{path} COMMAND"),
            false => format!("{path} [OPTIONS] COMMAND"),
        };
    }
    let mut line = path.to_owned();
    if command.get_opts().any(|a| a.get_id() != "help") || command.get_arguments().any(is_switch) {
        line.push_str(" [OPTIONS]");
    }
    for arg in command.get_positionals() {
        let several = arg.get_num_args().is_some_and(|n| n.max_values() > 1);
        let words = positional(&value_names(arg), arg.is_required_set(), several);
        line.push_str(&format!(" {words}"));
    }
    line
}

/// A positional in a line of usage. A second name is that of the values after the first one; a name of several words
/// (`ps OPTIONS`) is already a plural.
fn positional(names: &[String], required: bool, several: bool) -> String {
    let first = names.first().map_or("", String::as_str);
    let one = if required { first.to_owned() } else { format!("[{first}]") };
    match (names.get(1), required) {
        (Some(more), _) => format!("{one} [{more}...]"),
        (None, true) if several => format!("{first} [{first}...]"),
        (None, false) if several && !first.contains(' ') => format!("[{first}...]"),
        (None, _) => one,
    }
}

/// Do flags end at the first positional? What follows it is then somebody else's, even if it looks like a flag.
fn flags_come_first(command: &Command) -> bool {
    command.get_name() == "tag" || command.get_positionals().any(Arg::is_trailing_var_arg_set)
}

fn value_names(arg: &Arg) -> Vec<String> {
    match arg.get_value_names() {
        Some(names) => names.iter().map(ToString::to_string).collect(),
        None => vec![arg.get_id().as_str().to_uppercase()],
    }
}

fn flag_name(arg: &Arg) -> String {
    let long = arg.get_long().unwrap_or_default();
    match arg.get_short() {
        Some(short) => format!("-{short}, --{long}"),
        None => format!("--{long}"),
    }
}

fn leaf<'a>(root: &'a Command, argv: &[String]) -> (&'a Command, String) {
    let (mut command, mut path) = (root, root.get_name().to_owned());
    for word in argv.iter().skip(1).take_while(|w| *w != "--") {
        if let Some(next) = command.find_subcommand(word) {
            command = next;
            path = format!("{path} {}", next.get_name());
        }
    }
    (command, path)
}

fn flag_error(command: &Command, path: &str, message: String) -> CommandError {
    CommandError::flag(message)
        .hint(format!("Usage:  {}", usage(command, path)))
        .hint(format!("Run '{path} --help' for more information"))
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue) && arg.get_id() != "help"
}

/// A switch, or an option whose value may be left out (`--sig-proxy`).
fn value_is_optional(arg: &Arg) -> bool {
    is_switch(arg) || arg.get_num_args().is_some_and(|n| n.min_values() == 0)
}

#[derive(PartialEq, Eq)]
enum Found {
    Flag,
    Help,
}

/// Flags in the order given; switches as the last of them left them.
#[derive(Default)]
struct Flags(Vec<(String, Option<String>, bool)>);

impl Flags {
    fn push(&mut self, arg: &Arg, value: String) {
        let long = arg.get_long().unwrap_or_default().to_owned();
        if is_switch(arg) {
            self.0.retain(|(name, ..)| *name != long);
            self.0.push((long, None, value == "true"));
        } else {
            self.0.push((long, Some(value), true));
        }
    }

    fn emit(self, out: &mut Vec<String>) {
        out.extend(self.0.into_iter().filter(|(.., on)| *on).map(|(name, value, _)| match value {
            Some(value) => format!("--{name}={value}"),
            None => format!("--{name}"),
        }));
    }
}

struct Scan<'a> {
    command: &'a Command,
    path: Vec<String>,
    out: Vec<String>,
}

impl Scan<'_> {
    fn long(
        &self,
        text: &str,
        flags: &mut Flags,
        next: &mut dyn FnMut() -> Option<String>,
    ) -> Result<Found, CommandError> {
        let (name, attached) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        if name.is_empty() || name.starts_with('-') {
            return Err(self.mistake(format!("bad flag syntax: --{text}")));
        }
        let named = |arg: &&Arg| {
            arg.get_long() == Some(name) || arg.get_all_aliases().is_some_and(|all| all.contains(&name))
        };
        let Some(arg) = self.command.get_arguments().find(named) else {
            return Err(self.mistake(match flags::refusal(self.command.get_name(), name) {
                Some((name, why)) => format!("--{name} is not supported: {why}"),
                None => format!("unknown flag: --{name}"),
            }));
        };
        if arg.get_id() == "help" {
            return Ok(Found::Help);
        }
        let value = match (attached, value_is_optional(arg)) {
            (Some(value), true) => self.boolean(arg, &value)?,
            (Some(value), false) => value,
            (None, true) => "true".to_owned(),
            (None, false) => {
                next().ok_or_else(|| self.mistake(format!("flag needs an argument: --{name}")))?
            }
        };
        flags.push(arg, value);
        Ok(Found::Flag)
    }

    fn short(
        &self,
        text: &str,
        flags: &mut Flags,
        next: &mut dyn FnMut() -> Option<String>,
    ) -> Result<Found, CommandError> {
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let after = &rest[letter.len_utf8()..];
            let Some(arg) = self.command.get_arguments().find(|a| a.get_short() == Some(letter)) else {
                let known = flags::refusal_of_letter(self.command.get_name(), letter);
                return Err(self.mistake(match known {
                    Some((name, why)) => format!("-{letter}, --{name} is not supported: {why}"),
                    None => format!("unknown shorthand flag: '{letter}' in -{rest}"),
                }));
            };
            if arg.get_id() == "help" {
                return Ok(Found::Help);
            }
            if let Some(value) = after.strip_prefix('=').filter(|v| !v.is_empty()) {
                let value = if value_is_optional(arg) { self.boolean(arg, value)? } else { value.to_owned() };
                flags.push(arg, value);
                return Ok(Found::Flag);
            }
            if value_is_optional(arg) {
                flags.push(arg, "true".to_owned());
                rest = after;
                continue;
            }
            let value = if after.is_empty() { next() } else { Some(after.to_owned()) };
            let value = value
                .ok_or_else(|| self.mistake(format!("flag needs an argument: '{letter}' in -{rest}")))?;
            flags.push(arg, value);
            return Ok(Found::Flag);
        }
        Ok(Found::Flag)
    }

    /// `true` or `false`, from any of Go's words.
    fn boolean(&self, arg: &Arg, text: &str) -> Result<String, CommandError> {
        value::boolean(text).map(|on| on.to_string()).ok_or_else(|| {
            let flag = flag_name(arg);
            self.mistake(format!(
                "invalid argument {text:?} for {flag:?} flag: strconv.ParseBool: parsing {text:?}: invalid syntax"
            ))
        })
    }

    fn mistake(&self, message: String) -> CommandError {
        flag_error(self.command, &self.path.join(" "), message)
    }

    fn unknown_command(&self, word: &str) -> CommandError {
        let path = self.path.join(" ");
        let error = CommandError::new(Kind::Arguments, format!("unknown command: {path} {word}"));
        let error =
            match self.path.last().is_some_and(|last| last == "builder") && NAMED_BUILDERS.contains(&word) {
                true => error.hint(format!(
                    "Builders have addresses, not names: see --builder in '{PROGRAM} build --help'"
                )),
                false => error,
            };
        error.hint(format!("Run '{path} --help' for more information"))
    }

    fn help(mut self, words: Vec<String>) -> Result<Scanned, CommandError> {
        for word in words {
            let Some(command) = self.command.find_subcommand(&word) else {
                return Err(self.unknown_command(&word));
            };
            self.command = command;
            self.path.push(word);
        }
        Ok(Scanned::Help(self.path.split_off(1)))
    }

    fn count(&self, given: usize) -> Result<(), CommandError> {
        let (mut least, mut most) = (0, 0usize);
        for arg in self.command.get_positionals() {
            let range = arg.get_num_args().unwrap_or_else(|| 1.into());
            if arg.is_required_set() {
                least += range.min_values().max(1);
            }
            most = most.saturating_add(range.max_values());
        }
        let plural = |n: usize| if n == 1 { "argument" } else { "arguments" };
        let needs = match (least, most) {
            _ if (least..=most).contains(&given) => return Ok(()),
            (_, 0) => "accepts no arguments".to_owned(),
            _ if least == most => format!("requires {least} {}", plural(least)),
            _ if most == usize::MAX => format!("requires at least {least} {}", plural(least)),
            (0, _) => format!("requires at most {most} {}", plural(most)),
            _ => format!("requires at least {least} and at most {most} arguments"),
        };
        let path = self.path.join(" ");
        Err(CommandError::new(Kind::Arguments, format!("'{path}' {needs}"))
            .hint(format!("Usage:  {}", usage(self.command, &path)))
            .hint(format!("See '{path} --help' for more information")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn run(line: &str) -> String {
        match scan(&command::tree(), words(line)) {
            Ok(Scanned::Run(argv)) => argv[1..].join(" "),
            Ok(other) => format!("{other:?}"),
            Err(error) => panic!("{line}: {error}"),
        }
    }

    #[test]
    fn flags_become_unambiguous() {
        let cases = [
            ("run alpine ls -l --rm", "run -- alpine ls -l --rm"),
            ("run -d --rm=false --name -x alpine -d", "run --detach --name=-x -- alpine -d"),
            ("run -de A=1 -eB -h host x", "run --detach --env=A=1 --env=B --hostname=host -- x"),
            ("run --sig-proxy=0 x", "run --sig-proxy=false -- x"),
            ("run --sig-proxy x", "run --sig-proxy=true -- x"),
            ("run -d=false x", "run -- x"),
            ("run --rm --rm=0 x", "run -- x"),
            ("run -- x --y", "run -- x --y"),
            ("rm a -f b", "rm --force -- a b"),
            ("ps -aq -n 5", "ps --all --quiet --last=5"),
            ("container ls -a", "container ls --all"),
            ("container ps -a", "container ls --all"),
            ("stop --time 3 x", "stop --timeout=3 -- x"),
            ("--address /x ps", "--address=/x ps"),
            ("-v", "--version"),
            ("logs -n5 x", "logs --tail=5 -- x"),
        ];
        for (line, expected) in cases {
            assert_eq!(run(line), expected, "{line}");
        }
    }

    #[test]
    fn help_and_raw_commands() {
        let tree = command::tree();
        let help = |path: &[&str]| Scanned::Help(path.iter().map(|p| p.to_string()).collect());
        let cases = [
            ("", help(&[])),
            ("--help", help(&[])),
            ("run --help", help(&["run"])),
            ("ps -h", help(&["ps"])),
            ("container", help(&["container"])),
            ("help container run", help(&["container", "run"])),
            ("daemon --help -x", Scanned::Raw(words("--help -x"))),
            ("--address /x daemon -y", Scanned::Raw(words("--address=/x -y"))),
        ];
        for (line, expected) in cases {
            assert_eq!(scan(&tree, words(line)).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn mistakes_in_dockers_words() {
        let usage = "\n\nUsage:  k3c run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n";
        let run_hint = "Run 'k3c run --help' for more information";
        let cases = [
            (
                "run --link-local-ip 1.2.3.4 x",
                125,
                format!(
                    "--link-local-ip is not supported: a container has the kernel's own link-local address{usage}{run_hint}"
                ),
            ),
            ("run --foo x", 125, format!("unknown flag: --foo{usage}{run_hint}")),
            ("run -yt x", 125, format!("unknown shorthand flag: 'y' in -yt{usage}{run_hint}")),
            ("run -dz x", 125, format!("unknown shorthand flag: 'z' in -z{usage}{run_hint}")),
            ("run --name", 125, format!("flag needs an argument: --name{usage}{run_hint}")),
            ("run -e", 125, format!("flag needs an argument: 'e' in -e{usage}{run_hint}")),
            ("run", 1, format!("k3c: 'k3c run' requires at least 1 argument{usage}See 'k3c run --help' for more information")),
            (
                "foo",
                1,
                "k3c: unknown command: k3c foo\n\nRun 'k3c --help' for more information".to_owned(),
            ),
            (
                "container foo",
                1,
                "k3c: unknown command: k3c container foo\n\nRun 'k3c container --help' for more information"
                    .to_owned(),
            ),
            (
                "buildx create",
                1,
                "k3c: unknown command: k3c builder create\n\nBuilders have addresses, not names: see --builder in \
                 'k3c build --help'\n\nRun 'k3c builder --help' for more information"
                    .to_owned(),
            ),
            (
                "tag a",
                1,
                "k3c: 'k3c tag' requires 2 arguments\n\nUsage:  k3c tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]\n\n\
                 See 'k3c tag --help' for more information"
                    .to_owned(),
            ),
            (
                "ps x",
                1,
                "k3c: 'k3c ps' accepts no arguments\n\nUsage:  k3c ps [OPTIONS]\n\n\
                 See 'k3c ps --help' for more information"
                    .to_owned(),
            ),
            (
                "rm --force=maybe x",
                125,
                "invalid argument \"maybe\" for \"-f, --force\" flag: strconv.ParseBool: parsing \"maybe\": invalid \
                 syntax\n\nUsage:  k3c rm [OPTIONS] CONTAINER [CONTAINER...]\n\n\
                 Run 'k3c rm --help' for more information"
                    .to_owned(),
            ),
        ];
        for (line, code, text) in cases {
            let error = scan(&command::tree(), words(line)).unwrap_err();
            assert_eq!((error.code(), error.render("k3c").unwrap()), (code, text), "{line}");
        }
    }
}
