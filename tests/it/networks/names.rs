//! What containers are called, for whom, and who is asked for all other names.

use super::users::{address, run};
use crate::Case;
use crate::containers::within;
use crate::env::TestEnv;
use crate::host::Need;
use crate::ports::bed::{Bed, SOON};
use crate::shared;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const NEEDS: &[Need] = &[Need::Daemon, Need::Program("ip"), Need::Program("nsenter")];

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("networks::names", &[Need::Daemon], || names(&*shared::env()?)),
        Case::new("networks::other_names", NEEDS, other_names),
        Case::new("networks::roots_names", NEEDS, || {
            let bed = Bed::root(&[])?;
            names(&bed.env)?;
            bed.end()
        }),
        Case::new("networks::hosts_loopback", NEEDS, hosts_loopback),
        Case::new("networks::names_outlive", &[Need::Daemon], names_outlive),
    ]
}

/// Addresses of a name, as a container hears them.
fn asked(env: &TestEnv, from: &str, name: &str) -> Result<BTreeSet<String>> {
    let ran = env.k3c(&["exec", from, "nslookup", name])?;
    let heard = ran.stdout.split_once("\n\n").map_or("", |(_, heard)| heard).lines();
    Ok(heard.filter_map(|line| line.strip_prefix("Address: ")).map(str::to_owned).collect())
}

fn names(env: &TestEnv) -> Result<()> {
    env.ok(&["network", "create", "named"])?;
    env.ok(&["network", "create", "--internal", "hidden"])?;
    run(env, "web-a", &["--network", "named", "--network-alias", "Web"])?;
    run(env, "web-b", &["--network", "name=named,alias=web", "--network", "hidden", "-h", "other"])?;
    run(env, "alone", &[])?;
    run(env, "inner", &["--network", "hidden"])?;
    let id = env.ok(&["inspect", "-f", "{{.Id}}", "web-b"])?;
    let place = |name: &str, network: &str| -> Result<[String; 2]> {
        let field = |field: &str| {
            let template = format!("{{{{(index .NetworkSettings.Networks {network:?}).{field}}}}}");
            env.ok(&["inspect", "-f", &template, name])
        };
        Ok([field("IPAddress")?, field("GlobalIPv6Address")?])
    };
    let (one, two) = (place("web-a", "named")?, place("web-b", "named")?);
    let (hidden, default) = (place("web-b", "hidden")?, place("alone", "bridge")?);
    let all = |parts: &[&[String; 2]]| -> BTreeSet<String> {
        parts.iter().flat_map(|part| part.iter().cloned()).collect()
    };
    // Who has just been started is in the directory a moment later.
    within(SOON, "the last one has a name", || Ok(!asked(env, "inner", "inner")?.is_empty()))?;
    for (from, name, expected) in [
        ("web-a", "web-b", all(&[&two])),
        ("web-a", "WEB-B.", all(&[&two])),
        ("web-a", "web-b.named", all(&[&two])),
        ("web-a", &id[..12], all(&[&two])),
        ("web-a", "other", all(&[&two])),
        ("web-a", "web", all(&[&one, &two])),
        ("web-b", "web-a", all(&[&one])),
        ("inner", "web-b", all(&[&hidden])),
        ("web-a", "inner", all(&[])),
        ("web-a", "alone", all(&[])),
        ("alone", "web-a", all(&[])),
        ("alone", "alone", all(&[&default])),
    ] {
        let heard = asked(env, from, name)?;
        ensure!(heard == expected, "{from} {name}: {heard:?}");
    }
    ensure!(env.ok(&["exec", "web-a", "nslookup", &two[0]])?.contains("name = web-b.named"));
    ensure!(env.k3c(&["exec", "web-a", "ping", "-c1", "-W1", "web-b"])?.code == 0);
    // Also with its very first question.
    for _ in 0..5 {
        let first = ["run", "--rm", "--network", "named", crate::containers::DEMO, "nslookup", "web-b"];
        ensure!(env.ok(&first)?.contains(&two[0]));
    }
    // From an internal network nobody outside is asked.
    let outside = env.k3c(&["exec", "inner", "nslookup", "example.org"])?;
    ensure!(outside.stdout.contains("REFUSED"), "{}", outside.stdout);
    // Networks, names and containers change while they run.
    env.ok(&["network", "connect", "--alias", "late", "named", "alone"])?;
    within(SOON, "a name after a connect", || Ok(asked(env, "web-a", "late")?.len() == 2))?;
    ensure!(asked(env, "alone", "web-a")? == all(&[&one]));
    env.ok(&["rename", "web-a", "web-c"])?;
    within(SOON, "a new name", || Ok(asked(env, "alone", "web-c")? == all(&[&one])))?;
    ensure!(asked(env, "alone", "web-a")?.is_empty());
    env.ok(&["stop", "-t", "0", "web-b"])?;
    within(SOON, "one less", || Ok(asked(env, "web-c", "web")? == all(&[&one])))?;
    // A link is a name for one alone.
    run(env, "linked", &["--network", "named", "--link", "web-c:db"])?;
    within(SOON, "a link", || Ok(asked(env, "linked", "db")? == all(&[&one])))?;
    ensure!(asked(env, "web-c", "db")?.is_empty());
    env.ok(&["rm", "-f", "web-b", "web-c", "alone", "inner", "linked"])?;
    env.ok(&["network", "rm", "named", "hidden"]).map(drop)
}

/// Answers questions for addresses with 203.0.113.1, by datagrams as many as there are streams, with so many records.
fn answer(question: &[u8], records: u16, cut: bool) -> Vec<u8> {
    // The question ends with its kind and its class, behind the name.
    let name = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap_or_default() + 1;
    let end = name + 4;
    let four = question.get(name..name + 2) == Some(&[0, 1]);
    let records = if four && !cut { records } else { 0 };
    let mut said = question[..2].to_vec();
    said.extend([0x80 | 1 | if cut { 2 } else { 0 }, 0x80, 0, 1]);
    said.extend(records.to_be_bytes());
    said.extend([0, 0, 0, 0]);
    said.extend(&question[12..end]);
    for number in 0..records {
        let [high, low] = number.to_be_bytes();
        said.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, high, 113, low]);
    }
    said
}

/// The host's name servers, those that a container names, datagrams and streams, and one that says nothing.
fn other_names() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    let env = &bed.env;
    // The name server reads the host's file as it is at that moment: it is replaced for the instance alone.
    let holder = bed.process("__names")?;
    let etc = |text: &str| -> Result<()> {
        let file = env.data_dir().join("resolv.conf");
        fs::write(&file, text)?;
        let status = std::process::Command::new("nsenter")
            .args(["-t", &holder.to_string(), "-m", "mount", "--bind"])
            .args([&file, std::path::Path::new("/etc/resolv.conf")])
            .status()?;
        ensure!(status.success());
        Ok(())
    };
    run(env, "asks", &[])?;
    let ask = |name: &str| env.k3c(&["exec", "asks", "nslookup", "-type=a", name]);
    etc("nameserver 127.0.0.9\nnameserver 127.0.0.1\n")?;
    let (datagrams, streams, silent) = bed.host(|| {
        let at = "127.0.0.1:53";
        Ok((UdpSocket::bind(at)?, TcpListener::bind(at)?, UdpSocket::bind("127.0.0.9:53")?))
    })?;
    std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((length, from)) = datagrams.recv_from(&mut buffer) {
            let question = &buffer[..length];
            let cut = question.windows(4).any(|part| part == b"long");
            if datagrams.send_to(&answer(question, 2, cut), from).is_err() {
                return;
            }
        }
    });
    let over = Arc::new(AtomicBool::new(false));
    let stop = over.clone();
    let listener = std::thread::spawn(move || {
        while let Ok((mut stream, _)) = streams.accept() {
            if stop.load(Ordering::SeqCst) {
                return;
            }
            let mut length = [0; 2];
            let mut question = vec![0; 2000];
            if stream.read_exact(&mut length).is_err() {
                continue;
            }
            question.truncate(u16::from_be_bytes(length).into());
            if stream.read_exact(&mut question).is_err() {
                continue;
            }
            let said = answer(&question, 1000, false);
            let length = u16::try_from(said.len()).unwrap_or_default().to_be_bytes();
            let _ = stream.write_all(&[&length[..], &said].concat());
        }
    });
    // The first says nothing, and the second is asked.
    let begun = Instant::now();
    let ran = ask("a.example.org")?;
    ensure!(ran.stdout.contains("Address: 203.0.113.1"), "{} {}", ran.stdout, ran.stderr);
    ensure!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    // A change of the host's settings is seen at once.
    etc("nameserver 127.0.0.1\n")?;
    let begun = Instant::now();
    ensure!(ask("b.example.org")?.code == 0 && begun.elapsed() < Duration::from_secs(2));
    // What is too long for a datagram comes by a stream.
    let gateway = env.ok(&["network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "bridge"])?;
    let whole = bed.container("asks", || {
        let mut stream = std::net::TcpStream::connect((gateway.as_str(), 53))?;
        stream.set_read_timeout(Some(SOON))?;
        let question = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04long\x07example\0\0\x01\0\x01";
        let length = u16::try_from(question.len())?.to_be_bytes();
        stream.write_all(&[&length[..], question].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut whole = vec![0; u16::from_be_bytes(length).into()];
        stream.read_exact(&mut whole)?;
        Ok(whole)
    })?;
    ensure!(whole[..2] == [0x12, 0x34] && whole.len() > 16_000, "{} bytes", whole.len());
    // Servers of one's own are asked from the containers' side: this one is a container.
    env.ok(&["network", "create", "served"])?;
    run(env, "server", &["--network", "served"])?;
    let server = address(env, "server", "served")?;
    let own = bed.container("server", || Ok(UdpSocket::bind("0.0.0.0:53")?))?;
    std::thread::spawn(move || {
        let mut buffer = [0; 2000];
        while let Ok((length, from)) = own.recv_from(&mut buffer) {
            if own.send_to(&answer(&buffer[..length], 1, false), from).is_err() {
                return;
            }
        }
    });
    let flags = ["run", "--rm", "--network", "served", "--dns", &server];
    let ran =
        env.ok(&[&flags[..], &[crate::containers::DEMO, "nslookup", "-type=a", "c.example.org"]].concat())?;
    ensure!(ran.contains("Address: 203.0.113.0"), "{ran}");
    // Nobody answers: an error, in the time in which who asks waits for one.
    etc("nameserver 127.0.0.9\n")?;
    let begun = Instant::now();
    let ran = ask("d.example.org")?;
    ensure!(ran.code != 0 && begun.elapsed() < Duration::from_secs(12), "{}", ran.stdout);
    ensure!(asked(env, "asks", "asks")?.len() == 2);
    drop(silent);
    over.store(true, Ordering::SeqCst);
    bed.host(|| Ok(std::net::TcpStream::connect("127.0.0.1:53")?)).map(drop)?;
    listener.join().expect("the listener");
    bed.end()
}

/// What listens on the host's loopback is reached only where that is allowed.
fn hosts_loopback() -> Result<()> {
    for allowed in [false, true] {
        let bed = Bed::rootless(if allowed { &["--host-loopback"] } else { &[] })?;
        let env = &bed.env;
        let here = bed.host(|| Ok(TcpListener::bind("127.0.0.1:7000")?))?;
        here.set_nonblocking(true)?;
        run(env, "asks", &[])?;
        let ask = |who: &str| env.k3c(&["exec", "asks", "nc", "-w", "2", who, "7000"]);
        if !allowed {
            ensure!(ask("10.0.2.2")?.code != 0 && ask("host.docker.internal")?.code != 0);
            ensure!(here.accept().is_err(), "somebody came");
            env.k3c(&["run", "--rm", "--add-host", "up:host-gateway", crate::containers::DEMO, "true"])?.fails(
                125,
                "--add-host up:host-gateway: containers may not reach the host's loopback: start the daemon with \
                 --host-loopback",
            )?;
            drop(here);
            bed.end()?;
            continue;
        }
        here.set_nonblocking(false)?;
        let answers = std::thread::spawn(move || -> Result<()> {
            for _ in 0..3 {
                writeln!(here.accept()?.0, "from the host")?;
            }
            Ok(())
        });
        run(env, "named", &["--add-host", "up:host-gateway"])?;
        within(SOON, "the name server knows it", || Ok(!asked(env, "named", "named")?.is_empty()))?;
        for (from, name) in [("asks", "host.docker.internal"), ("asks", "host.k3c.internal"), ("named", "up")]
        {
            let heard = env.ok(&["exec", from, "nc", "-w", "2", name, "7000"])?;
            ensure!(heard == "from the host", "{name}: {heard}");
        }
        answers.join().expect("the listener")?;
        env.ok(&["network", "create", "--internal", "inner"])?;
        run(env, "inner", &["--network", "inner"])?;
        ensure!(env.k3c(&["exec", "inner", "nc", "-w", "2", "10.0.2.2", "7000"])?.code != 0);
        bed.end()?;
    }
    Ok(())
}

/// Engine and name server killed: the names stay.
fn names_outlive() -> Result<()> {
    let env = TestEnv::started()?;
    env.ok(&["network", "create", "n"])?;
    run(&env, "one", &["--network", "n"])?;
    run(&env, "two", &["--network", "n"])?;
    within(SOON, "a name", || Ok(!asked(&env, "one", "two")?.is_empty()))?;
    env.kill_process("__names")?;
    within(Duration::from_secs(5), "a name again", || Ok(!asked(&env, "one", "two")?.is_empty()))?;
    // Without an engine nothing can be executed in a container by us; the process of it asks by itself.
    let pid: i32 = env.ok(&["inspect", "-f", "{{.State.Pid}}", "one"])?.parse()?;
    ensure!(pid > 0, "no process");
    env.kill_process("__engine")?;
    within(SOON, "a name with the next engine", || {
        Ok(env.k3c(&["ps"])?.code == 0 && !asked(&env, "one", "two")?.is_empty())
    })?;
    env.ok(&["rm", "-f", "two"])?;
    within(SOON, "no name", || Ok(asked(&env, "one", "two")?.is_empty()))?;
    let file = env.run_dir().join("names.json");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    ensure!(text.contains("\"one\"") && !text.contains("\"two\""), "{text}");
    Ok(())
}
