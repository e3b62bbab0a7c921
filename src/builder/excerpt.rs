//! The lines of a Dockerfile that an error or a warning is about. Those of an error are in the details of the gRPC
//! status, as JSON.

use super::text::harmless;
use crate::proto::google::rpc::Status as Details;
use crate::proto::moby::buildkit::v1::VertexWarning;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde::Deserialize;
use std::ops::RangeInclusive;
use tonic::Status;

/// Characters of a line that are shown.
const WIDE: usize = 400;

#[derive(Deserialize)]
struct Source {
    info: Info,
    #[serde(default)]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    filename: String,
    #[serde(default)]
    data: String,
}

#[derive(Deserialize)]
struct Range {
    start: Position,
    end: Position,
}

#[derive(Deserialize)]
struct Position {
    #[serde(default)]
    line: usize,
}

/// All excerpts of an error, one below the other; `None` without any.
pub(super) fn excerpt(status: &Status) -> Option<String> {
    let details = Details::decode(status.details()).ok()?;
    let sources = details.details.iter().filter(|any| any.type_url.contains("errdefs.Source"));
    let texts: Vec<String> = sources
        .filter_map(|any| {
            let source: Source = serde_json::from_slice(&any.value).ok()?;
            let data = STANDARD.decode(&source.info.data).ok()?;
            let meant = source.ranges.iter().map(|r| r.start.line..=r.end.line.max(r.start.line));
            render(&source.info.filename, &data, &meant.collect::<Vec<_>>())
        })
        .collect();
    (!texts.is_empty()).then(|| texts.concat())
}

/// The excerpt of a warning.
pub(super) fn of_warning(warning: &VertexWarning) -> Option<String> {
    let info = warning.info.as_ref()?;
    let line = |line: i32| usize::try_from(line).unwrap_or(0);
    let meant = warning.ranges.iter().filter_map(|range| {
        let start = line(range.start.as_ref()?.line);
        let end = range.end.as_ref().map_or(start, |end| line(end.line).max(start));
        Some(start..=end)
    });
    render(&info.filename, &info.data, &meant.collect::<Vec<_>>())
}

fn render(name: &str, data: &[u8], meant: &[RangeInclusive<usize>]) -> Option<String> {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<&str> = text.split('\n').collect();
    let first = *meant.iter().map(RangeInclusive::start).min()?;
    let last = (*meant.iter().map(RangeInclusive::end).max()?).min(lines.len());
    if first == 0 || first > last {
        return None;
    }
    // Some lines around it: two on either side of a single one, one of several.
    let around = if first == last { 2 } else { 1 };
    let from = first.saturating_sub(around).max(1);
    let to = (last + around).min(lines.len());
    let rule = "-".repeat(20);
    let mut out = format!("{name}:{first}\n{rule}\n");
    for number in from..=to {
        let mark = if meant.iter().any(|range| range.contains(&number)) { ">>>" } else { "   " };
        let line = harmless(lines[number - 1]);
        let shown = match line.char_indices().nth(WIDE) {
            Some((end, _)) => &format!("{}…", &line[..end]),
            None => &line,
        };
        out.push_str(&format!(" {number:3} | {mark} {shown}\n"));
    }
    out.push_str(&format!("{rule}\n"));
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_types::Any;

    #[test]
    fn lines_around_the_failing_one() {
        let data = STANDARD.encode("FROM a\nCOPY x /\nRUN false\nCMD x\nEXPOSE 1\nUSER 1\n");
        let json = format!(
            r#"{{"info":{{"filename":"Dockerfile","data":"{data}"}},"ranges":[{{"start":{{"line":3}},"end":{{"line":3}}}}]}}"#
        );
        let details = Details {
            details: vec![
                Any {
                    type_url: "github.com/moby/buildkit/errdefs.Vertex+json".into(),
                    value: b"{}".to_vec(),
                },
                Any { type_url: "github.com/moby/buildkit/errdefs.Source+json".into(), value: json.into() },
            ],
            ..Details::default()
        };
        let bytes = details.encode_to_vec();
        let status = Status::with_details(tonic::Code::Unknown, "x", bytes.into());
        let expected = "\
Dockerfile:3
--------------------
   1 |     FROM a
   2 |     COPY x /
   3 | >>> RUN false
   4 |     CMD x
   5 |     EXPOSE 1
--------------------
";
        assert_eq!(excerpt(&status).as_deref(), Some(expected));
        assert_eq!(excerpt(&Status::unknown("x")), None);
    }

    #[test]
    fn lines_are_harmless_and_end() {
        let long = "y".repeat(1000);
        let data = format!("FROM a\r\nRUN \x1b[2Jx\tz\nRUN {long}\n");
        let shown = render("D", data.as_bytes(), &[2..=3]).unwrap();
        let long = format!("RUN {}…", "y".repeat(396));
        let rule = "-".repeat(20);
        let expected = format!(
            "D:2\n{rule}\n   1 |     FROM a\n   2 | >>> RUN x    z\n   3 | >>> {long}\n   4 |     \n{rule}\n"
        );
        assert_eq!(shown, expected);
        assert_eq!(render("D", data.as_bytes(), &[9..=9]), None);
        assert_eq!(render("D", data.as_bytes(), &[0..=0]), None);
        assert_eq!(render("D", data.as_bytes(), &[]), None);
    }
}
