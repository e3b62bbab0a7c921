//! The namespaces of a pod, as CRI asks for them.

use super::settings;
use crate::model::amendment::{ANNOTATION, Amendment};
use crate::proto::cri::{IdMapping, NamespaceMode, PodSandboxConfig};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the one who keeps a pod's namespaces makes, joins and sets in them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) network: Network,
    pub(super) ipc: bool,
    pub(super) uts: bool,
    /// One namespace of process IDs for all of the pod's containers.
    pub(super) pid: bool,
    pub(super) users: Option<Users>,
    /// Empty: the host's stays.
    pub(super) hostname: String,
    pub(super) domainname: String,
    /// Settings of the kernel (sysctl(8)) that belong to these namespaces.
    pub(super) sysctls: BTreeMap<String, String>,
}

/// A pod's network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Network {
    #[default]
    Hosts,
    /// One that CRI has made.
    At(PathBuf),
    /// A new one, with a loopback device only.
    Alone,
}

/// The maps of a user namespace of the pod's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Users {
    pub(super) uids: Vec<Range>,
    pub(super) gids: Vec<Range>,
}

/// IDs in a user namespace, and outside of it (user_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Range {
    pub(super) inside: u32,
    pub(super) outside: u32,
    pub(super) length: u32,
}

impl Users {
    /// Where root of the namespace is outside.
    pub(super) fn root(&self) -> Option<(u32, u32)> {
        let root = |all: &[Range]| all.iter().find(|r| r.inside == 0 && r.length > 0).map(|r| r.outside);
        Some((root(&self.uids)?, root(&self.gids)?))
    }
}

impl Wanted {
    /// Reads a pod's configuration. `network` is the path of its network namespace, empty for the host's; `gid_map` is
    /// `/proc/self/gid_map`.
    pub(super) fn new(config: &PodSandboxConfig, network: &str, gid_map: &str) -> Result<Self, String> {
        let linux = config.linux.clone().unwrap_or_default();
        let options = linux.security_context.and_then(|c| c.namespace_options).unwrap_or_default();
        let amendment = match config.annotations.get(ANNOTATION) {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| format!("cannot read the annotation {ANNOTATION}: {error}"))?,
            None => Amendment::default(),
        };
        let own_network = options.network() != NamespaceMode::Node;
        if own_network && network.is_empty() {
            return Err("no network namespace was made for the pod".to_owned());
        }
        let users = match &options.userns_options {
            Some(asked) if asked.mode() == NamespaceMode::Pod => {
                Some(Users { uids: ranges(&asked.uids)?, gids: ranges(&asked.gids)? })
            }
            _ => None,
        };
        // Without a network of its own a pod has the host's name, as containerd has it.
        let uts = (own_network || amendment.own_uts) && !amendment.host_uts;
        let network = match (own_network, amendment.no_network) {
            (true, _) => Network::At(network.into()),
            (false, true) => Network::Alone,
            (false, false) => Network::Hosts,
        };
        let named = |name: &str| if uts { name.to_owned() } else { String::new() };
        let mut wanted = Self {
            network,
            ipc: options.ipc() != NamespaceMode::Node,
            uts,
            pid: options.pid() == NamespaceMode::Pod,
            users,
            hostname: named(&config.hostname),
            domainname: named(&amendment.domainname),
            sysctls: linux.sysctls.into_iter().collect(),
        };
        for key in wanted.sysctls.keys() {
            settings::check(key, &wanted)?;
        }
        settings::open(&mut wanted, gid_map);
        Ok(wanted)
    }

    /// Whether a process must keep them: a thread cannot have a namespace of process IDs or users.
    pub(super) fn needs_process(&self) -> bool {
        self.pid || self.users.is_some()
    }
}

fn ranges(asked: &[IdMapping]) -> Result<Vec<Range>, String> {
    let all = asked.iter().map(|m| Range { inside: m.container_id, outside: m.host_id, length: m.length });
    let all: Vec<Range> = all.collect();
    match all.iter().any(|r| r.inside == 0 && r.length > 0) {
        true => Ok(all),
        false => Err("root of the pod's user namespace is mapped to nobody".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::cri::{
        LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceOption, UserNamespace,
    };

    fn config(options: NamespaceOption, sysctl: Option<&str>) -> PodSandboxConfig {
        let context = LinuxSandboxSecurityContext { namespace_options: Some(options), ..Default::default() };
        PodSandboxConfig {
            hostname: "h".into(),
            linux: Some(LinuxPodSandboxConfig {
                security_context: Some(context),
                sysctls: sysctl.map(|key| (key.to_owned(), "1".to_owned())).into_iter().collect(),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    const WHOLE: &str = "0 0 4294967295\n";

    #[test]
    fn namespaces_by_their_modes() {
        let node = NamespaceMode::Node.into();
        let wanted = Wanted::new(&config(NamespaceOption::default(), None), "/n", WHOLE).unwrap();
        assert!(wanted.ipc && wanted.uts && wanted.pid && wanted.needs_process());
        assert_eq!((wanted.network, wanted.hostname.as_str()), (Network::At("/n".into()), "h"));
        let host = NamespaceOption { network: node, pid: node, ipc: node, ..Default::default() };
        let wanted = Wanted::new(&config(host, None), "", WHOLE).unwrap();
        assert_eq!(wanted, Wanted::default());
        let own = NamespaceOption { pid: NamespaceMode::Container.into(), ..Default::default() };
        assert!(!Wanted::new(&config(own.clone(), None), "/n", WHOLE).unwrap().needs_process());
        assert!(Wanted::new(&config(own.clone(), None), "", WHOLE).is_err());
        let mut amended = config(own, None);
        amended.annotations.insert(ANNOTATION.into(), r#"{"host_uts":true,"domainname":"d"}"#.into());
        let wanted = Wanted::new(&amended, "/n", WHOLE).unwrap();
        assert!(!wanted.uts && wanted.hostname.is_empty() && wanted.domainname.is_empty());
        amended.annotations.insert(ANNOTATION.into(), "{\"foo\": 1}".into());
        assert!(Wanted::new(&amended, "/n", WHOLE).is_err());
    }

    #[test]
    fn users() {
        let map = |container_id| IdMapping { container_id, host_id: 7, length: 9 };
        let with = |map: IdMapping| {
            let users = UserNamespace { mode: NamespaceMode::Pod.into(), uids: vec![map], gids: vec![map] };
            Wanted::new(
                &config(NamespaceOption { userns_options: Some(users), ..Default::default() }, None),
                "/n",
                WHOLE,
            )
        };
        assert_eq!(with(map(0)).unwrap().users.unwrap().root(), Some((7, 7)));
        assert!(with(map(1)).is_err());
    }

    #[test]
    fn settings_of_the_host_are_refused() {
        let node = NamespaceMode::Node.into();
        let host = NamespaceOption { network: node, ipc: node, ..Default::default() };
        let try_one = |options: &NamespaceOption, key: &str| {
            let network = if options.network == node { "" } else { "/n" };
            Wanted::new(&config(options.clone(), Some(key)), network, WHOLE).map(|w| w.sysctls)
        };
        for key in ["net.core.somaxconn", "net/core/somaxconn", "kernel.shmmax", "fs.mqueue.msg_max"] {
            assert!(try_one(&NamespaceOption::default(), key).is_ok(), "{key}");
            assert!(try_one(&host, key).unwrap_err().contains("is not in a separate kernel namespace"));
        }
        for key in
            ["vm.swappiness", "kernel.hostname", "net..x", "net.ipv4/../../kernel/panic", "net.\u{0}", ""]
        {
            assert!(try_one(&NamespaceOption::default(), key).is_err(), "{key}");
        }
    }
}
