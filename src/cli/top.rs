//! `top`

use super::context::Context;
use super::error::Outcome;
use super::format::table;

/// Display the running processes of a container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
    #[arg(value_name = "ps OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// A table of processes.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let processes = cx.client().await?.top(&args.container, &args.options).await?;
    let lines = std::iter::once(&processes.titles).chain(&processes.rows);
    let text: String = lines.map(|fields| fields.join("\t") + "\n").collect();
    cx.ui.data(table::align_with(&text, 20, 3).as_bytes())?;
    Ok(())
}
