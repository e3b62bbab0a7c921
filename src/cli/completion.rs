//! `completion`

use super::command;
use super::context::{Context, PROGRAM};
use super::error::Outcome;
use clap_complete::Shell;

/// Generate the autocompletion script for the specified shell
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell: bash, elvish, fish, powershell or zsh
    #[arg(required = true, value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// Writes the script to standard output.
pub(crate) fn run(args: &Args, cx: &Context) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command::tree(), PROGRAM, &mut script);
    cx.ui.data(&script)?;
    Ok(())
}
