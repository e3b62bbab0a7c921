//! Messages for systemd's journal (`--log-driver journald`): their fields, in Docker's names, and their form on the wire.

use super::logopts::{self, Writer};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// The driver's name.
pub const DRIVER: &str = "journald";
/// Socket at which systemd-journald listens.
pub const SOCKET: &str = "/run/systemd/journal/socket";
/// The longest message, in bytes, as Docker has it; longer lines are sent in parts.
pub const LONGEST_MESSAGE: usize = 16 << 10;
/// Priorities of standard output and standard error, as in syslog(3): informational, error.
pub const PRIORITIES: [&str; 2] = ["6", "3"];

/// The fields of all messages of a container by its `--log-opt`s. An error says, in Docker's words, which option is wrong.
pub fn fields(
    options: &BTreeMap<String, String>,
    writer: &Writer<'_>,
) -> Result<BTreeMap<String, String>, String> {
    if let Some(other) = options.keys().find(|key| !logopts::SHARED.contains(&key.as_str())) {
        return Err(format!("unknown log opt '{other}' for journald log driver"));
    }
    let short = writer.id.get(..12).unwrap_or(writer.id);
    let tag = logopts::tag(options, writer)?.unwrap_or_else(|| short.to_owned());
    let mut all = BTreeMap::from([
        ("CONTAINER_ID".to_owned(), short.to_owned()),
        ("CONTAINER_ID_FULL".to_owned(), writer.id.to_owned()),
        ("CONTAINER_NAME".to_owned(), writer.name.to_owned()),
        ("IMAGE_NAME".to_owned(), writer.image.to_owned()),
    ]);
    all.extend(logopts::attributes(options, writer)?.into_iter().map(|(name, value)| (field(&name), value)));
    all.insert("CONTAINER_TAG".to_owned(), tag.clone());
    all.insert("SYSLOG_IDENTIFIER".to_owned(), tag);
    Ok(all)
}

/// A name of the journal's: capitals, digits and underscores, none of these at its beginning.
pub(super) fn field(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let text: String = name.chars().map(plain).collect();
    let text = text.trim_start_matches('_');
    let name =
        if text.starts_with(|c: char| c.is_ascii_digit()) { format!("N{text}") } else { text.to_owned() };
    name.get(..64).unwrap_or(&name).to_owned()
}

/// One datagram: `KEY=value` lines, and the message with its length before it, as it may have any bytes.
pub fn message(
    fields: &BTreeMap<String, String>,
    priority: &str,
    time: Timestamp,
    line: &[u8],
    partial: bool,
) -> Vec<u8> {
    let mut all = Vec::with_capacity(line.len() + 512);
    let mut put = |key: &str, value: &[u8]| {
        all.extend_from_slice(key.as_bytes());
        if value.contains(&b'\n') || key == "MESSAGE" {
            all.push(b'\n');
            all.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            all.push(b'=');
        }
        all.extend_from_slice(value);
        all.push(b'\n');
    };
    for (key, value) in fields {
        put(key, value.as_bytes());
    }
    put("PRIORITY", priority.as_bytes());
    put("SYSLOG_TIMESTAMP", time.to_string().as_bytes());
    if partial {
        put("CONTAINER_PARTIAL_MESSAGE", b"true");
    }
    put("MESSAGE", line);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_dockers() {
        let labels =
            BTreeMap::from([("com.example/a-b".to_owned(), "1".to_owned()), ("no".into(), "2".into())]);
        let env = ["A=x=y".to_owned(), "B=z".to_owned()];
        let writer = Writer::for_tests(&labels, &env);
        let of = |options: &[(&str, &str)]| {
            fields(&options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(), &writer)
        };
        let all = of(&[("labels", "com.example/a-b, other"), ("env", "A")]).unwrap();
        let text: Vec<String> = all.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            text.join(" "),
            "A=x=y COM_EXAMPLE_A_B=1 CONTAINER_ID=0123456789ab CONTAINER_ID_FULL=0123456789abcdef \
             CONTAINER_NAME=web CONTAINER_TAG=0123456789ab IMAGE_NAME=busybox:1 SYSLOG_IDENTIFIER=0123456789ab"
        );
        let all = of(&[("tag", "{{.Name}}/{{ .ImageID }}!")]).unwrap();
        assert_eq!(all["CONTAINER_TAG"], "web/fedcba987654!");
        assert!(of(&[("tag", "{{.Nope}}")]).unwrap_err().contains("\".Nope\": there are {{.ID}}"));
        assert!(of(&[("tag", "{{.Name")]).is_err());
        assert_eq!(
            of(&[("max-size", "1m")]).unwrap_err(),
            "unknown log opt 'max-size' for journald log driver"
        );
    }

    #[test]
    fn datagrams() {
        let fields =
            BTreeMap::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "two\nlines".to_owned())]);
        let bytes = message(&fields, "6", Timestamp::UNIX_EPOCH, b"x=\xff", true);
        let wanted =
            b"A=1\nB\n\x09\0\0\0\0\0\0\0two\nlines\nPRIORITY=6\nSYSLOG_TIMESTAMP=1970-01-01T00:00:00Z\n\
                       CONTAINER_PARTIAL_MESSAGE=true\nMESSAGE\n\x03\0\0\0\0\0\0\0x=\xff\n";
        assert_eq!(bytes, wanted);
    }
}
