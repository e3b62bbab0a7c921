//! Values with a form of their own: devices, rates, ulimits, sysctls, hosts, modes.

use super::{container, value};
use crate::cli::format::duration;
use crate::model::container::{Device, DeviceRate, EndpointSpec, Mount, NetworkMode, Ulimit};
use crate::model::mac::{Mac, NoMac};
use crate::model::port::{self, Port, Publish};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// `name:address` or `name=address`; the address may be `host-gateway` or in brackets.
pub(crate) fn extra_host(text: &str) -> Result<String, String> {
    let bad = || format!("bad format for add-host: {text:?}");
    let at = text.find(['=', ':']).ok_or_else(bad)?;
    let (name, address) = (&text[..at], &text[at + 1..]);
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if name.is_empty() || address.is_empty() {
        return Err(bad());
    }
    if address != "host-gateway" && address.parse::<IpAddr>().is_err() {
        return Err(format!("invalid IP address in add-host: {address:?}"));
    }
    Ok(format!("{name}:{address}"))
}

/// `[[ip:][host]:]container[/protocol]`, with ranges.
pub(crate) fn publish(text: &str) -> Result<Vec<Publish>, String> {
    Publish::parse(text).map_err(|error| error.to_string())
}

/// `80`, `80/udp`, `8000-8010`
pub(crate) fn exposed(text: &str) -> Result<Vec<String>, String> {
    let ports = port::exposed(text).map_err(|error| error.to_string())?;
    Ok(ports.iter().map(Port::to_string).collect())
}

/// An IP address.
pub(crate) fn address(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    match trimmed.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(format!("IP address is not correctly formatted: {text}")),
    }
}

/// A search domain; `.` stands for none.
pub(crate) fn domain(text: &str) -> Result<String, String> {
    let trimmed = text.trim_matches([' ', '.']);
    let good = |label: &str| {
        !label.is_empty()
            && label.len() < 64
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    match trimmed.is_empty() && text == "." || trimmed.len() < 256 && trimmed.split('.').all(good) {
        true => Ok(if trimmed.is_empty() { ".".to_owned() } else { trimmed.to_owned() }),
        false => Err(format!("{text} is not a valid domain")),
    }
}

/// `name=soft[:hard]`, -1 is unlimited.
pub(crate) fn ulimit(text: &str) -> Result<Ulimit, String> {
    const NAMES: [&str; 15] = [
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
        "stack",
    ];
    let (name, values) = text
        .split_once('=')
        .filter(|(n, _)| !n.is_empty())
        .ok_or(format!("invalid ulimit argument: {text}"))?;
    if !NAMES.contains(&name) {
        return Err(format!("invalid ulimit type: {name}"));
    }
    let number = |value: &str| value::integer(value).map(|n| n.max(-1));
    let (soft, hard) = match values.split_once(':') {
        Some((soft, hard)) if !hard.contains(':') => (number(soft)?, number(hard)?),
        Some(_) => {
            return Err(format!("too many limit value arguments - {values}, can only have up to two"));
        }
        None => (number(values)?, number(values)?),
    };
    if hard != -1 && (soft > hard || soft == -1) {
        return Err(format!("ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

/// `/dev/host[:/dev/container[:rwm]]`
pub(crate) fn device(text: &str) -> Result<Device, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_mode = |m: &str| {
        !m.is_empty() && m.bytes().all(|b| b"rwm".contains(&b)) && m.len() <= 3 && !m.starts_with('/')
    };
    let (host, target, mode) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, mode] if is_mode(mode) => (*host, *host, *mode),
        [host, target] => (*host, *target, "rwm"),
        [host, target, mode] if is_mode(mode) => (*host, *target, *mode),
        [_, _, mode] => return Err(format!("bad mode specified: {mode}")),
        _ => return Err(format!("bad format for path: {text}")),
    };
    match [host, target].into_iter().find(|path| !path.starts_with('/')) {
        Some(path) => Err(format!("{path} is not an absolute path")),
        None => Ok(Device { host: host.into(), container: target.into(), permissions: mode.into() }),
    }
}

/// 10 to 1000, or 0.
pub(crate) fn blkio_weight(text: &str) -> Result<i64, String> {
    match value::integer(text)? {
        weight if weight == 0 || (10..=1000).contains(&weight) => Ok(weight),
        _ => Err("range of blkio weight is from 10 to 1000".to_owned()),
    }
}

/// `/dev/x:weight`
pub(crate) fn device_weight(text: &str) -> Result<DeviceRate, String> {
    rated(text, "weight", |value| {
        blkio_weight(value).map_err(|_| format!("invalid weight for device: {text}"))
    })
}

/// `/dev/x:bytes`
pub(crate) fn read_bps(text: &str) -> Result<DeviceRate, String> {
    rated(text, "rbps", bytes_per_second)
}

/// `/dev/x:bytes`
pub(crate) fn write_bps(text: &str) -> Result<DeviceRate, String> {
    rated(text, "wbps", bytes_per_second)
}

/// `/dev/x:operations`
pub(crate) fn read_iops(text: &str) -> Result<DeviceRate, String> {
    rated(text, "riops", operations)
}

/// `/dev/x:operations`
pub(crate) fn write_iops(text: &str) -> Result<DeviceRate, String> {
    rated(text, "wiops", operations)
}

fn bytes_per_second(text: &str) -> Result<i64, String> {
    value::bytes(text).map_err(|_| {
        "The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is \
         optional and can be kb, mb, or gb"
            .to_owned()
    })
}

fn operations(text: &str) -> Result<i64, String> {
    value::integer(text).ok().filter(|n| *n >= 0).ok_or_else(|| {
        "The correct format is <device-path>:<number>. Number must be a positive integer".to_owned()
    })
}

fn rated(text: &str, kind: &str, read: impl Fn(&str) -> Result<i64, String>) -> Result<DeviceRate, String> {
    let (path, rate) = text.split_once(':').ok_or_else(|| format!("bad format: {text}"))?;
    if !path.starts_with("/dev/") {
        return Err(format!("bad format for device path: {text}"));
    }
    Ok(DeviceRate { path: path.to_owned(), kind: kind.to_owned(), rate: read(rate)? })
}

/// `key=value`, of a namespace that containers have.
pub(crate) fn sysctl(text: &str) -> Result<(String, String), String> {
    let allowed = [
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let (key, value) = text.split_once('=').ok_or_else(|| format!("sysctl '{text}' is not allowed"))?;
    let key = key.replace('/', ".");
    let known = allowed.contains(&key.as_str()) || key.starts_with("net.") || key.starts_with("fs.mqueue.");
    match known {
        true => Ok((key, value.to_owned())),
        false => Err(format!("sysctl '{text}' is not allowed: it is not of a namespace of the container")),
    }
}

/// `/path[:options]`
pub(crate) fn tmpfs(text: &str) -> Result<Mount, String> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    if !target.starts_with('/') {
        return Err(format!("invalid mount path: '{target}' mount path must be absolute"));
    }
    let options: Vec<String> = options.split(',').filter(|o| !o.is_empty()).map(str::to_owned).collect();
    for option in &options {
        let (key, value) = option.split_once('=').map_or((option.as_str(), None), |(k, v)| (k, Some(v)));
        let good = match (key, value) {
            ("size", Some(size)) => value::bytes(size.trim_end_matches('%')).is_ok(),
            ("mode", Some(mode)) => u32::from_str_radix(mode, 8).is_ok(),
            ("uid" | "gid" | "nr_inodes" | "nr_blocks" | "mpol" | "huge", Some(_)) => true,
            (
                "ro" | "rw" | "exec" | "noexec" | "suid" | "nosuid" | "dev" | "nodev" | "sync" | "async"
                | "dirsync" | "atime" | "noatime" | "diratime" | "nodiratime" | "relatime" | "norelatime"
                | "strictatime" | "nostrictatime" | "private" | "rprivate" | "shared" | "rshared" | "slave"
                | "rslave" | "unbindable" | "runbindable",
                None,
            ) => true,
            _ => false,
        };
        if !good {
            return Err(format!("invalid tmpfs option {option:?}"));
        }
    }
    Ok(container::tmpfs_mount(target, options))
}

/// Go's form; not below zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let nanos = duration::parse_go(text).ok_or_else(|| match text.parse::<f64>() {
        Ok(_) => format!("time: missing unit in duration {text:?}"),
        Err(_) => format!("time: invalid duration {text:?}"),
    })?;
    match u64::try_from(nanos).map(Duration::from_nanos) {
        Ok(time) if time.is_zero() || time >= Duration::from_millis(1) => Ok(time),
        Ok(_) => Err("it cannot be less than 1ms".to_owned()),
        Err(_) => Err("it cannot be negative".to_owned()),
    }
}

/// A number, not below zero.
pub(crate) fn count(text: &str) -> Result<u32, String> {
    u32::try_from(value::integer(text)?).map_err(|_| "it cannot be negative".to_owned())
}

/// -1000 to 1000.
pub(crate) fn oom_score(text: &str) -> Result<i32, String> {
    let number = value::integer(text)?;
    i32::try_from(number)
        .ok()
        .filter(|n| (-1000..=1000).contains(n))
        .ok_or_else(|| format!("Invalid value {number}, range for oom score adj is [-1000, 1000]"))
}

/// A value of `--network`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NetworkFlag {
    pub(crate) mode: NetworkMode,
    /// What is wished for there; empty: nothing.
    pub(crate) place: EndpointSpec,
}

/// `--network`: a mode or a name, also as `name=NAME,ip=ADDRESS...`.
pub(crate) fn network(text: &str) -> Result<NetworkFlag, String> {
    if !text.contains('=') {
        return Ok(NetworkFlag { mode: NetworkMode::parse(text)?, place: EndpointSpec::default() });
    }
    let mut name = "";
    let mut place = EndpointSpec::default();
    for field in text.split(',') {
        let Some((key, value)) = field.split_once('=') else {
            return Err(format!("invalid field {field}: it has no value"));
        };
        match key {
            "name" => name = value,
            "alias" => place.aliases.push(value.to_owned()),
            "ip" => place.address = Some(ipv4(value)?),
            "ip6" => place.address_6 = Some(ipv6(value)?),
            "mac-address" => place.mac = Some(mac(value)?),
            "link-local-ip" | "driver-opt" | "gw-priority" => {
                return Err(format!("{key} cannot be had: name, alias, ip, ip6 and mac-address can"));
            }
            other => return Err(format!("invalid field key {other}")),
        }
    }
    if name.is_empty() {
        return Err("network name/id is not specified".to_owned());
    }
    Ok(NetworkFlag { mode: NetworkMode::parse(name)?, place })
}

/// `--ip`
pub(crate) fn ipv4(text: &str) -> Result<Ipv4Addr, String> {
    text.parse().map_err(|_| format!("invalid IPv4 address: {text}"))
}

/// `--ip6`
pub(crate) fn ipv6(text: &str) -> Result<Ipv6Addr, String> {
    text.parse().map_err(|_| format!("invalid IPv6 address: {text}"))
}

/// `--mac-address`
pub(crate) fn mac(text: &str) -> Result<Mac, String> {
    text.parse().map_err(|error: NoMac| error.to_string())
}

/// `--link`: `container[:alias]`.
pub(crate) fn link(text: &str) -> Result<String, String> {
    let bad = || Err(format!("bad format for links: {text}"));
    match text.split(':').collect::<Vec<_>>().as_slice() {
        [""] | ["", _] | [_, ""] => bad(),
        [name] => Ok(format!("{name}:{name}")),
        [name, alias] => Ok(format!("{name}:{alias}")),
        _ => bad(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::Sharing;

    #[test]
    fn hosts_and_names() {
        assert_eq!(extra_host("db:10.0.0.1").unwrap(), "db:10.0.0.1");
        assert_eq!(extra_host("db=[::1]").unwrap(), "db:::1");
        assert_eq!(extra_host("up:host-gateway").unwrap(), "up:host-gateway");
        for bad in ["db", ":1.2.3.4", "db:", "db:300.1.1.1"] {
            assert!(extra_host(bad).is_err(), "{bad}");
        }
        assert_eq!(address("1.1.1.1").unwrap(), "1.1.1.1");
        assert!(address("one").unwrap_err().contains("not correctly formatted"));
        assert_eq!(domain("example.com.").unwrap(), "example.com");
        assert_eq!(domain(".").unwrap(), ".");
        assert!(domain("a b").is_err() && domain("").is_err());
    }

    #[test]
    fn networks() {
        let flag =
            network("name=n,alias=a,alias=b,ip=10.0.0.9,ip6=fd00::9,mac-address=02:00:00:00:00:01").unwrap();
        assert_eq!(
            (flag.mode, flag.place.aliases),
            (NetworkMode::Named("n".into()), vec!["a".into(), "b".into()])
        );
        assert_eq!(flag.place.address_6, Some("fd00::9".parse().unwrap()));
        assert_eq!(network("host").unwrap().mode, NetworkMode::Host);
        for (text, words) in [
            ("name=n,ip=x", "invalid IPv4 address: x"),
            ("name=n,ip", "it has no value"),
            ("ip=10.0.0.9", "name/id is not specified"),
            ("name=n,colour=red", "invalid field key colour"),
            ("name=n,gw-priority=1", "gw-priority cannot be had"),
            ("name=n,mac-address=1", "invalid MAC address: 1"),
            ("container:", "names no container"),
        ] {
            assert!(network(text).unwrap_err().contains(words), "{text}");
        }
        assert_eq!((link("db"), link("db:x")), (Ok("db:db".into()), Ok("db:x".into())));
        for bad in ["", ":x", "x:", "a:b:c"] {
            assert!(link(bad).unwrap_err().contains("bad format for links"), "{bad}");
        }
    }

    #[test]
    fn limits() {
        assert_eq!(ulimit("nofile=10:20").unwrap(), Ulimit { name: "nofile".into(), soft: 10, hard: 20 });
        assert_eq!(ulimit("core=-1").unwrap().hard, -1);
        for bad in ["nofile", "x=1", "nofile=2:1", "nofile=1:2:3", "nofile=a", "nofile=-1:5"] {
            assert!(ulimit(bad).is_err(), "{bad}");
        }
        assert_eq!(oom_score("-5"), Ok(-5));
        assert!(oom_score("1001").is_err());
        assert_eq!(blkio_weight("0"), Ok(0));
        assert!(blkio_weight("5").is_err());
        assert_eq!(read_bps("/dev/sda:1mb").unwrap().rate, 1 << 20);
        assert!(read_bps("sda:1mb").is_err() && write_iops("/dev/sda:x").is_err());
    }

    #[test]
    fn devices_and_the_rest() {
        let device = |text| super::device(text).map(|d| (d.container, d.permissions));
        assert_eq!(device("/dev/fuse"), Ok(("/dev/fuse".into(), "rwm".into())));
        assert_eq!(device("/dev/a:/dev/b:r"), Ok(("/dev/b".into(), "r".into())));
        assert_eq!(device("/dev/a:rw"), Ok(("/dev/a".into(), "rw".into())));
        assert!(device("/dev/a:/dev/b:x").unwrap_err().contains("bad mode"));
        assert!(device("fuse").unwrap_err().contains("absolute"));
        assert_eq!(sysctl("net/ipv4/ip_forward=1").unwrap().0, "net.ipv4.ip_forward");
        assert!(sysctl("vm.swappiness=1").is_err());
        assert_eq!(super::duration("1m30s"), Ok(Duration::from_secs(90)));
        assert!(super::duration("5").unwrap_err().contains("missing unit"));
        assert!(super::duration("-1s").is_err() && super::duration("1us").is_err());
        assert!(tmpfs("/t:size=1m,mode=1770,noexec").is_ok());
        assert!(tmpfs("t").is_err() && tmpfs("/t:foo").is_err());
        assert_eq!(Sharing::parse("container:x", &["container"]), Some(Sharing::Container("x".into())));
        assert_eq!(Sharing::parse("host", &["private"]), None);
        assert_eq!(Sharing::parse("container:", &["container"]), None);
    }
}
