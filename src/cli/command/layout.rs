//! How help looks: Docker's layout, its lines of usage, and the spellings of a command.

use crate::cli::argv;
use crate::cli::context::PROGRAM;
use clap::ArgAction;

/// Commands with several spellings.
const SPELLINGS: &[&[&str]] = &[
    &["container commit", "commit"],
    &["container cp", "cp"],
    &["container create", "create"],
    &["container diff", "diff"],
    &["container export", "export"],
    &["container port", "port"],
    &["container stats", "stats"],
    &["container top", "top"],
    &["container update", "update"],
    &["network ls", "network list"],
    &["network rm", "network remove"],
    &["volume ls", "volume list"],
    &["volume rm", "volume remove"],
    &["container pause", "pause"],
    &["container unpause", "unpause"],
    &["container rename", "rename"],
    &["container restart", "restart"],
    &["container attach", "attach"],
    &["container exec", "exec"],
    &["container start", "start"],
    &["container run", "run"],
    &["container ls", "container list", "container ps", "ps"],
    &["container logs", "logs"],
    &["container stop", "stop"],
    &["container kill", "kill"],
    &["container rm", "container remove", "rm"],
    &["container wait", "wait"],
    &["image ls", "image list", "images"],
    &["image history", "history"],
    &["image import", "import"],
    &["image load", "load"],
    &["image save", "save"],
    &["image pull", "pull"],
    &["image push", "push"],
    &["image tag", "tag"],
    &["image rm", "image remove", "rmi"],
    &["image build", "builder build", "buildx build", "build"],
    &["system info", "info"],
    &["system events", "events"],
];

/// Docker's layout.
fn template(command: &clap::Command, path: &str) -> String {
    let words = path.strip_prefix(PROGRAM).unwrap_or(path).trim_start();
    let aliases = match SPELLINGS.iter().find(|all| all.contains(&words)) {
        Some(all) => {
            let all: Vec<String> = all.iter().map(|words| format!("{PROGRAM} {words}")).collect();
            format!("Aliases:\n  {}\n\n", all.join(", "))
        }
        None => String::new(),
    };
    let rest = match (command.has_subcommands(), words.is_empty()) {
        (true, true) => "Commands:\n{subcommands}\n\nOptions:\n{options}{after-help}\n",
        (true, false) => "Commands:\n{subcommands}{after-help}\n",
        (false, _) => "Options:\n{options}\n",
    };
    format!("Usage:  {{usage}}\n\n{{about}}\n\n{aliases}{rest}")
}

/// Gives a command and those below it their lines of usage and their help.
pub(super) fn finish(mut command: clap::Command, path: &str) -> clap::Command {
    let usage = argv::usage(&command, path);
    let short_taken = command.get_arguments().any(|arg| arg.get_short() == Some('h'));
    let help = clap::Arg::new("help").long("help").action(ArgAction::SetTrue).help("Print usage");
    let template = template(&command, path);
    if command.has_subcommands() {
        let more = format!("Run '{path} COMMAND --help' for more information on a command.");
        command = command.after_help(more);
    }
    // Flags by name, as Docker has them.
    let mut flags: Vec<String> = command.get_opts().map(|arg| arg.get_id().to_string()).collect();
    flags.sort();
    command =
        command.mut_args(|arg| match flags.binary_search_by(|id| id.as_str().cmp(arg.get_id().as_str())) {
            Ok(place) => arg.display_order(place),
            Err(_) => arg,
        });
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(&name, |inner| finish(inner, &format!("{path} {name}")));
    }
    command
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .args_override_self(true)
        .override_usage(usage)
        .help_template(template)
        .arg(if short_taken { help } else { help.short('h') })
}
