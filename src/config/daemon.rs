//! The daemon's settings: `$XDG_CONFIG_HOME/k3c/config.toml`.

use super::ConfigError;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;
use std::{fmt, fs};

/// Everything that can be set. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DaemonConfig {
    /// `auto`, `overlayfs` or `native`; what the first start chose is kept.
    pub snapshotter: String,
    /// The containers' network, IPv4 in CIDR form.
    pub subnet: String,
    /// Servers that are asked for names that no container has; empty: the host's, as they are at that moment.
    pub dns: Vec<String>,
    /// Seconds without a build after which buildkitd is stopped.
    pub buildkit_idle_seconds: u64,
    /// Space that the cache of builds may take: bytes (`20GB`), or a part of the disk (`10%`).
    pub build_cache: String,
    /// Seconds that containers have at most when the daemon stops.
    pub stop_timeout_seconds: u64,
    /// The group that may connect to root's daemon. It is root by that.
    pub group: Option<String>,
    /// Whose address containers see behind a published port.
    pub publish_source: PublishSource,
    /// An ordinary user's containers may reach what listens on the host's loopback, as `host.docker.internal`.
    pub host_loopback: bool,
}

/// Whose address a container sees when a client comes through a published port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublishSource {
    /// The client's own.
    #[default]
    Client,
    /// The gateway's, for all of them.
    Gateway,
}

impl PublishSource {
    /// Reads the word for it.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Client, Self::Gateway].into_iter().find(|source| source.as_str() == word)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Gateway => "gateway",
        }
    }
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self {
            snapshotter: "auto".into(),
            subnet: "10.88.0.0/16".into(),
            dns: Vec::new(),
            buildkit_idle_seconds: 300,
            build_cache: "20GB".into(),
            stop_timeout_seconds: 30,
            group: None,
            publish_source: PublishSource::default(),
            host_loopback: false,
        }
    }
}

impl DaemonConfig {
    /// Reads `explicit`, which must be there, or else `default`, which need not.
    ///
    /// # Errors
    /// Unreadable, not TOML, an unknown key, a value out of range; the text names file and line.
    pub fn load(explicit: Option<&Path>, default: &Path) -> Result<Self, ConfigError> {
        let path = explicit.unwrap_or(default);
        match fs::read_to_string(path) {
            Ok(text) => {
                Self::parse(&text).map_err(|message| ConfigError::Parse { path: path.to_path_buf(), message })
            }
            Err(e) if e.kind() == ErrorKind::NotFound && explicit.is_none() => Ok(Self::default()),
            Err(source) => Err(ConfigError::Read { path: path.to_path_buf(), source }),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
        if !["auto", "overlayfs", "native"].contains(&config.snapshotter.as_str()) {
            return Err(format!(
                "snapshotter = {:?}: expected \"auto\", \"overlayfs\" or \"native\"",
                config.snapshotter
            ));
        }
        let (address, bits) = config.subnet.split_once('/').unwrap_or((&config.subnet, ""));
        let bits: Option<u8> = bits.parse().ok().filter(|bits| (8..=29).contains(bits));
        if address.parse::<std::net::Ipv4Addr>().is_err() || bits.is_none() {
            return Err(format!(
                "subnet = {:?}: expected an IPv4 network such as \"10.88.0.0/16\"",
                config.subnet
            ));
        }
        if let Some(bad) = config.dns.iter().find(|server| server.parse::<std::net::IpAddr>().is_err()) {
            return Err(format!("dns: {bad:?} is not an IP address"));
        }
        if Space::parse(&config.build_cache).is_none() {
            return Err(format!(
                "build-cache = {:?}: expected a size such as \"20GB\" or \"10%\"",
                config.build_cache
            ));
        }
        Ok(config)
    }

    /// See `buildkit_idle_seconds`.
    pub fn buildkit_idle(&self) -> Duration {
        Duration::from_secs(self.buildkit_idle_seconds)
    }

    /// See `build_cache`.
    pub fn build_cache(&self) -> Space {
        Space::parse(&self.build_cache).unwrap_or(Space::Part(10))
    }

    /// See `stop_timeout_seconds`.
    pub fn stop_timeout(&self) -> Duration {
        Duration::from_secs(self.stop_timeout_seconds)
    }
}

/// Space on a disk: a part of it in percent, or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Percent of the disk.
    Part(u64),
    /// Bytes.
    Bytes(u64),
}

impl Space {
    /// Reads `10%`, `20GB`, `500000`; units are binary, as everywhere with Docker's sizes. Nothing is no space.
    fn parse(text: &str) -> Option<Self> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let number = digits.parse::<u64>().ok().filter(|number| *number > 0)?;
        let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
            "%" => return (number <= 100).then_some(Self::Part(number)),
            "" | "B" => 0,
            "KB" | "K" => 1,
            "MB" | "M" => 2,
            "GB" | "G" => 3,
            "TB" | "T" => 4,
            _ => return None,
        };
        number.checked_mul(1 << (10 * unit)).map(Self::Bytes)
    }

    /// A tenth of it.
    pub fn tenth(self) -> Self {
        match self {
            Self::Part(part) => Self::Part(part.div_ceil(10)),
            Self::Bytes(bytes) => Self::Bytes(bytes.div_ceil(10)),
        }
    }
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Part(part) => write!(f, "{part}%"),
            Self::Bytes(bytes) => write!(f, "{bytes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_and_bad_values_are_refused_in_words() {
        for (text, said) in [
            ("colour = 1", "unknown field `colour`"),
            ("snapshotter = \"zfs\"", "expected \"auto\""),
            ("subnet = \"10.0.0.0\"", "expected an IPv4 network"),
            ("subnet = \"10.0.0.0/33\"", "expected an IPv4 network"),
            ("dns = [\"nope\"]", "is not an IP address"),
            ("buildkit-idle-seconds = \"x\"", "invalid type"),
            ("build-cache = \"much\"", "expected a size"),
            ("build-cache = \"0GB\"", "expected a size"),
            ("build-cache = \"101%\"", "expected a size"),
            ("build-cache = 7", "invalid type"),
            ("publish-source = \"host\"", "unknown variant `host`, expected `client` or `gateway`"),
        ] {
            let error = DaemonConfig::parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_not_said_is_the_default() {
        let config = DaemonConfig::parse("buildkit-idle-seconds = 7").unwrap();
        assert_eq!(config.buildkit_idle(), Duration::from_secs(7));
        assert_eq!(config.subnet, "10.88.0.0/16");
        assert_eq!(config.build_cache(), Space::Bytes(20 << 30));
    }

    #[test]
    fn spaces() {
        for (text, space, tenth) in [
            ("5%", Some(Space::Part(5)), "1%"),
            ("20GB", Some(Space::Bytes(20 << 30)), "2147483648"),
            ("512m", Some(Space::Bytes(512 << 20)), "53687092"),
            ("18446744073709551615TB", None, ""),
            ("1.5GB", None, ""),
        ] {
            assert_eq!(Space::parse(text), space, "{text}");
            assert_eq!(space.map(|space| space.tenth().to_string()).unwrap_or_default(), tenth);
        }
    }
}
