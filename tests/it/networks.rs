//! Networks of containers: none, the host's, another container's.

mod names;
mod users;

use crate::Case;
use crate::containers::DEMO;
use crate::env::TestEnv;
use crate::host::Need;
use crate::shared;
use crate::user::User;
use anyhow::{Result, ensure};
use serde_json::Value;
use std::io::Write;
use std::net::TcpListener;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("networks::none_host_and_containers", &[Need::Daemon], || modes(&*shared::env()?)),
        Case::new("networks::roots", &[Need::Daemon], || {
            let mut env = TestEnv::of(User::root())?;
            env.start()?;
            modes(&env)?;
            env.stop()
        }),
        Case::new("networks::refusals", &[Need::Daemon], refusals),
    ]
    .into_iter()
    .chain(users::cases())
    .chain(names::cases())
    .collect()
}

fn modes(env: &TestEnv) -> Result<()> {
    nothing_but_loopback(env)?;
    the_hosts(env)?;
    a_containers(env)
}

fn nothing_but_loopback(env: &TestEnv) -> Result<()> {
    let script =
        "ls /sys/class/net; cat /sys/class/net/lo/operstate; ip -o a | grep -c ' 127.0.0.1/8'; hostname";
    let said =
        env.ok(&["run", "--rm", "--network", "none", "--name", "nn", "-h", "x", DEMO, "sh", "-c", script])?;
    ensure!(said == "lo\nunknown\n1\nx", "{said}");
    let ran = env.k3c(&["run", "-d", "--net=none", "-p", "80", "--name", "nn", DEMO, "sleep", "1000"])?;
    ensure!(
        ran.stderr.contains("Published ports are discarded when using none network mode"),
        "{}",
        ran.stderr
    );
    let document: Value = serde_json::from_str(&env.ok(&["inspect", "nn"])?)?;
    let document = &document[0];
    ensure!(document["HostConfig"]["NetworkMode"] == "none", "{document}");
    ensure!(document["NetworkSettings"]["Networks"]["none"]["IPAddress"] == "", "{document}");
    ensure!(document["NetworkSettings"]["IPAddress"] == "", "{document}");
    ensure!(env.ok(&["ps", "-f", "name=nn", "--format", "{{.Networks}}{{.Ports}}"])? == "none");
    ensure!(env.ok(&["exec", "nn", "ls", "/sys/class/net"])? == "lo");
    env.ok(&["restart", "-t", "0", "nn"])?;
    ensure!(env.ok(&["exec", "nn", "ls", "/sys/class/net"])? == "lo");
    env.ok(&["rm", "-f", "nn"]).map(drop)
}

fn the_hosts(env: &TestEnv) -> Result<()> {
    let here = TcpListener::bind("127.0.0.1:0")?;
    let port = here.local_addr()?.port().to_string();
    let answer = std::thread::spawn(move || -> Result<()> {
        let (mut stream, _) = here.accept()?;
        Ok(writeln!(stream, "from the host")?)
    });
    let run = ["run", "--rm", "--network", "host", DEMO];
    let heard = env.ok(&[&run[..], &["nc", "127.0.0.1", &port]].concat());
    if heard.is_err() {
        // Nobody came: the thread is not to wait for ever.
        drop(std::net::TcpStream::connect(("127.0.0.1", port.parse()?)));
    }
    answer.join().expect("the listener")?;
    ensure!(heard? == "from the host");
    let own = std::fs::read_link("/proc/self/ns/net")?;
    let namespace = env.ok(&[&run[..], &["readlink", "/proc/self/ns/net"]].concat())?;
    ensure!(own.to_string_lossy() == namespace, "{namespace}");
    let name = nix::sys::utsname::uname()?.nodename().to_string_lossy().into_owned();
    ensure!(env.ok(&[&run[..], &["hostname"]].concat())? == name);
    ensure!(env.ok(&["run", "--rm", "--network=host", "-h", "x", DEMO, "hostname"])? == "x");
    ensure!(env.ok(&[&run[..], &["sh", "-c", "ls /sys/class/net | grep -c ."]].concat())? != "0");
    let names =
        env.ok(&["run", "--rm", "--network=host", "--add-host", "y:10.1.2.3", DEMO, "cat", "/etc/hosts"])?;
    let hosts = std::fs::read_to_string("/etc/hosts")?;
    ensure!(names.starts_with(hosts.trim_end()) && names.contains("10.1.2.3\ty"), "{names}");
    env.k3c(&["run", "--rm", "--network=host", "--sysctl", "net.ipv4.ip_forward=1", DEMO, "true"])?
        .fails(125, "sysctl 'net.ipv4.ip_forward' not allowed in host network namespace")?;
    Ok(())
}

fn a_containers(env: &TestEnv) -> Result<()> {
    env.ok(&["run", "-d", "--name", "of", "-h", "of-all", DEMO, "sleep", "1000"])?;
    let namespace = env.ok(&["exec", "of", "readlink", "/proc/self/ns/net"])?;
    env.ok(&["run", "-d", "--name", "in", "--network", "container:of", DEMO, "sleep", "1000"])?;
    let script = "readlink /proc/self/ns/net; hostname; cat /etc/hosts";
    let said = env.ok(&["exec", "in", "sh", "-c", script])?;
    let hosts = env.ok(&["exec", "of", "cat", "/etc/hosts"])?;
    ensure!(said == format!("{namespace}\nof-all\n{hosts}"), "{said}");
    let id = env.ok(&["inspect", "-f", "{{.Id}}", "of"])?;
    let document: Value = serde_json::from_str(&env.ok(&["inspect", "in"])?)?;
    ensure!(document[0]["HostConfig"]["NetworkMode"] == format!("container:{id}"));
    ensure!(document[0]["NetworkSettings"]["Networks"] == serde_json::json!({}));
    // Another name does not lead elsewhere, and who is not there cannot be joined.
    env.ok(&["rename", "of", "off"])?;
    env.ok(&["restart", "-t", "0", "in"])?;
    ensure!(env.ok(&["exec", "in", "readlink", "/proc/self/ns/net"])? == namespace);
    env.ok(&["stop", "-t", "0", "in", "off"])?;
    env.k3c(&["start", "in"])?
        .fails(1, &format!("failed to join network namespace: container {id} is not running"))?;
    env.ok(&["start", "off"])?;
    env.ok(&["start", "in"])?;
    let both = ["off", "in"].map(|name| env.ok(&["exec", name, "readlink", "/proc/self/ns/net"]));
    let [one, other] = both;
    ensure!(one? == other?);
    env.ok(&["rm", "-f", "in", "off"]).map(drop)
}

fn refusals() -> Result<()> {
    let env = shared::env()?;
    for (flags, text) in [
        (&["--network", "mine"][..], "network mine not found"),
        (&["--network", "container:nobody"], "No such container: nobody"),
        (&["--network", "container:"], "invalid network mode: container:: it names no container"),
        (&["--network", "name=mine"], "network mine not found"),
        (&["--network", "name=mine,alias=x"], "network mine not found"),
        (&["--network", "name=mine,colour=x"], "invalid field key colour"),
        (&["--network", "none", "--network", "host"], "cannot attach both user-defined and non-user-defined"),
        (&["--network", "bridge", "--network", "mine"], "network mine not found"),
        (&["--network", "host", "--ip", "10.0.0.2"], "conflicting options: addresses, aliases and links"),
        (&["--ip", "10.0.0.2"], "user specified IP address is supported on user defined networks only"),
        (&["--ip", "10.0.0.300"], "invalid IPv4 address: 10.0.0.300"),
        (&["--mac-address", "01:00:00:00:00:00"], "invalid MAC address"),
        (&["--link", "nobody:x"], "could not get container for nobody"),
        (&["--link", ":"], "bad format for links"),
    ] {
        env.k3c(&[&["run", "--rm"], flags, &[DEMO, "true"]].concat())?.fails(125, text)?;
    }
    env.ok(&["create", "--name", "refuses", DEMO, "true"])?;
    for (flags, what) in [
        (&["-h", "x"][..], "hostname and the network mode"),
        (&["--dns", "1.1.1.1"], "dns and the network mode"),
        (&["--add-host", "x:10.0.0.1"], "custom host-to-IP mapping and the network mode"),
        (&["-p", "80"], "port publishing and the container type network mode"),
        (&["--expose", "80"], "port exposing and the container type network mode"),
        (&["--sysctl", "net.core.somaxconn=1"], "sysctl net.core.somaxconn and the network mode"),
    ] {
        env.k3c(&[&["run", "--rm", "--network", "container:refuses"], flags, &[DEMO, "true"]].concat())?
            .fails(125, &format!("conflicting options: {what}"))?;
    }
    env.ok(&["rm", "refuses"]).map(drop)
}
