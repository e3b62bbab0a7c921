//! The plugin as containerd calls it: containers of a daemon.

use crate::containers::{DEMO, within};
use crate::{Case, DAEMON, shared};
use anyhow::{Context, Result, ensure};
use std::io::Read;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::time::Duration;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("cni::containers_reach_each_other", DAEMON, containers_reach_each_other),
        Case::new("cni::containers_reach_the_outside", DAEMON, containers_reach_the_outside),
    ]
}

/// Addresses of the container's interface, both versions.
fn addresses(env: &crate::env::TestEnv, name: &str) -> Result<Vec<String>> {
    let shown = env.ok(&["exec", name, "ip", "-o", "addr", "show", "dev", "eth0", "scope", "global"])?;
    let words = shown.lines().filter_map(|line| line.split_whitespace().nth(3)?.split('/').next());
    Ok(words.map(str::to_owned).collect())
}

fn containers_reach_each_other() -> Result<()> {
    let env = shared::env()?;
    let serve = "while :; do echo hello | nc -l -p 80; done";
    env.ok(&["run", "-d", "--name", "cni-a", DEMO, "sh", "-c", serve])?;
    env.ok(&["run", "-d", "--name", "cni-b", DEMO, "sleep", "100"])?;
    let known = addresses(&env, "cni-a")?;
    ensure!(known.len() == 2 && known[1].starts_with("fd"), "{known:?}");
    let shown = env.ok(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "cni-a"])?;
    ensure!(shown == known[0], "{shown} {known:?}");
    let fetch =
        format!("for i in 1 2 3 4 5 6 7 8 9; do nc {} 80 </dev/null && exit; sleep 0.3; done", known[0]);
    ensure!(env.ok(&["exec", "cni-b", "sh", "-c", &fetch])? == "hello", "{known:?}");
    env.ok(&["exec", "cni-b", "ping", "-c", "1", "-W", "5", &known[1]])?;
    let links = env.ok(&["exec", "cni-b", "ip", "link"])?;
    ensure!(links.contains("mtu 65520") && links.contains("LOOPBACK,UP"), "{links}");
    env.ok(&["rm", "-f", "cni-a", "cni-b"]).map(drop)
}

fn containers_reach_the_outside() -> Result<()> {
    let env = shared::env()?;
    // An address of this host that is not its loopback; nothing is sent for that.
    let probe = UdpSocket::bind("0.0.0.0:0")?;
    let outside: Option<IpAddr> =
        probe.connect("192.0.2.1:9").and_then(|()| probe.local_addr()).map(|address| address.ip()).ok();
    let outside = outside.context("this host has no address but its loopback's")?;
    let listener = TcpListener::bind((outside, 0))?;
    let port = listener.local_addr()?.port().to_string();
    let heard = std::thread::spawn(move || -> Result<String> {
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let mut text = [0; 2];
        stream.read_exact(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    });
    let send = format!("(echo hi; sleep 1) | timeout 10 nc {outside} {port}");
    env.k3c(&["run", "--rm", DEMO, "sh", "-c", &send])?;
    within(Duration::from_secs(5), "somebody called", || Ok(heard.is_finished()))?;
    ensure!(heard.join().expect("the listener")? == "hi");
    Ok(())
}
