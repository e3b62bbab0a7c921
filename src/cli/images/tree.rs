//! `images --tree`: each image, and below it what there is for each platform.

use crate::cli::format::{quote, size};
use crate::model::image::{ImageManifest, ImageSummary};
use unicode_width::UnicodeWidthStr;

const TITLES: [&str; 5] = ["IMAGE", "ID", "DISK USAGE", "CONTENT SIZE", "EXTRA"];
/// Spaces between two columns.
const GAP: &str = "   ";
/// Mark of what a container uses.
const IN_USE: &str = "U";
const LEGEND: &str = "Info -> U In Use";
const UNTAGGED: &str = "<untagged>";

/// Image, ID, disk usage, content size, marks.
type Row = [String; 5];

/// A line for each name, the last of which has the image's sizes, and one for each platform; `legend`: with a line that
/// says what the marks mean.
pub(super) fn render(images: &[ImageSummary], legend: bool) -> String {
    let mut groups: Vec<Vec<Row>> = images.iter().map(rows).collect();
    groups.sort_by(|a, b| is_untagged(a).cmp(&is_untagged(b)).then_with(|| a[0][0].cmp(&b[0][0])));
    let mut widths = TITLES.map(str::len);
    for row in groups.iter().flatten() {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let mut text = String::new();
    if legend {
        let all: usize = widths.iter().sum::<usize>() + GAP.len() * (widths.len() - 1);
        text = format!("{LEGEND:>all$}\n");
    }
    text += &line(&TITLES.map(str::to_owned), &widths);
    for group in &groups {
        if groups.len() > 1 && groups.iter().any(|group| group.len() > 1) && *group != groups[0] {
            text.push('\n');
        }
        text.extend(group.iter().map(|row| line(row, &widths)));
    }
    text
}

fn is_untagged(group: &[Row]) -> bool {
    group[0][0] == UNTAGGED
}

fn rows(image: &ImageSummary) -> Vec<Row> {
    let mut names = image.repo_tags.clone();
    names.sort();
    if names.is_empty() {
        names.push(UNTAGGED.to_owned());
    }
    let mut rows: Vec<Row> =
        names.into_iter().map(|name| [name, "".into(), "".into(), "".into(), "".into()]).collect();
    if let Some(last) = rows.last_mut() {
        let name = std::mem::take(&mut last[0]);
        *last = row(name, &image.id, image.size, image.content_size, image.containers);
    }
    let count = image.manifests.len();
    rows.extend(image.manifests.iter().enumerate().map(|(at, manifest)| {
        let ImageManifest { id, platform, content_size, unpacked_size, containers, .. } = manifest;
        let branch = if at + 1 == count { "└─" } else { "├─" };
        row(format!("{branch} {platform}"), id, content_size + unpacked_size, *content_size, *containers)
    }));
    rows
}

fn row(name: String, id: &str, bytes: i64, content: i64, containers: i64) -> Row {
    let mark = if containers > 0 { IN_USE } else { "" };
    [name, quote::short_id(id).to_owned(), size::human(bytes), size::human(content), mark.to_owned()]
}

fn line(row: &Row, widths: &[usize; 5]) -> String {
    let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
        let room = " ".repeat(width - cell.width());
        // Sizes stand below each other.
        if matches!(column, 2 | 3) { room + cell } else { cell.clone() + &room }
    });
    let line = cells.collect::<Vec<_>>().join(GAP);
    format!("{}\n", line.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees() {
        let manifest = |platform: &str, content: i64, unpacked: i64, containers: i64| ImageManifest {
            id: format!("sha256:{}", "cd".repeat(32)),
            platform: platform.into(),
            available: content > 0,
            content_size: content,
            unpacked_size: unpacked,
            containers,
        };
        let image = |tags: &[&str], manifests: Vec<ImageManifest>| ImageSummary {
            id: format!("sha256:{}", "ab".repeat(32)),
            repo_tags: tags.iter().map(ToString::to_string).collect(),
            repo_digests: Vec::new(),
            created: None,
            size: manifests.iter().map(|m| m.content_size + m.unpacked_size).sum(),
            labels: [].into(),
            containers: manifests.iter().map(|m| m.containers).sum(),
            config_digest: String::new(),
            content_size: manifests.iter().map(|m| m.content_size).sum(),
            manifests,
        };
        let images = [
            image(&[], vec![manifest("linux/amd64", 1_000_000, 2_000_000, 0)]),
            image(
                &["b:2", "b:1"],
                vec![
                    manifest("linux/amd64", 4_000_000, 8_000_000, 1),
                    manifest("linux/arm64", 3_500_000, 0, 0),
                    manifest("linux/s390x", 0, 0, 0),
                ],
            ),
        ];
        let table = "\
IMAGE            ID             DISK USAGE   CONTENT SIZE   EXTRA
b:1
b:2              abababababab       15.5MB          7.5MB   U
├─ linux/amd64   cdcdcdcdcdcd         12MB            4MB   U
├─ linux/arm64   cdcdcdcdcdcd        3.5MB          3.5MB
└─ linux/s390x   cdcdcdcdcdcd           0B             0B

<untagged>       abababababab          3MB            1MB
└─ linux/amd64   cdcdcdcdcdcd          3MB            1MB
";
        assert_eq!(render(&images, false), table);
        let with = render(&images, true);
        assert!(
            with.starts_with("    ") && with.lines().next().is_some_and(|l| l.ends_with("U In Use")),
            "{with}"
        );
        assert!(render(&[], false).starts_with("IMAGE   ID   DISK USAGE"));
    }
}
