//! Options that all of Docker's log drivers share: what of a container goes along with its messages (`labels`, `env` and
//! their `-regex` forms), and how it is called (`tag`).

use super::container::{ContainerSpec, LogConfig};
use super::journal;
use regex::Regex;
use std::collections::BTreeMap;

/// The shared options.
pub const SHARED: [&str; 5] = ["labels", "labels-regex", "env", "env-regex", "tag"];

/// The container whose messages they are.
#[derive(Clone, Debug)]
pub struct Writer<'a> {
    /// 64 digits.
    pub id: &'a str,
    /// Name, without a slash.
    pub name: &'a str,
    /// Image that was asked for.
    pub image: &'a str,
    /// Digest of that image.
    pub image_id: &'a str,
    /// Labels, with those of the image.
    pub labels: &'a BTreeMap<String, String>,
    /// `KEY=value`.
    pub env: &'a [String],
}

impl<'a> Writer<'a> {
    /// The writer that a container of `spec` will be, as far as that is known: to see that its options are right.
    pub fn of(spec: &'a ContainerSpec) -> Self {
        Self { id: "", name: "", image: &spec.image, image_id: "", labels: &spec.labels, env: &spec.env }
    }
}

/// Labels and variables that go along, by name. An error says, in words, which option is wrong.
pub fn attributes(
    options: &BTreeMap<String, String>,
    writer: &Writer<'_>,
) -> Result<BTreeMap<String, String>, String> {
    let labels = writer.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let env = writer.env.iter().filter_map(|line| line.split_once('='));
    let [labels_too, env_too] =
        [Choice::of(options, "labels", "labels-regex")?, Choice::of(options, "env", "env-regex")?];
    let all =
        labels.filter(|(name, _)| labels_too.has(name)).chain(env.filter(|(name, _)| env_too.has(name)));
    Ok(all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// The tag, if one was asked for.
pub fn tag(options: &BTreeMap<String, String>, writer: &Writer<'_>) -> Result<Option<String>, String> {
    options.get("tag").filter(|tag| !tag.is_empty()).map(|tag| fill(tag, writer)).transpose()
}

/// Attributes that `logs --details` shows, as the driver has them.
pub fn details(log: &LogConfig, writer: &Writer<'_>) -> Result<BTreeMap<String, String>, String> {
    let mut all = attributes(&log.options, writer)?;
    if log.driver == journal::DRIVER {
        return Ok(all.into_iter().map(|(name, value)| (journal::field(&name), value)).collect());
    }
    all.extend(tag(&log.options, writer)?.map(|tag| ("tag".to_owned(), tag)));
    Ok(all)
}

/// Names that an option chooses.
struct Choice<'a> {
    names: Vec<&'a str>,
    pattern: Option<Regex>,
}

impl<'a> Choice<'a> {
    fn of(options: &'a BTreeMap<String, String>, list: &str, regex: &str) -> Result<Self, String> {
        let names = options.get(list).map(|all| all.split(',').map(str::trim).collect()).unwrap_or_default();
        let pattern = options.get(regex).filter(|text| !text.is_empty()).map(|text| {
            Regex::new(text).map_err(|error| {
                let text_of_it = error.to_string();
                let why = text_of_it.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("invalid value for log opt {regex}: {text:?}: {why}")
            })
        });
        Ok(Self { names, pattern: pattern.transpose()? })
    }

    fn has(&self, name: &str) -> bool {
        self.names.contains(&name) || self.pattern.as_ref().is_some_and(|pattern| pattern.is_match(name))
    }
}

/// A tag with its places filled.
fn fill(tag: &str, writer: &Writer<'_>) -> Result<String, String> {
    let (mut text, mut rest) = (String::new(), tag);
    while let Some((before, after)) = rest.split_once("{{") {
        let bad = |place: &str| {
            format!(
                "invalid value for log opt tag: {place:?}: there are {{{{.ID}}}}, {{{{.FullID}}}}, {{{{.Name}}}}, \
                 {{{{.ImageName}}}}, {{{{.ImageID}}}} and {{{{.ImageFullID}}}}"
            )
        };
        let (place, after) = after.split_once("}}").ok_or_else(|| bad(after))?;
        let digest = writer.image_id.rsplit(':').next().unwrap_or_default();
        text.push_str(before);
        text.push_str(match place.trim() {
            ".ID" => writer.id.get(..12).unwrap_or(writer.id),
            ".FullID" => writer.id,
            ".Name" => writer.name,
            ".ImageName" => writer.image,
            ".ImageID" => digest.get(..12).unwrap_or(digest),
            ".ImageFullID" => writer.image_id,
            other => return Err(bad(other)),
        });
        rest = after;
    }
    Ok(text + rest)
}

#[cfg(test)]
impl<'a> Writer<'a> {
    /// The container `web` of `busybox:1`.
    pub(super) fn for_tests(labels: &'a BTreeMap<String, String>, env: &'a [String]) -> Self {
        let (id, image_id) = ("0123456789abcdef", "sha256:fedcba9876543210");
        Self { id, name: "web", image: "busybox:1", image_id, labels, env }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(driver: &str, options: &[(&str, &str)]) -> Result<String, String> {
        let labels = [("com.x.a", "1"), ("com.x.b", "2"), ("other", "3")];
        let labels = labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let env = ["A=x=y".to_owned(), "AB=z".to_owned(), "BARE".to_owned()];
        let writer = Writer::for_tests(&labels, &env);
        let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let all = details(&LogConfig { driver: driver.to_owned(), options }, &writer)?;
        Ok(all.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_goes_along() {
        type Options = &'static [(&'static str, &'static str)];
        let cases: [(&str, Options, &str); 9] = [
            ("", &[], ""),
            ("", &[("max-size", "1m")], ""),
            ("json-file", &[("labels", "com.x.a, none,other")], "com.x.a=1 other=3"),
            ("json-file", &[("labels-regex", "^com\\.x\\.")], "com.x.a=1 com.x.b=2"),
            ("json-file", &[("env", "A,BARE"), ("labels", "other")], "A=x=y other=3"),
            (
                "json-file",
                &[("env-regex", "^A"), ("tag", "{{.Name}}/{{ .ID }}")],
                "A=x=y AB=z tag=web/0123456789ab",
            ),
            ("json-file", &[("tag", "")], ""),
            ("json-file", &[("tag", "{{.ImageID}} of {{.ImageName}}")], "tag=fedcba987654 of busybox:1"),
            ("journald", &[("labels-regex", "a$"), ("env", "AB"), ("tag", "x")], "AB=z COM_X_A=1"),
        ];
        for (driver, options, expected) in cases {
            assert_eq!(shown(driver, options).as_deref(), Ok(expected), "{driver} {options:?}");
        }
    }

    #[test]
    fn refused() {
        let cases = [
            ("labels-regex", "a(", "invalid value for log opt labels-regex: \"a(\": unclosed group"),
            ("env-regex", "[", "invalid value for log opt env-regex: \"[\": unclosed character class"),
            ("tag", "{{.Nope}}", "\".Nope\": there are {{.ID}}"),
            ("tag", "{{.Name", "invalid value for log opt tag"),
        ];
        for (option, value, part) in cases {
            let error = shown("json-file", &[(option, value)]).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
