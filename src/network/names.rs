//! Names that a container knows: its /etc/hosts and its resolver's settings.

use crate::model::container::{Dns, Identity};
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// The file that a host's resolver reads, resolv.conf(5).
pub(super) const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The host's own names, hosts(5).
const HOSTS: &str = "/etc/hosts";

/// Names of the containers of one instance.
#[derive(Debug)]
pub struct Names {
    /// Name servers of containers for which none were asked; empty: the host's.
    servers: Vec<String>,
    /// The host's resolver settings.
    host: PathBuf,
}

impl Names {
    /// Names with these name servers; empty: the host's.
    pub fn new(servers: Vec<String>) -> Self {
        Self { servers, host: RESOLV_CONF.into() }
    }

    /// Resolver settings that were asked for, completed by the host's; `None`: none were, so all are the host's. With
    /// `server` names are asked for there, whatever servers were asked for.
    pub fn resolver(&self, asked: &Dns, server: Option<Ipv4Addr>) -> Option<Dns> {
        let mut servers = match server {
            Some(server) => vec![server.to_string()],
            None => asked.servers.clone(),
        };
        if servers.is_empty() {
            servers.clone_from(&self.servers);
        }
        if servers.is_empty() && asked.searches.is_empty() && asked.options.is_empty() {
            return None;
        }
        let host = std::fs::read_to_string(&self.host).unwrap_or_default();
        let words = |key: &str| words(&host, key);
        if servers.is_empty() {
            servers = words("nameserver");
        }
        let mut searches = if asked.searches.is_empty() { words("search") } else { asked.searches.clone() };
        searches.retain(|domain| domain != ".");
        let mut options = if asked.options.is_empty() { words("options") } else { asked.options.clone() };
        // A container's name has no dot: it is asked for as it is, and not first with each domain behind it.
        if server.is_some() && !options.iter().any(|option| option.starts_with("ndots:")) {
            options.push("ndots:0".to_owned());
        }
        Some(Dns { servers, searches, options })
    }
}

/// All words behind a keyword of resolv.conf(5).
pub(super) fn words(text: &str, key: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(char::is_whitespace))
        .flat_map(str::split_whitespace)
        .map(str::to_owned)
        .collect()
}

/// The text of a container's hosts(5).
pub fn hosts(of: &Identity<'_>) -> String {
    let own = "127.0.0.1\tlocalhost\n\
        ::1\tlocalhost ip6-localhost ip6-loopback\n\
        fe00::\tip6-localnet\n\
        ff00::\tip6-mcastprefix\n\
        ff02::1\tip6-allnodes\n\
        ff02::2\tip6-allrouters\n";
    let hosts = || std::fs::read_to_string(HOSTS).ok();
    let mut text = of.of_host.then(hosts).flatten().unwrap_or_else(|| own.to_owned());
    if !text.ends_with('\n') {
        text.push('\n');
    }
    for entry in of.extra_hosts {
        if let Some((name, address)) = entry.split_once(':') {
            text.push_str(&format!("{address}\t{name}\n"));
        }
    }
    if !of.address.is_empty() {
        let mut names = of.hostname.to_owned();
        if !of.domainname.is_empty() {
            names = format!("{names}.{} {names}", of.domainname);
        }
        text.push_str(&format!("{}\t{names}\n", of.address));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dns(servers: &[&str], searches: &[&str], options: &[&str]) -> Dns {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Dns { servers: owned(servers), searches: owned(searches), options: owned(options) }
    }

    #[test]
    fn what_was_not_asked_for_is_the_hosts() {
        let folder = tempfile::tempdir().unwrap();
        let host = folder.path().join("resolv.conf");
        std::fs::write(&host, "# no\nnameserver 9.9.9.9\n search a.example . b.example\noptions ndots:2\n")
            .unwrap();
        let with =
            |servers: &[&str]| Names { host: host.clone(), ..Names::new(dns(servers, &[], &[]).servers) };
        let hosts = (&["a.example", "b.example"], &["ndots:2"]);
        for (servers, asked, expected) in [
            (&[][..], dns(&[], &[], &[]), None),
            (&["1.1.1.1"], dns(&[], &[], &[]), Some(dns(&["1.1.1.1"], hosts.0, hosts.1))),
            (&["1.1.1.1"], dns(&["8.8.8.8"], &[], &[]), Some(dns(&["8.8.8.8"], hosts.0, hosts.1))),
            (&[], dns(&[], &["x"], &[]), Some(dns(&["9.9.9.9"], &["x"], hosts.1))),
            (&[], dns(&[], &["."], &["rotate"]), Some(dns(&["9.9.9.9"], &[], &["rotate"]))),
        ] {
            assert_eq!(with(servers).resolver(&asked, None), expected, "{servers:?} {asked:?}");
        }
        let gateway = Some("10.88.0.1".parse().unwrap());
        let ours = with(&["1.1.1.1"]).resolver(&dns(&["8.8.8.8"], &[], &["rotate"]), gateway);
        assert_eq!(ours, Some(dns(&["10.88.0.1"], hosts.0, &["rotate", "ndots:0"])));
        let ours = with(&[]).resolver(&dns(&[], &[], &[]), gateway);
        assert_eq!(ours, Some(dns(&["10.88.0.1"], hosts.0, hosts.1)));
    }

    #[test]
    fn own_and_extra_names() {
        let extra = ["db:10.0.0.2".to_owned(), "v6:fd00::1".to_owned()];
        let of = |address, domainname| {
            let text = hosts(&Identity {
                hostname: "web",
                domainname,
                address,
                extra_hosts: &extra,
                of_host: false,
            });
            text.lines().skip(6).collect::<Vec<_>>().join("|")
        };
        assert_eq!(of("", ""), "10.0.0.2\tdb|fd00::1\tv6");
        assert_eq!(of("10.0.0.3", ""), "10.0.0.2\tdb|fd00::1\tv6|10.0.0.3\tweb");
        assert_eq!(of("10.0.0.3", "example"), "10.0.0.2\tdb|fd00::1\tv6|10.0.0.3\tweb.example web");
    }
}
