//! The lines of a Dockerfile that an error is about. BuildKit sends them in the details of the gRPC status, as JSON.

use crate::proto::google::rpc::Status as Details;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde::Deserialize;
use tonic::Status;

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

/// All excerpts, one below the other; `None` without any.
pub(super) fn excerpt(status: &Status) -> Option<String> {
    let details = Details::decode(status.details()).ok()?;
    let sources = details.details.iter().filter(|any| any.type_url.contains("errdefs.Source"));
    let texts: Vec<String> =
        sources.filter_map(|any| render(&serde_json::from_slice(&any.value).ok()?)).collect();
    (!texts.is_empty()).then(|| texts.concat())
}

fn render(source: &Source) -> Option<String> {
    let data = STANDARD.decode(&source.info.data).ok()?;
    let text = String::from_utf8_lossy(&data);
    let lines: Vec<&str> = text.split('\n').collect();
    let first = source.ranges.iter().map(|r| r.start.line).min()?;
    let last = source.ranges.iter().map(|r| r.end.line.max(r.start.line)).max()?.min(lines.len());
    if first == 0 || first > last {
        return None;
    }
    // Some lines around it: two on either side of a single one, one of several.
    let around = if first == last { 2 } else { 1 };
    let from = first.saturating_sub(around).max(1);
    let to = (last + around).min(lines.len());
    let rule = "-".repeat(20);
    let mut out = format!("{}:{first}\n{rule}\n", source.info.filename);
    for number in from..=to {
        let is_meant = source.ranges.iter().any(|r| (r.start.line..=r.end.line).contains(&number));
        let mark = if is_meant { ">>>" } else { "   " };
        out.push_str(&format!(" {number:3} | {mark} {}\n", lines[number - 1]));
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
}
