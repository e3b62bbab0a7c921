//! The command line of `k3c daemon`.

use crate::config::PublishSource;
use std::ffi::OsString;
use std::path::PathBuf;

pub(super) const USAGE: &str = "Usage:  k3c daemon [OPTIONS]
       k3c daemon reload

Run k3c's service in the foreground, as an ordinary user or as root

Options:
      --config FILE   Read the configuration from FILE instead of the default one
      --group GROUP   As root: let the members of GROUP connect (they are root by that)
      --host-loopback Let containers reach what listens on the host's loopback, as host.docker.internal
      --publish-source SOURCE
                      Whose address containers see behind published ports: client (default), gateway
      --help          Print usage

Commands:
      reload          Replace the running engine by the installed binary's; containers go on";

/// The flags of a command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub(super) config: Option<PathBuf>,
    pub(super) group: Option<String>,
    pub(super) host_loopback: bool,
    pub(super) publish_source: Option<PublishSource>,
    pub(super) reload: bool,
    pub(super) help: bool,
}

/// Fault of a command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FlagError {
    #[error("flag needs an argument: {0}")]
    NoValue(&'static str),
    #[error("invalid argument {0:?} for \"--publish-source\" flag: expected client or gateway")]
    Source(String),
    #[error("unknown flag: {0}")]
    Unknown(String),
    #[error("k3c: 'k3c daemon' accepts no argument {0:?}")]
    Argument(String),
}

pub(super) fn parse(args: &[OsString]) -> Result<Flags, FlagError> {
    let mut flags = Flags::default();
    let mut args = args.iter().map(|a| a.to_string_lossy().into_owned());
    while let Some(arg) = args.next() {
        let (name, mut value) = match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let mut value = |name| value.take().or_else(|| args.next()).ok_or(FlagError::NoValue(name));
        match name.as_str() {
            "--config" => flags.config = Some(value("--config")?.into()),
            "--group" => flags.group = Some(value("--group")?),
            "--publish-source" => {
                let word = value("--publish-source")?;
                flags.publish_source = Some(PublishSource::parse(&word).ok_or(FlagError::Source(word))?);
            }
            "--host-loopback" => flags.host_loopback = true,
            "--help" | "-h" => flags.help = true,
            "reload" => flags.reload = true,
            flag if flag.starts_with('-') => return Err(FlagError::Unknown(flag.to_owned())),
            other => return Err(FlagError::Argument(other.to_owned())),
        }
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_known_or_refused() {
        let flags = |text: &str| parse(&text.split_whitespace().map(OsString::from).collect::<Vec<_>>());
        assert_eq!(flags("--config /a --group=b").unwrap().group.as_deref(), Some("b"));
        assert_eq!(flags("--publish-source=gateway").unwrap().publish_source, Some(PublishSource::Gateway));
        assert!(flags("--host-loopback").unwrap().host_loopback && !flags("").unwrap().host_loopback);
        assert!(flags("reload").unwrap().reload);
        for (text, words) in [
            ("--colour", "unknown flag: --colour"),
            (
                "--publish-source x",
                "invalid argument \"x\" for \"--publish-source\" flag: expected client or gateway",
            ),
            ("--config", "flag needs an argument: --config"),
            ("now", "k3c: 'k3c daemon' accepts no argument \"now\""),
        ] {
            assert_eq!(flags(text).unwrap_err().to_string(), words);
        }
    }
}
