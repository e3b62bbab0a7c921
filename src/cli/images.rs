//! `images`

mod tree;

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::format::listing::{self, Columns, Row};
use super::format::{moment, quote, size, status};
use super::options::value;
use super::prune;
use crate::api::docker::schema::Struct;
use crate::credentials;
use crate::model::image::ImageSummary;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

/// List images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all images (default hides intermediate images)
    #[arg(short, long)]
    all: bool,
    /// Show digests
    #[arg(long)]
    digests: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = value::filter)]
    filter: Vec<(String, String)>,
    /// Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    /// List multi-platform images as a tree
    #[arg(long)]
    tree: bool,
    #[arg(value_name = "REPOSITORY[:TAG]")]
    reference: Option<String>,
}

/// A row.
const ROW: Struct = Struct { name: "*formatter.imageContext", fields: &[] };

const TITLES: &[(&str, &str)] = &[
    ("ID", "IMAGE ID"),
    ("Repository", "REPOSITORY"),
    ("Tag", "TAG"),
    ("Digest", "DIGEST"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("Size", "SIZE"),
    ("Containers", "CONTAINERS"),
    ("VirtualSize", "VIRTUAL SIZE"),
    ("SharedSize", "SHARED SIZE"),
    ("UniqueSize", "UNIQUE SIZE"),
];

const NONE: &str = "<none>";

/// Newest first, one row for each name.
pub(crate) async fn run(mut args: Args, cx: &Context) -> Outcome {
    if args.tree {
        let others = [
            (args.quiet, "quiet"),
            (args.no_trunc, "no-trunc"),
            (args.digests, "show-digests"),
            (args.format.is_some(), "format"),
        ];
        if let Some((_, flag)) = others.iter().find(|(set, _)| *set) {
            return Err(CommandError::failed(format!("--{flag} is not yet supported with --tree")));
        }
    }
    if !args.quiet {
        args.format = args.format.or_else(|| credentials::setting("imagesFormat"));
    }
    let mut filters = prune::filters(&args.filter)?;
    if let Some(reference) = &args.reference {
        filters.entry("reference".to_owned()).or_default().push(reference.clone());
    }
    let (mut images, warnings) = cx.client().await?.images(args.all, filters).await?;
    warnings.iter().for_each(|warning| cx.ui.warning(warning));
    images.sort_by_key(|image| std::cmp::Reverse(image.created));
    if args.tree {
        return Ok(cx.ui.data(tree::render(&images, cx.ui.terminals().stdout).as_bytes())?);
    }
    let text = render(&args, &images, Timestamp::now(), &moment::zone())?;
    cx.ui.data(text.as_bytes())?;
    if let (true, Some(word @ ("ls" | "rm" | "build" | "inspect"))) =
        (images.is_empty(), args.reference.as_deref())
    {
        cx.ui.message(&format!("No images found matching {word:?}: did you mean \"k3c image {word}\"?"));
    }
    Ok(())
}

fn render(
    args: &Args,
    images: &[ImageSummary],
    now: Timestamp,
    zone: &TimeZone,
) -> Result<String, CommandError> {
    let id = |image: &ImageSummary| match args.no_trunc {
        true => image.id.clone(),
        false => quote::short_id(&image.id).to_owned(),
    };
    if args.quiet && args.format.is_none() {
        let ids = images
            .iter()
            .flat_map(|image| std::iter::repeat_n(id(image) + "\n", image.repo_tags.len().max(1)));
        return Ok(ids.collect());
    }
    let with_digests = args.digests || args.format.as_deref().is_some_and(|f| f.contains(".Digest"));
    let mut rows = Vec::new();
    for image in images {
        for (repository, tag, digest) in names(image, with_digests) {
            let age =
                image.created.map_or_else(|| "N/A".to_owned(), |created| status::ago(Some(created), now));
            let fields = json!({
                "Containers": image.containers.to_string(),
                "CreatedAt": image.created.map_or_else(|| "N/A".to_owned(), |t| moment::long(t, zone)),
                "CreatedSince": age,
                "Digest": digest,
                "ID": id(image),
                "Repository": repository,
                "SharedSize": "N/A",
                "Size": size::human(image.size),
                "Tag": tag,
                "UniqueSize": "N/A",
                "VirtualSize": size::human(image.size),
            });
            rows.push(Row { fields, labels: json!(image.labels) });
        }
    }
    let shown = match args.digests {
        true => vec!["Repository", "Tag", "Digest", "ID", "CreatedSince", "Size"],
        false => vec!["Repository", "Tag", "ID", "CreatedSince", "Size"],
    };
    let mut raw = vec![
        ("repository", "Repository"),
        ("tag", "Tag"),
        ("image_id", "ID"),
        ("created_at", "CreatedAt"),
        ("virtual_size", "Size"),
    ];
    if args.digests {
        raw.insert(2, ("digest", "Digest"));
    }
    listing::render(&Columns { row: &ROW, titles: TITLES, shown, raw }, args.format.as_deref(), rows)
        .map_err(CommandError::failed)
}

/// Repository, tag and digest of each row that an image has.
fn names(image: &ImageSummary, with_digests: bool) -> Vec<(String, String, String)> {
    let digest_of = |repository: &str| {
        image.repo_digests.iter().find_map(|name| {
            let (of, digest) = name.split_once('@')?;
            (of == repository).then(|| digest.to_owned())
        })
    };
    let mut rows: Vec<(String, String, String)> = image
        .repo_tags
        .iter()
        .map(|name| {
            let (repository, tag) = split(name);
            let digest = if with_digests { digest_of(repository) } else { None };
            (repository.to_owned(), tag.to_owned(), digest.unwrap_or_else(|| NONE.to_owned()))
        })
        .collect();
    if rows.is_empty() {
        rows.extend(
            image
                .repo_digests
                .iter()
                .filter_map(|name| name.split_once('@'))
                .map(|(repository, digest)| (repository.to_owned(), NONE.to_owned(), digest.to_owned())),
        );
    }
    if rows.is_empty() {
        rows.push((NONE.to_owned(), NONE.to_owned(), NONE.to_owned()));
    }
    rows
}

/// A colon after the last slash begins the tag.
fn split(name: &str) -> (&str, &str) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, NONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    fn image(tags: &[&str], digests: &[&str]) -> ImageSummary {
        ImageSummary {
            id: format!("sha256:{}", "ab".repeat(32)),
            repo_tags: tags.iter().map(ToString::to_string).collect(),
            repo_digests: digests.iter().map(ToString::to_string).collect(),
            created: Timestamp::from_second(0).ok(),
            size: 7_800_000,
            labels: [].into(),
            containers: 1,
            config_digest: String::new(),
            content_size: 0,
            manifests: Vec::new(),
        }
    }

    fn images(line: &str, images: &[ImageSummary]) -> String {
        let args = command::parse_as::<Args>(line).unwrap();
        let text = render(&args, images, Timestamp::from_second(86_400 * 3).unwrap(), &TimeZone::UTC);
        text.unwrap().lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn tables() {
        let all = [
            image(&["alpine:3", "localhost:5000/x/alpine:3"], &["alpine@sha256:cc"]),
            image(&[], &["busybox@sha256:dd"]),
            image(&[], &[]),
        ];
        let table = "\
REPOSITORY                TAG       IMAGE ID       CREATED      SIZE
alpine                    3         abababababab   3 days ago   7.8MB
localhost:5000/x/alpine   3         abababababab   3 days ago   7.8MB
busybox                   <none>    abababababab   3 days ago   7.8MB
<none>                    <none>    abababababab   3 days ago   7.8MB
";
        assert_eq!(images("", &all), table);
        assert_eq!(images("-q", &all[..1]), "abababababab\nabababababab\n");
        assert_eq!(images("-q --no-trunc", &all[2..]), format!("sha256:{}\n", "ab".repeat(32)));
        assert_eq!(
            images("--format {{.Repository}}@{{.Digest}}", &all[..1]),
            "alpine@sha256:cc\nlocalhost:5000/x/alpine@<none>\n"
        );
        assert!(
            images("--digests", &all).starts_with("REPOSITORY                TAG       DIGEST      IMAGE ID")
        );
    }
}
