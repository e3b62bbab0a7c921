//! The warnings of a build, said once more at its end, where they are seen: with the lines that they are about.

use crate::builder::excerpt;
use crate::builder::text::harmless;
use crate::proto::moby::buildkit::v1::VertexWarning;
use std::collections::HashSet;

/// Warnings in the order in which they came; a build for several platforms has some of them several times.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    seen: HashSet<Key>,
    texts: Vec<String>,
}

/// What is said, of which file, and of which line.
type Key = (Vec<u8>, String, Option<i32>);

impl Warnings {
    pub(super) fn add(&mut self, warning: &VertexWarning) {
        let file = warning.info.as_ref().map_or_else(String::new, |info| info.filename.clone());
        let line = warning.ranges.first().and_then(|range| range.start.as_ref()).map(|start| start.line);
        if self.seen.insert((warning.short.clone(), file, line)) {
            self.texts.push(text(warning));
        }
    }

    /// All of them below a heading; nothing if there are none. The heading may have a colour.
    pub(super) fn summary(&self, colour: Option<&str>) -> String {
        let heading = match self.texts.len() {
            0 => return String::new(),
            1 => "1 warning found:".to_owned(),
            count => format!("{count} warnings found:"),
        };
        let heading = colour.map_or(heading.clone(), |code| format!("\x1b[{code}m{heading}\x1b[0m"));
        format!("\n {heading}\n{}", self.texts.concat())
    }
}

fn text(warning: &VertexWarning) -> String {
    let shown = |text: &[u8]| harmless(&String::from_utf8_lossy(text));
    let mut out = format!(" - {}\n", shown(&warning.short));
    for line in &warning.detail {
        out.push_str(&format!("{}\n", shown(line)));
    }
    if !warning.url.is_empty() {
        out.push_str(&format!("More info: {}\n", harmless(&warning.url)));
    }
    out.push_str(&excerpt::of_warning(warning).unwrap_or_default());
    out.push('\n');
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::proto::pb::{Position, Range, SourceInfo};

    /// A warning about a line of a Dockerfile of three.
    pub(in crate::builder::progress) fn warning(vertex: &str, line: i32) -> VertexWarning {
        let place = |line| Some(Position { line, character: 0 });
        VertexWarning {
            vertex: vertex.to_owned(),
            short: format!("Casing: bad (line {line})").into(),
            detail: vec![b"Write it in one case".to_vec()],
            url: "https://docs/".to_owned(),
            info: Some(SourceInfo {
                filename: "Dockerfile".to_owned(),
                data: b"FROM a\nrun x\nrun y".to_vec(),
                ..SourceInfo::default()
            }),
            ranges: vec![Range { start: place(line), end: place(line) }],
            ..VertexWarning::default()
        }
    }

    #[test]
    fn each_is_said_once() {
        let mut warnings = Warnings::default();
        assert_eq!(warnings.summary(None), "");
        warnings.add(&warning("a", 2));
        let one = warnings.summary(None);
        let expected = "
 1 warning found:
 - Casing: bad (line 2)
Write it in one case
More info: https://docs/
Dockerfile:2
--------------------
   1 |     FROM a
   2 | >>> run x
   3 |     run y
--------------------

";
        assert_eq!(one, expected);
        for (vertex, line) in [("b", 2), ("b", 3)] {
            warnings.add(&warning(vertex, line));
        }
        let all = warnings.summary(Some("33"));
        assert!(all.starts_with("\n \x1b[33m2 warnings found:\x1b[0m\n - Casing: bad (line 2)\n"), "{all}");
        assert_eq!(all.matches(">>>").count(), 2);
    }
}
