//! The tree of commands: the classic verbs, their management spellings, and how their help looks.

mod layout;
mod single;

use super::context::{Context, PROGRAM};
use super::error::Outcome;
use super::{
    attach, build, builder, commit, completion, cp, create, df, diff, events, exec, export, history, images,
    import, info, inspect, kill, load, login, logs, manifest, network, pause, port, prune, ps, pull, push,
    rename, restart, rm, rmi, run, save, search, start, stats, stop, tag, top, update, version, volume, wait,
};
use clap::{Args, FromArgMatches, Subcommand};
use layout::finish;
use std::ffi::OsString;

/// Containers, images and builds on Kubernetes' own parts, for an ordinary user
#[derive(Debug, clap::Parser)]
#[command(name = PROGRAM)]
pub(crate) struct Root {
    /// Address of the daemon: the path of its socket [env: K3C_ADDRESS]
    #[arg(long, value_name = "string")]
    pub(crate) address: Option<String>,
    /// Print version information and quit
    #[arg(short, long)]
    pub(crate) version: bool,
}

/// Every command.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Run(Box<run::Args>),
    Exec(Box<exec::Args>),
    Build(Box<build::Args>),
    Ps(ps::Args),
    Images(images::Args),
    Info(info::Args),
    Version(version::Args),
    Inspect(inspect::Args),
    Attach(attach::Args),
    Commit(commit::Args),
    Cp(cp::Args),
    Create(Box<create::Args>),
    Diff(diff::Args),
    Events(events::Args),
    Export(export::Args),
    History(history::Args),
    Import(import::Args),
    Kill(kill::Args),
    Load(load::Args),
    Login(login::Args),
    Logout(login::LogoutArgs),
    Logs(logs::Args),
    Pause(pause::Args),
    Port(port::Args),
    Pull(pull::Args),
    Push(push::Args),
    Rename(rename::Args),
    Restart(restart::Args),
    Rm(rm::Args),
    Rmi(rmi::Args),
    Save(save::Args),
    Search(search::Args),
    Start(start::Args),
    Stats(stats::Args),
    Stop(stop::Args),
    Tag(tag::Args),
    Top(top::Args),
    Unpause(pause::UnpauseArgs),
    Update(update::Args),
    Wait(wait::Args),
    Completion(completion::Args),
    /// Run the daemon in the foreground
    Daemon,
    #[command(hide = true)]
    Bake(build::BakeArgs),
    /// Manage builds
    #[command(subcommand, alias = "buildx")]
    Builder(Builder),
    /// Manage containers
    #[command(subcommand)]
    Container(Container),
    /// Manage images
    #[command(subcommand)]
    Image(Image),
    /// Look at manifests of images
    #[command(subcommand)]
    Manifest(Manifest),
    /// Manage networks
    #[command(subcommand)]
    Network(Network),
    /// Manage the engine
    #[command(subcommand)]
    System(System),
    /// Manage volumes
    #[command(subcommand)]
    Volume(Volume),
}

/// `k3c builder ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Builder {
    #[command(hide = true)]
    Bake(build::BakeArgs),
    Build(Box<build::Args>),
    Du(builder::du::Args),
    /// Manage builds of the past
    #[command(subcommand)]
    History(History),
    Prune(builder::prune::Args),
}

/// `k3c builder history ...`
#[derive(Debug, Subcommand)]
pub(crate) enum History {
    Inspect(builder::history::InspectArgs),
    Logs(builder::history::LogsArgs),
    #[command(alias = "list")]
    Ls(builder::history::ListArgs),
    #[command(alias = "remove")]
    Rm(builder::history::RemoveArgs),
}

/// `k3c volume ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Volume {
    Create(volume::CreateArgs),
    Inspect(volume::InspectArgs),
    #[command(alias = "list")]
    Ls(volume::ListArgs),
    Prune(prune::VolumeArgs),
    #[command(alias = "remove")]
    Rm(volume::RemoveArgs),
}

/// `k3c network ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Network {
    Connect(network::ConnectArgs),
    Create(network::CreateArgs),
    Disconnect(network::DisconnectArgs),
    Inspect(network::InspectArgs),
    #[command(alias = "list")]
    Ls(network::ListArgs),
    Prune(prune::NetworkArgs),
    #[command(alias = "remove")]
    Rm(network::RemoveArgs),
}

/// `k3c container ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Container {
    Attach(attach::Args),
    Commit(commit::Args),
    Cp(cp::Args),
    Create(Box<create::Args>),
    Diff(diff::Args),
    Exec(Box<exec::Args>),
    Export(export::Args),
    Inspect(inspect::ContainerArgs),
    Kill(kill::Args),
    Logs(logs::Args),
    #[command(alias = "ps", alias = "list")]
    Ls(ps::Args),
    Pause(pause::Args),
    Port(port::Args),
    Prune(prune::ContainerArgs),
    Rename(rename::Args),
    Restart(restart::Args),
    #[command(alias = "remove")]
    Rm(rm::Args),
    Run(Box<run::Args>),
    Start(start::Args),
    Stats(stats::Args),
    Stop(stop::Args),
    Top(top::Args),
    Unpause(pause::UnpauseArgs),
    Update(update::Args),
    Wait(wait::Args),
}

/// `k3c image ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Image {
    Build(Box<build::Args>),
    History(history::Args),
    Import(import::Args),
    Inspect(inspect::ImageArgs),
    Load(load::Args),
    #[command(alias = "list")]
    Ls(images::Args),
    Prune(prune::ImageArgs),
    Pull(pull::Args),
    Push(push::Args),
    #[command(alias = "remove")]
    Rm(rmi::Args),
    Save(save::Args),
    Tag(tag::Args),
}

/// `k3c manifest ...`
#[derive(Debug, Subcommand)]
pub(crate) enum Manifest {
    Inspect(manifest::InspectArgs),
}

/// `k3c system ...`
#[derive(Debug, Subcommand)]
pub(crate) enum System {
    Df(df::Args),
    Events(events::Args),
    Info(info::Args),
    Prune(prune::SystemArgs),
}

impl Verb {
    /// Asks the daemon something once, and prints the answer.
    pub(crate) fn is_one_question(&self) -> bool {
        match self {
            Self::Container(verb) => matches!(verb, Container::Ls(_) | Container::Inspect(_)),
            Self::Image(verb) => matches!(verb, Image::Ls(_) | Image::Inspect(_)),
            _ => matches!(
                self,
                Self::Ps(_)
                    | Self::Images(_)
                    | Self::Inspect(_)
                    | Self::Info(_)
                    | Self::Version(_)
                    | Self::Port(_)
            ),
        }
    }

    /// Runs the command.
    pub(crate) async fn run(self, cx: &Context) -> Outcome {
        match self {
            Self::Run(args) | Self::Container(Container::Run(args)) => run::run(*args, cx).await,
            Self::Create(args) | Self::Container(Container::Create(args)) => create::run(*args, cx).await,
            Self::Exec(args) | Self::Container(Container::Exec(args)) => exec::run(*args, cx).await,
            Self::Commit(args) | Self::Container(Container::Commit(args)) => commit::run(args, cx).await,
            Self::Cp(args) | Self::Container(Container::Cp(args)) => cp::run(args, cx).await,
            Self::Diff(args) | Self::Container(Container::Diff(args)) => diff::run(args, cx).await,
            Self::Export(args) | Self::Container(Container::Export(args)) => export::run(args, cx).await,
            Self::Port(args) | Self::Container(Container::Port(args)) => port::run(args, cx).await,
            Self::Stats(args) | Self::Container(Container::Stats(args)) => stats::run(args, cx).await,
            Self::Top(args) | Self::Container(Container::Top(args)) => top::run(args, cx).await,
            Self::Update(args) | Self::Container(Container::Update(args)) => update::run(args, cx).await,
            Self::Container(Container::Prune(args)) => prune::containers(args, cx).await,
            Self::Image(Image::Prune(args)) => prune::images(args, cx).await,
            Self::Volume(Volume::Prune(args)) => prune::volumes(args, cx).await,
            Self::System(System::Prune(args)) => prune::system(args, cx).await,
            Self::Bake(_) | Self::Builder(Builder::Bake(_)) => build::bake(),
            Self::Builder(Builder::Du(args)) => builder::du::run(args, cx).await,
            Self::Builder(Builder::Prune(args)) => builder::prune::run(args, cx).await,
            Self::Builder(Builder::History(verb)) => match verb {
                History::Inspect(args) => builder::history::inspect(args, cx).await,
                History::Logs(args) => builder::history::logs(args, cx).await,
                History::Ls(args) => builder::history::list(args, cx).await,
                History::Rm(args) => builder::history::remove(args, cx).await,
            },
            Self::System(System::Df(args)) => df::run(args, cx).await,
            Self::Volume(Volume::Create(args)) => volume::create(args, cx).await,
            Self::Volume(Volume::Ls(args)) => volume::list(args, cx).await,
            Self::Volume(Volume::Inspect(args)) => volume::inspect(args, cx).await,
            Self::Volume(Volume::Rm(args)) => volume::remove(args, cx).await,
            Self::Network(Network::Connect(args)) => network::connect(args, cx).await,
            Self::Network(Network::Create(args)) => network::create(args, cx).await,
            Self::Network(Network::Disconnect(args)) => network::disconnect(args, cx).await,
            Self::Network(Network::Inspect(args)) => network::inspect(args, cx).await,
            Self::Network(Network::Ls(args)) => network::list(args, cx).await,
            Self::Network(Network::Prune(args)) => prune::networks(args, cx).await,
            Self::Network(Network::Rm(args)) => network::remove(args, cx).await,
            Self::Attach(args) | Self::Container(Container::Attach(args)) => attach::run(args, cx).await,
            Self::Start(args) | Self::Container(Container::Start(args)) => start::run(args, cx).await,
            Self::Pause(args) | Self::Container(Container::Pause(args)) => pause::run(args, cx).await,
            Self::Unpause(args) | Self::Container(Container::Unpause(args)) => pause::unpause(args, cx).await,
            Self::Rename(args) | Self::Container(Container::Rename(args)) => rename::run(args, cx).await,
            Self::Restart(args) | Self::Container(Container::Restart(args)) => restart::run(args, cx).await,
            Self::Ps(args) | Self::Container(Container::Ls(args)) => ps::run(args, cx).await,
            Self::Images(args) | Self::Image(Image::Ls(args)) => images::run(args, cx).await,
            Self::Info(args) | Self::System(System::Info(args)) => info::run(args, cx).await,
            Self::Version(args) => version::run(args, cx).await,
            Self::Inspect(args) => inspect::run(args, cx).await,
            Self::Container(Container::Inspect(args)) => inspect::run(args.into(), cx).await,
            Self::Image(Image::Inspect(args)) => inspect::run(args.into(), cx).await,
            Self::Events(args) | Self::System(System::Events(args)) => events::run(args, cx).await,
            Self::Kill(args) | Self::Container(Container::Kill(args)) => kill::run(args, cx).await,
            Self::Build(args) | Self::Image(Image::Build(args)) | Self::Builder(Builder::Build(args)) => {
                build::run(*args, cx).await
            }
            Self::History(args) | Self::Image(Image::History(args)) => history::run(args, cx).await,
            Self::Import(args) | Self::Image(Image::Import(args)) => import::run(args, cx).await,
            Self::Manifest(Manifest::Inspect(args)) => manifest::inspect(args, cx).await,
            Self::Search(args) => search::run(&args),
            Self::Load(args) | Self::Image(Image::Load(args)) => load::run(args, cx).await,
            Self::Pull(args) | Self::Image(Image::Pull(args)) => pull::run(args, cx).await,
            Self::Login(args) => login::run(args, cx).await,
            Self::Logout(args) => login::logout(args, cx).await,
            Self::Push(args) | Self::Image(Image::Push(args)) => push::run(args, cx).await,
            Self::Logs(args) | Self::Container(Container::Logs(args)) => logs::run(args, cx).await,
            Self::Rm(args) | Self::Container(Container::Rm(args)) => rm::run(args, cx).await,
            Self::Rmi(args) | Self::Image(Image::Rm(args)) => rmi::run(args, cx).await,
            Self::Save(args) | Self::Image(Image::Save(args)) => save::run(args, cx).await,
            Self::Stop(args) | Self::Container(Container::Stop(args)) => stop::run(args, cx).await,
            Self::Tag(args) | Self::Image(Image::Tag(args)) => tag::run(args, cx).await,
            Self::Wait(args) | Self::Container(Container::Wait(args)) => wait::run(args, cx).await,
            Self::Completion(args) => completion::run(&args, cx),
            // Takes its arguments as they are, before anything here looks at them.
            Self::Daemon => Ok(()),
        }
    }
}

/// The whole tree, with usage lines and help in Docker's layout.
pub(crate) fn tree() -> clap::Command {
    let verbs = Verb::augment_subcommands(clap::Command::new(PROGRAM));
    finish(Root::augment_args(verbs), PROGRAM)
}

/// As much of the tree as these arguments (without the program's name) need.
pub(crate) fn tree_for(args: &[OsString]) -> clap::Command {
    single::tree(args).unwrap_or_else(tree)
}

/// The help of the command with this path, in a tree that has it.
pub(crate) fn help(mut command: clap::Command, path: &[String]) -> String {
    for word in path {
        match command.find_subcommand(word) {
            Some(inner) => command = inner.clone(),
            None => break,
        }
    }
    command.render_help().to_string()
}

/// Lets clap read an argument list that [`super::argv::scan`] made with this tree.
pub(crate) fn parse(tree: &mut clap::Command, argv: &[String]) -> Result<(Root, Option<Verb>), clap::Error> {
    let matches = tree.try_get_matches_from_mut(argv)?;
    let verb = match matches.subcommand_name() {
        Some(_) => Some(Verb::from_arg_matches(&matches)?),
        None => None,
    };
    Ok((Root::from_arg_matches(&matches)?, verb))
}

/// One verb's arguments from the words after it.
#[cfg(test)]
pub(super) fn parse_as<A: clap::Args>(line: &str) -> Result<A, super::error::CommandError> {
    use super::argv;

    let command = finish(A::augment_args(clap::Command::new("verb")), "verb");
    let words = line.split_whitespace().map(Into::into).collect();
    let argv = match argv::scan(&command, words)? {
        argv::Scanned::Run(argv) => argv,
        other => panic!("{line}: {other:?}"),
    };
    command
        .clone()
        .try_get_matches_from(&argv)
        .and_then(|matches| A::from_arg_matches(&matches))
        .map_err(|error| argv::value_error(&command, &argv, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::argv;

    #[test]
    fn the_tree_is_sound() {
        tree().debug_assert();
    }

    /// Brackets close what they open, and no name is said twice but as `NAME [NAME...]`.
    #[test]
    fn lines_of_usage() {
        fn walk(command: &clap::Command, path: &str) {
            let line = argv::usage(command, path);
            let mut depth = 0;
            for c in line.chars() {
                depth += i32::from(c == '[') - i32::from(c == ']');
                assert!((0..=2).contains(&depth), "{line}");
            }
            assert_eq!(depth, 0, "{line}");
            let mut said = Vec::new();
            let words = line.split(' ').skip_while(|word| word.chars().any(char::is_lowercase));
            for word in words.filter(|word| *word != "|") {
                let several = word.starts_with('[') && word.ends_with("...]");
                let name = word.trim_start_matches('[').trim_end_matches(']').trim_end_matches("...");
                assert!(!said.contains(&name) || several && said.last() == Some(&name), "{line}");
                said.push(name);
            }
            for inner in command.get_subcommands() {
                walk(inner, &format!("{path} {}", inner.get_name()));
            }
        }
        walk(&tree(), PROGRAM);
        let cases = [
            ("exec", "k3c exec [OPTIONS] CONTAINER COMMAND [ARG...]"),
            ("run", "k3c run [OPTIONS] IMAGE [COMMAND] [ARG...]"),
            ("top", "k3c top CONTAINER [ps OPTIONS]"),
            ("rm", "k3c rm [OPTIONS] CONTAINER [CONTAINER...]"),
            ("stats", "k3c stats [OPTIONS] [CONTAINER...]"),
            ("port", "k3c port CONTAINER [PRIVATE_PORT[/PROTO]]"),
        ];
        let tree = tree();
        for (verb, line) in cases {
            let command = tree.find_subcommand(verb).unwrap();
            assert_eq!(argv::usage(command, &format!("{PROGRAM} {verb}")), line);
        }
    }

    #[test]
    fn the_whole_help() {
        fn walk(command: &clap::Command, path: &str, out: &mut String) {
            let mut shown = command.clone().term_width(100);
            out.push_str(&format!("$ {path} --help\n{}\n", shown.render_help()));
            for inner in command.get_subcommands() {
                walk(inner, &format!("{path} {}", inner.get_name()), out);
            }
        }
        let mut out = String::new();
        walk(&tree(), PROGRAM, &mut out);
        insta::assert_snapshot!("help", out);
    }
}
