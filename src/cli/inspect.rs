//! `inspect`

use super::context::{Context, daemon_text, is_missing};
use super::error::{CommandError, Outcome};
use super::format::json;
use super::format::template::{Data, Error, Template};
use super::{network, volume};
use crate::api::docker;
use crate::api::docker::schema::{Shape, Typed as _};
use crate::client::{Client, ClientError};
use crate::model::reason::Reason;
use serde_json::Value;

/// Return low-level information on objects of the engine
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    container: ContainerFlags,
    #[command(flatten)]
    format: FormatFlag,
    /// Only inspect objects of the given type (container, image, network, volume)
    #[arg(long = "type", value_name = "string")]
    kind: Option<String>,
    #[arg(required = true, value_name = "NAME|ID")]
    names: Vec<String>,
}

/// Display detailed information on one or more containers
#[derive(Debug, clap::Args)]
#[command(mut_arg("size", |size| size.help("Display total file sizes")))]
pub(crate) struct ContainerArgs {
    #[command(flatten)]
    flags: ContainerFlags,
    #[command(flatten)]
    format: FormatFlag,
    #[arg(required = true, value_name = "CONTAINER")]
    names: Vec<String>,
}

/// Display detailed information on one or more images
#[derive(Debug, clap::Args)]
pub(crate) struct ImageArgs {
    #[command(flatten)]
    format: FormatFlag,
    #[arg(required = true, value_name = "IMAGE")]
    names: Vec<String>,
}

/// The flag of every `inspect`.
#[derive(Debug, clap::Args)]
pub(crate) struct FormatFlag {
    /// Format output: 'json', or a Go template
    #[arg(short, long, value_name = "string")]
    pub(crate) format: Option<String>,
}

/// Flags of those that look at containers.
#[derive(Debug, Default, clap::Args)]
struct ContainerFlags {
    /// Show a container as a kubelet sees it, through CRI
    #[arg(long)]
    cri: bool,
    /// Display total file sizes if the type is container
    #[arg(short, long)]
    size: bool,
}

/// Kind of the things among which a name is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    Anything,
    Container,
    Image,
    Network,
    Volume,
}

impl From<ContainerArgs> for Args {
    fn from(args: ContainerArgs) -> Self {
        let ContainerArgs { flags, format, names } = args;
        Self { container: flags, format, kind: Some("container".to_owned()), names }
    }
}

impl From<ImageArgs> for Args {
    fn from(args: ImageArgs) -> Self {
        let ImageArgs { format, names } = args;
        Self { container: ContainerFlags::default(), format, kind: Some("image".to_owned()), names }
    }
}

/// Prints all that was found, even when something else was not.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let search = match args.kind.as_deref() {
        None if args.container.cri => Search::Container,
        None => Search::Anything,
        Some("container") => Search::Container,
        Some("image") => Search::Image,
        Some("network") => Search::Network,
        Some("volume") => Search::Volume,
        Some(other) => {
            return Err(CommandError::failed(format!("{other:?} is not a valid value for --type")));
        }
    };
    let mut printer = Printer::new(args.format.format.as_deref())?;
    let client = cx.client().await?;
    let mut failures = Vec::new();
    for name in &args.names {
        match find(client, search, name, &args).await {
            Ok((document, shape)) => match printer.add(document, shape) {
                Ok(()) => {}
                Err(error @ Error::Parse(_)) => return Err(error.into()),
                Err(error) => failures.push(error.to_string()),
            },
            Err(error) if is_missing(&error) && search == Search::Anything => {
                failures.push(format!("error: no such object: {name}"));
            }
            Err(error) => failures.push(daemon_text(&error)),
        }
    }
    printer.end(&failures, cx)
}

/// A document, and its type.
async fn find(
    client: &Client,
    search: Search,
    name: &str,
    args: &Args,
) -> Result<(Value, Shape), ClientError> {
    let any = search == Search::Anything;
    if args.container.cri {
        return Ok((client.inspect_cri(name).await?, docker::CriContainer::SHAPE));
    }
    if any || search == Search::Container {
        match client.inspect(name, args.container.size).await {
            Err(error) if is_missing(&error) && any => {}
            found => return Ok((found?, docker::Container::SHAPE)),
        }
    }
    if any || search == Search::Image {
        match client.inspect_image(name).await {
            // A volume may have a name that no image can have.
            Err(error) if any && matches!(error.reason, Reason::NotFound | Reason::InvalidArgument) => {}
            found => return Ok((found?, docker::Image::SHAPE)),
        }
    }
    if any || search == Search::Network {
        match network::document(client, name).await {
            Err(error) if is_missing(&error) && any => {}
            found => return Ok((found?, docker::Network::SHAPE)),
        }
    }
    match volume::document(client, name).await? {
        Some(document) => Ok((document, docker::Volume::SHAPE)),
        None => Err(ClientError::new(Reason::NotFound, format!("get {name}: no such volume"))),
    }
}

/// An array of documents, or a line for each of them.
pub(crate) enum Printer {
    Array(Vec<Value>),
    Compact(Vec<Value>),
    Lines(Template, String),
}

impl Printer {
    pub(crate) fn new(format: Option<&str>) -> Result<Self, CommandError> {
        match format {
            None | Some("") => Ok(Self::Array(Vec::new())),
            Some("json") => Ok(Self::Compact(Vec::new())),
            Some(text) => Ok(Self::Lines(Template::parse(text)?, String::new())),
        }
    }

    pub(crate) fn add(&mut self, document: Value, shape: Shape) -> Result<(), Error> {
        match self {
            Self::Array(all) | Self::Compact(all) => all.push(document),
            Self::Lines(template, out) => {
                out.push_str(&template.render(&Data::inspected(&document, shape))?);
                out.push('\n');
            }
        }
        Ok(())
    }

    /// Prints what was added, and fails with what was not found.
    pub(crate) fn end(self, failures: &[String], cx: &Context) -> Outcome {
        cx.ui.data(self.finish().as_bytes())?;
        match failures.is_empty() {
            true => Ok(()),
            false => Err(CommandError::failed(failures.join("\n"))),
        }
    }

    pub(crate) fn finish(self) -> String {
        match self {
            Self::Array(all) => json::pretty(&Value::Array(all)) + "\n",
            Self::Compact(all) => Value::Array(all).to_string() + "\n",
            Self::Lines(_, out) if out.is_empty() => "\n".to_owned(),
            Self::Lines(_, out) => out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn forms() {
        let print = |format: Option<&str>, documents: Vec<Value>| {
            let mut printer = Printer::new(format).unwrap();
            for document in documents {
                printer.add(document, Shape::Any).unwrap();
            }
            printer.finish()
        };
        let two = || vec![json!({"Id": "a", "State": {"Pid": 1}}), json!({"Id": "b", "State": {"Pid": 2}})];
        assert_eq!(print(None, Vec::new()), "[]\n");
        assert_eq!(print(None, vec![json!({"Id": "a"})]), "[\n    {\n        \"Id\": \"a\"\n    }\n]\n");
        assert_eq!(print(Some("{{.Id}} {{.State.Pid}}"), two()), "a 1\nb 2\n");
        assert_eq!(print(Some("json"), vec![json!({"Id": "a"})]), "[{\"Id\":\"a\"}]\n");
        assert_eq!(print(Some("{{.Id}}"), Vec::new()), "\n");
        assert_eq!(Printer::new(Some("{{")).err().unwrap().code(), 64);
    }
}
