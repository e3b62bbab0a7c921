//! Published ports: from a client on a LAN, from the host and from containers, as an ordinary user and as root.

pub(crate) mod bed;
mod load;
mod rootlesskit;

use crate::Case;
use crate::containers::{DEMO, within};
use crate::host::Need;
use crate::pods::keeper;
use crate::proxy::{Pod, with_channel};
use anyhow::{Context, Result, ensure};
use bed::{Bed, HOST, HOST_6, LAN, LAN_6, SOON, address, answers, ask, connect, serve, serve_datagrams};
use k3c::proto::cri::{self, NamespaceOption, PortMapping};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

const NEEDS: &[Need] = &[Need::Daemon, Need::Program("ip"), Need::Program("nsenter")];

fn case(name: &'static str, run: fn() -> Result<()>) -> Case {
    Case::new(name, NEEDS, run)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("ports::published_and_shown", published_and_shown),
        case("ports::containers_see_their_clients", containers_see_their_clients),
        case("ports::refusals", refusals),
        case("ports::kills", kills),
        Case::new(
            "ports::rules_are_made_again",
            &[Need::Daemon, Need::Program("ip"), Need::Program("nsenter"), Need::Program("nft")],
            rules_are_made_again,
        ),
        case("ports::roots_ports", roots_ports),
        case("ports::pods_have_host_ports", pods_have_host_ports),
        case("ports::from_containers", || from_containers(&Bed::rootless(&[])?)),
        case("ports::from_roots_containers", || from_containers(&Bed::root(&[])?)),
    ];
    cases.extend(load::cases());
    cases.extend(rootlesskit::cases());
    cases
}

fn published_and_shown() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    let env = &bed.env;
    bed.run("web", &["-p", "8080:80", "-p", "127.0.0.1:5353:53/udp", "--expose", "9000"])?;
    serve(&bed, "web", 80)?;
    ensure!(
        env.ok(&["port", "web"])? == "53/udp -> 127.0.0.1:5353\n80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080"
    );
    ensure!(env.ok(&["port", "web", "80"])? == "0.0.0.0:8080\n[::]:8080");
    env.k3c(&["port", "web", "9000"])?.fails(1, "no public port '9000' published for web")?;
    let line = env.ok(&["ps", "--format", "{{.Ports}}"])?;
    let expected = "9000/tcp, 127.0.0.1:5353->53/udp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp";
    ensure!(line == expected, "{line}");
    for (filter, found) in [
        ("publish=8080", true),
        ("publish=8000-8100/tcp", true),
        ("publish=80", false),
        ("expose=9000", true),
        ("expose=53/udp", true),
        ("expose=53", false),
    ] {
        let names = env.ok(&["ps", "--filter", filter, "--format", "{{.Names}}"])?;
        ensure!((names == "web") == found, "{filter}: {names}");
    }
    let document: Value = serde_json::from_str(&env.ok(&["inspect", "web"])?)?;
    let document = &document[0];
    let both = json!([{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}]);
    for (pointer, expected) in [
        ("/NetworkSettings/Ports/80~1tcp", both),
        ("/NetworkSettings/Ports/53~1udp", json!([{"HostIp": "127.0.0.1", "HostPort": "5353"}])),
        ("/NetworkSettings/Ports/9000~1tcp", Value::Null),
        ("/HostConfig/PortBindings/80~1tcp", json!([{"HostIp": "", "HostPort": "8080"}])),
        ("/Config/ExposedPorts", json!({"53/udp": {}, "80/tcp": {}, "9000/tcp": {}})),
    ] {
        ensure!(document.pointer(pointer) == Some(&expected), "{pointer}: {document}");
    }
    ensure!(bed.lan(|| Ok(answers(HOST, 8080)))?);
    // What is stopped is not published, and its port is anybody's; started again it is.
    env.ok(&["stop", "-t", "0", "web"])?;
    ensure!(!bed.lan(|| Ok(answers(HOST, 8080)))?);
    ensure!(
        env.ok(&["port", "web"])?.is_empty() && env.ok(&["ps", "-a", "--format", "{{.Ports}}"])?.is_empty()
    );
    bed.run("other", &["-p", "8080:81"])?;
    env.k3c(&["start", "web"])?.fails(1, "Bind for 0.0.0.0:8080 failed: port is already allocated")?;
    env.ok(&["rm", "-f", "other"])?;
    env.ok(&["start", "web"])?;
    serve(&bed, "web", 80)?;
    ensure!(bed.lan(|| Ok(answers(HOST, 8080)))?);
    env.ok(&["restart", "-t", "0", "web"])?;
    serve(&bed, "web", 80)?;
    ensure!(bed.lan(|| Ok(answers(HOST, 8080)))?);
    // Any port that is free, and all that are exposed.
    bed.run("any", &["-P", "--expose", "80-81", "-p", "7000-7002:7"])?;
    bed.run("more", &["-p", "7000-7002:7"])?;
    let any = env.ok(&["port", "any"])?;
    ensure!(any.lines().count() == 6 && any.contains("7/tcp -> 0.0.0.0:7000"), "{any}");
    ensure!(env.ok(&["port", "more", "7"])? == "0.0.0.0:7001\n[::]:7001");
    let host = env.ok(&["port", "any", "81"])?;
    let host: u16 =
        host.lines().next().and_then(|line| line.rsplit(':').next()).context("no port")?.parse()?;
    serve(&bed, "any", 81)?;
    ensure!(bed.lan(move || Ok(answers(HOST, host)))?);
    bed.end()
}

fn containers_see_their_clients() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    bed.run("web", &["-p", "8080:80", "-p", "5353:53/udp"])?;
    see_clients(&bed)?;
    bed.end()?;
    // Turned off, all come from the gateway.
    let bed = Bed::rootless(&["--publish-source", "gateway"])?;
    bed.run("web", &["-p", "8080:80"])?;
    serve(&bed, "web", 80)?;
    for to in [HOST, HOST_6] {
        let (_, _, seen) = bed.lan(|| connect(to, 8080))?;
        ensure!(![LAN, LAN_6].map(address).contains(&seen.ip()), "{seen}");
    }
    bed.end()
}

/// What the container `web` sees of clients of its ports 8080 and 5353/udp.
fn see_clients(bed: &Bed) -> Result<()> {
    serve(bed, "web", 80)?;
    serve_datagrams(bed, "web", 53)?;
    for (to, client) in [(HOST, LAN), (HOST_6, LAN_6)] {
        let (_, own, seen) = bed.lan(|| connect(to, 8080))?;
        ensure!(own.ip() == address(client) && seen == own, "{seen}, not {own}");
        let (own, said) = bed.lan(|| {
            let socket = UdpSocket::bind((address(client), 0))?;
            Ok((socket.local_addr()?, ask(&socket, to, 5353, "hello")?))
        })?;
        ensure!(said == format!("{own} hello"), "{said}, not {own}");
    }
    // The host's loopback is no address that answers could come back to: the gateway's stands for it.
    for to in ["127.0.0.1", "::1"] {
        let (_, own, seen) = bed.host(|| connect(to, 8080))?;
        ensure!(seen.ip() != own.ip() && !seen.ip().is_loopback(), "{seen}");
    }
    Ok(())
}

fn refusals() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    let env = &bed.env;
    bed.run("one", &["-p", "8080:80"])?;
    let taken = "Bind for 0.0.0.0:8080 failed: port is already allocated";
    env.k3c(&["run", "-d", "--name", "two", "-p", "8080:80", DEMO, "sleep", "9"])?.fails(125, taken)?;
    ensure!(env.ok(&["inspect", "-f", "{{.State.Status}}", "two"])? == "created");
    // All or nothing: the port that could be had is free again.
    env.k3c(&["run", "-d", "-p", "8081:80", "-p", "8080:80", DEMO, "sleep", "9"])?.fails(125, taken)?;
    bed.run("three", &["-p", "8081:80"])?;
    let listener = bed.host(|| Ok(std::net::TcpListener::bind("0.0.0.0:8082")?))?;
    env.k3c(&["run", "-d", "-p", "8082:80", DEMO, "sleep", "9"])?.fails(125, "address already in use")?;
    drop(listener);
    bed.run("four", &["-p", "8082:80"])?;
    let said = env.k3c(&["run", "-d", "-p", "80:80", DEMO, "sleep", "9"])?;
    said.fails(125, "sysctl -w net.ipv4.ip_unprivileged_port_start=80")?;
    bed.host(|| Ok(std::fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "80")?))?;
    bed.run("five", &["-p", "80:80"])?;
    env.k3c(&["run", "-d", "-p", "192.0.2.77:9999:80", DEMO, "sleep", "9"])?
        .fails(125, "this host does not have the address 192.0.2.77")?;
    env.k3c(&["run", "-p", "80/sctp", DEMO])?.fails(125, "SCTP ports cannot be published")?;
    env.k3c(&["run", "-p", "x:80", DEMO])?.fails(125, "invalid hostPort: x")?;
    bed.end()
}

fn kills() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    let env = &bed.env;
    bed.run("web", &["-p", "8080:80"])?;
    bed.run("gone", &["-p", "8081:80"])?;
    serve(&bed, "web", 80)?;
    let (mut open, ..) = bed.lan(|| connect(HOST, 8080))?;
    let mut goes_on = || -> Result<()> {
        open.write_all(b"x")?;
        open.read_exact(&mut [0])?;
        Ok(())
    };
    for part in ["__engine", "containerd --config"] {
        env.kill_process(part)?;
        goes_on().context(part)?;
    }
    // An engine that comes up withdraws what ended meanwhile.
    within(SOON, "the next engine answers", || Ok(env.k3c(&["ps"])?.code == 0))?;
    let pid: i32 = env.ok(&["inspect", "-f", "{{.State.Pid}}", "gone"])?.parse()?;
    env.kill_process("__engine")?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)?;
    goes_on()?;
    within(SOON, "8081 is free", || bed.host(|| Ok(std::net::TcpListener::bind("0.0.0.0:8081").is_ok())))?;
    goes_on()?;
    // Killed itself, all ports are back in a moment.
    env.kill_process("__ports")?;
    let killed = Instant::now();
    while !bed.lan(|| Ok(answers(HOST, 8080)))? {
        ensure!(killed.elapsed() < Duration::from_secs(1), "not published again within a second");
    }
    ensure!(goes_on().is_err());
    bed.end()
}

fn rules_are_made_again() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    bed.run("web", &["-p", "8080:80"])?;
    serve(&bed, "web", 80)?;
    let nft = |args: &[&str]| {
        bed.bridge(|| {
            let output = std::process::Command::new("nft").args(args).output()?;
            ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        })
    };
    let before = nft(&["list", "table", "inet", "k3c-ports"])?;
    ensure!(before.contains("iifname \"k3c*\" socket transparent 1 meta mark set 0x00006b3c"), "{before}");
    for flush in [&["flush", "ruleset"][..], &["flush", "table", "inet", "k3c-ports"]] {
        nft(flush)?;
        within(SOON, "the table is back", || {
            Ok(nft(&["list", "table", "inet", "k3c-ports"]).is_ok_and(|t| t == before))
        })?;
        let (_, own, seen) = bed.lan(|| connect(HOST, 8080))?;
        ensure!(seen == own, "{seen}, not {own}");
    }
    let before = nft(&["list", "table", "inet", "k3c"])?;
    ensure!(before.contains("masquerade"), "{before}");
    nft(&["flush", "ruleset"])?;
    within(SOON, "the networks' table is back", || {
        Ok(nft(&["list", "table", "inet", "k3c"]).is_ok_and(|t| t == before))
    })?;
    bed.end()
}

fn roots_ports() -> Result<()> {
    let bed = Bed::root(&[])?;
    // Without it containers have no route of version 6 to other hosts, and see the gateway.
    bed.run("before", &["-p", "8081:80"])?;
    serve(&bed, "before", 80)?;
    let (_, own, seen) = bed.lan(|| connect(HOST_6, 8081))?;
    ensure!(seen.ip() != own.ip(), "{seen}");
    bed.env.ok(&["rm", "-f", "before"])?;
    bed.host(|| Ok(std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")?))?;
    bed.env.kill_process("__ports")?;
    bed.run("web", &["-p", "8080:80", "-p", "5353:53/udp", "-p", "80:80"])?;
    see_clients(&bed)?;
    ensure!(bed.lan(|| Ok(answers(HOST, 80)))?);
    let rules = bed::ip(&["-n", &bed.namespace("host"), "rule", "list"])?;
    ensure!(rules.contains("fwmark 0x6b3c"), "{rules}");
    bed.end()
}

/// Containers reach published ports by the host's address: another's, and their own.
fn from_containers(bed: &Bed) -> Result<()> {
    if bed.env.user.uid == 0 {
        // Without it containers have no route to other hosts.
        bed.host(|| Ok(std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")?))?;
    }
    bed.run("web", &["-p", "8080:80", "-p", "5353:53/udp"])?;
    bed.run("other", &[])?;
    serve(bed, "web", 80)?;
    serve_datagrams(bed, "web", 53)?;
    // An ordinary user's containers have no way out over version 6.
    let addresses = if bed.env.user.uid == 0 { vec![HOST, HOST_6] } else { vec![HOST] };
    for name in ["other", "web"] {
        for to in &addresses {
            let (mut stream, _, seen) = bed.container(name, || connect(to, 8080)).context(name)?;
            ensure!(!seen.ip().is_loopback(), "{seen}");
            stream.write_all(b"x")?;
            stream.read_exact(&mut [0])?;
            let any = if to.contains(':') { "::" } else { "0.0.0.0" };
            let said = bed.container(name, || ask(&UdpSocket::bind((any, 0))?, to, 5353, "hello"));
            ensure!(said.with_context(|| format!("{name} to {to}"))?.ends_with(" hello"));
        }
    }
    Ok(())
}

/// CRI's clients name ports of the host for their pods.
fn pods_have_host_ports() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    let wanting = |name: &str, host_port: i32| {
        Pod::run_with(&bed.env, name, NamespaceOption::default(), &|config| {
            let mapping = PortMapping { container_port: 80, host_port, ..Default::default() };
            config.port_mappings = vec![mapping];
        })
    };
    let pod = wanting("web", 8080)?;
    let pid = keeper(&bed.env, &pod.id)?;
    bed::serve_in(&format!("/proc/{pid}/ns/net"), 80)?;
    for to in [HOST, HOST_6] {
        let (_, own, seen) = bed.lan(|| connect(to, 8080))?;
        ensure!(seen == own, "{seen}, not {own}");
    }
    let Err(error) = wanting("other", 8080) else { anyhow::bail!("two pods have one port") };
    ensure!(format!("{error:#}").contains("port is already allocated"), "{error:#}");
    let pods = with_channel(&bed.env, async |channel| {
        let mut runtime = cri::runtime_service_client::RuntimeServiceClient::new(channel);
        Ok(runtime.list_pod_sandbox(cri::ListPodSandboxRequest::default()).await?.into_inner().items)
    })?;
    ensure!(pods.len() == 1 && pods[0].id == pod.id, "{pods:?}");
    bed.env
        .k3c(&["run", "-d", "-p", "8080:80", DEMO, "sleep", "9"])?
        .fails(125, "port is already allocated")?;
    // Each may be killed, and again while what was killed before is on its way up.
    for parts in [&["__engine", "__ports"][..], &["__ports", "__engine"], &["__ports", "__ports"]] {
        let mut killed = 0;
        for part in parts {
            // One that was killed is there for a moment still.
            within(SOON, "there is one", || Ok(bed.process(part).is_ok_and(|pid| pid != killed)))?;
            killed = bed.env.kill_process(part)?;
        }
        within(SOON, "the pod's port is back", || bed.lan(|| Ok(answers(HOST, 8080))))?;
    }
    pod.remove()?;
    ensure!(!bed.lan(|| Ok(answers(HOST, 8080)))?);
    bed.run("now", &["-p", "8080:80"])?;
    bed.end()
}
