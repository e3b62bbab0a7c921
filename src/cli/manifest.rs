//! `manifest inspect`

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::pull::{explained, followed, unsaid};
use crate::model::image::TransferOutcome;
use crate::model::reference::Reference;
use serde_json::Value;

/// Display an image manifest, or manifest list
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    /// Allow communication with an insecure registry
    #[arg(long)]
    insecure: bool,
    /// Output each manifest, with its descriptor
    #[arg(short, long)]
    verbose: bool,
    #[arg(required = true, value_name = "MANIFEST")]
    manifest: String,
}

/// Asks the registry for a name, and the engine for what no registry has: IDs, and images inside k3c.
pub(crate) async fn inspect(args: InspectArgs, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    let document = match Reference::parse(&args.manifest) {
        Ok(name) if name.has_registry() && !is_id(&args.manifest) => remote(&args, &name, cx).await?,
        _ => client.inspect_manifest(&args.manifest, args.verbose).await?,
    };
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    serde::Serialize::serialize(&document, &mut serializer).map_err(CommandError::failed)?;
    text.push(b'\n');
    cx.ui.data(&text)?;
    Ok(())
}

/// What a short or whole ID looks like; such names are hardly a registry's.
fn is_id(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    (12..=64).contains(&hex.len()) && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

async fn remote(args: &InspectArgs, name: &Reference, cx: &Context) -> Result<Value, CommandError> {
    let explain = |error| explained(error, name);
    let client = cx.client().await?;
    let outcomes =
        client.remote_manifest(&name.to_string(), args.verbose, args.insecure).await.map_err(explain)?;
    // What is waited for is no part of the document.
    let followed = followed(outcomes, &mut cx.ui.progress(false)).await.map_err(explain)?;
    match followed {
        Some(TransferOutcome::Document(document)) => Ok(document),
        _ => Err(unsaid()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids() {
        let whole = format!("sha256:{}", "ab".repeat(32));
        assert!(is_id(&whole) && is_id("abababababab"));
        assert!(!is_id("cafe") && !is_id("alpine") && !is_id("sha256:x"));
    }
}
