//! `manifest inspect`

use super::context::{Context, is_missing};
use super::error::{CommandError, Outcome};

/// Display an image manifest, or manifest list
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// Output each manifest that is here, with its descriptor
    #[arg(short, long)]
    verbose: bool,
    #[arg(required = true, value_name = "MANIFEST")]
    manifest: String,
}

/// Looks only at what is here, and says so.
pub(crate) async fn inspect(args: InspectArgs, cx: &Context) -> Outcome {
    let document = match cx.client().await?.inspect_manifest(&args.manifest, args.verbose).await {
        Ok(document) => document,
        Err(error) if is_missing(&error) => {
            let text = "k3c looks only at images that are here: pull it first";
            return Err(CommandError::failed(format!("no such manifest: {}: {text}", args.manifest)));
        }
        Err(error) => return Err(error.into()),
    };
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(&document, &mut serializer).map_err(CommandError::failed)?;
    text.push(b'\n');
    cx.ui.data(&text)?;
    Ok(())
}
