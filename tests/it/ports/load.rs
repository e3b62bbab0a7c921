//! Ports under load: many connections, ends of each kind, floods, kills.

use super::bed::{Bed, HOST, HOST_6, LAN, SOON, answers, ask, connect, serve, serve_datagrams};
use super::case;
use crate::Case;
use crate::containers::within;
use anyhow::{Context, Result, ensure};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Connections that are open at once, where the limit of descriptors allows it.
const MANY: usize = 10_000;
/// Short connections, of each of some clients.
const SHORT: usize = 5_000;
const CLIENTS: usize = 4;
const MINUTE: Duration = Duration::from_secs(60);
/// Descriptors that a process keeps after work: pipes for the next connections.
const SPARE: usize = 80;

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("ports::ends_are_passed_on", ends_are_passed_on),
        case("ports::thousands_of_connections", thousands_of_connections),
        case("ports::silent_clients_are_forgotten", silent_clients_are_forgotten),
        case("ports::a_container_that_does_not_accept", a_container_that_does_not_accept),
        case("ports::two_hundred_ports", two_hundred_ports),
        case("ports::killed_under_load", killed_under_load),
    ]
}

/// Descriptors of the process for ports.
fn descriptors(bed: &Bed) -> Result<usize> {
    let pid = bed.process("__ports")?;
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

fn ends_are_passed_on() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    bed.run("web", &["-p", "8080:80", "-p", "8081:81", "-p", "8082:82"])?;
    serve(&bed, "web", 80)?;
    for to in [HOST, HOST_6] {
        // Much goes both ways, and the end of one way is not the end of the other.
        let (mut stream, ..) = bed.lan(|| connect(to, 8080))?;
        let sent: Vec<u8> =
            (0..20_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut writer = stream.try_clone()?;
        let text = sent.clone();
        let writing = std::thread::spawn(move || {
            writer.write_all(&text)?;
            writer.shutdown(Shutdown::Write)
        });
        let mut came = Vec::new();
        stream.read_to_end(&mut came)?;
        writing.join().map_err(|_| anyhow::anyhow!("panicked"))??;
        ensure!(came == sent, "{} bytes came of {}", came.len(), sent.len());
    }
    // The kernel asks silent peers whether they are there: the client's and the container's.
    let idle = bed.lan(|| connect(HOST, 8080))?;
    let here = bed.host(|| asked_when_silent(8080))?;
    let inside = bed.bridge(|| asked_when_silent(80))?;
    ensure!(here && inside, "keep-alive: {here}, {inside}");
    drop(idle);
    // A server that cuts.
    let listener = bed.container("web", || Ok(TcpListener::bind(("::", 81))?))?;
    let mut client = bed.lan(|| Ok(TcpStream::connect((HOST, 8081))?))?;
    client.set_read_timeout(Some(SOON))?;
    let (server, _) = listener.accept()?;
    rustix::net::sockopt::set_socket_linger(server.as_fd(), Some(Duration::ZERO))?;
    drop(server);
    let error = client.read(&mut [0]).err().context("no error")?;
    ensure!(error.kind() == std::io::ErrorKind::ConnectionReset, "{error}");
    // A client that cuts.
    let client = bed.lan(|| Ok(TcpStream::connect((HOST, 8081))?))?;
    let (mut server, _) = listener.accept()?;
    server.set_read_timeout(Some(SOON))?;
    rustix::net::sockopt::set_socket_linger(client.as_fd(), Some(Duration::ZERO))?;
    drop(client);
    let error = server.read(&mut [0]).err().context("no error")?;
    ensure!(error.kind() == std::io::ErrorKind::ConnectionReset, "{error}");
    // Nobody listens.
    let mut client = bed.lan(|| Ok(TcpStream::connect((HOST, 8082))?))?;
    client.set_read_timeout(Some(SOON))?;
    let error = client.read(&mut [0]).err().context("no error")?;
    ensure!(error.kind() == std::io::ErrorKind::ConnectionReset, "{error}");
    // A server of version 4 only is reached over version 6.
    let listener = bed.container("web", || Ok(TcpListener::bind(("0.0.0.0", 82))?))?;
    let mut client = bed.lan(|| Ok(TcpStream::connect((HOST_6, 8082))?))?;
    client.set_read_timeout(Some(SOON))?;
    let (mut server, _) = listener.accept()?;
    server.write_all(b"x")?;
    client.read_exact(&mut [0])?;
    bed.end()
}

/// Whether connections of this port, of either end, are watched by the kernel's timer for keep-alive.
fn asked_when_silent(port: u16) -> Result<bool> {
    let text = fs::read_to_string("/proc/thread-self/net/tcp")?;
    let ours = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[3] == "01" && fields[1..3].iter().any(|end| end.ends_with(&format!(":{port:04X}")))
    };
    let mut lines = text.lines().skip(1).filter(ours).peekable();
    Ok(lines.peek().is_some()
        && lines.all(|line| line.split_whitespace().nth(5).is_some_and(|t| t.starts_with("02:"))))
}

fn thousands_of_connections() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    // As many as the host lets one process have: each is two descriptors there, and here.
    let many = MANY.min(usize::try_from(hard)?.saturating_sub(1000) / 2);
    let bed = Bed::rootless(&[])?;
    // The client's ports rest for a minute after use.
    bed.lan(|| Ok(fs::write("/proc/sys/net/ipv4/ip_local_port_range", "1024 65535")?))?;
    bed.run("web", &["-p", "8080:80", "-p", "8081:81"])?;
    let listener = bed.container("web", || Ok(TcpListener::bind(("::", 80))?))?;
    let accepting = std::thread::spawn(move || accept(&listener, many));
    // The first connection makes what is made once.
    serve(&bed, "web", 81)?;
    ensure!(bed.lan(|| Ok(answers(HOST, 8081)))?);
    let before = descriptors(&bed)?;
    let mut clients = Vec::new();
    bed.lan(|| {
        for number in 0..many {
            clients.push(TcpStream::connect((HOST, 8080)).with_context(|| format!("connection {number}"))?);
        }
        Ok(())
    })?;
    let mut servers = accepting.join().map_err(|_| anyhow::anyhow!("panicked"))??;
    let open = descriptors(&bed)?;
    ensure!(open + SPARE >= before + 2 * many, "{open} descriptors for {many} connections");
    ensure!(bed.lan(|| Ok(answers(HOST, 8081)))?);
    for client in clients.iter_mut().step_by(997) {
        client.write_all(b"x")?;
    }
    let mut seen = 0;
    within(SOON, "all have arrived", || {
        for server in &mut servers {
            seen += usize::from(server.read(&mut [0]).is_ok());
        }
        Ok(seen == many.div_ceil(997))
    })?;
    drop((clients, servers));
    within(SOON, "all descriptors are free", || Ok(descriptors(&bed)? <= before + SPARE))?;
    // Short ones, with all that belongs to them.
    bed.lan(|| {
        std::thread::scope(|scope| {
            let short = || (0..SHORT).all(|_| answers(HOST, 8081));
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(short)).collect();
            let good = clients.into_iter().all(|client| client.join().is_ok_and(|good| good));
            ensure!(good, "a connection failed");
            Ok(())
        })
    })?;
    within(SOON, "all descriptors are free", || Ok(descriptors(&bed)? <= before + SPARE))?;
    bed.end()
}

/// Accepts so many connections; fewer in a minute are an error.
fn accept(listener: &TcpListener, many: usize) -> Result<Vec<TcpStream>> {
    listener.set_nonblocking(true)?;
    let mut all = Vec::new();
    within(MINUTE, &format!("{many} connections"), || {
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            all.push(stream);
        }
        Ok(all.len() == many)
    })
    .with_context(|| format!("{} of {many} have arrived", all.len()))?;
    Ok(all)
}

/// Clients of UDP are forgotten after a silence, sooner those that were never answered.
fn silent_clients_are_forgotten() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    bed.run("web", &["-p", "5353:53/udp", "-p", "5354:54/udp"])?;
    serve_datagrams(&bed, "web", 53)?;
    let _deaf = bed.container("web", || Ok(UdpSocket::bind(("::", 54))?))?;
    let answered = bed.lan(|| Ok(UdpSocket::bind((LAN, 0))?))?;
    ask(&answered, HOST, 5353, "hello")?;
    let before = descriptors(&bed)?;
    let silent: Vec<UdpSocket> =
        bed.lan(|| (0..150).map(|_| Ok(UdpSocket::bind((LAN, 0))?)).collect::<Result<_>>())?;
    for socket in &silent {
        socket.send_to(b"x", (HOST, 5354))?;
    }
    within(SOON, "each has a socket", || Ok(descriptors(&bed)? == before + silent.len()))?;
    within(Duration::from_secs(40), "they are forgotten", || Ok(descriptors(&bed)? == before))?;
    // One that was answered is not: it is the same client to the server.
    let said = ask(&answered, HOST, 5353, "again")?;
    ensure!(said == format!("{} again", answered.local_addr()?), "{said}");
    ensure!(descriptors(&bed)? == before);
    bed.end()
}

/// CPU time of a process, in hundredths of a second.
fn cpu(pid: i32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

fn a_container_that_does_not_accept() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    bed.run("web", &["-p", "8080:80", "-p", "8081:81"])?;
    // It has a queue, and nobody takes from it.
    let _deaf = bed.container("web", || Ok(TcpListener::bind(("::", 80))?))?;
    serve(&bed, "web", 81)?;
    ensure!(bed.lan(|| Ok(answers(HOST, 8081)))?);
    let to: SocketAddr = format!("{HOST}:8080").parse()?;
    let flood = bed.lan(|| {
        let mut all = Vec::new();
        for _ in 0..5000 {
            let socket = rustix::net::socket_with(
                rustix::net::AddressFamily::INET,
                rustix::net::SocketType::STREAM,
                rustix::net::SocketFlags::NONBLOCK | rustix::net::SocketFlags::CLOEXEC,
                None,
            )?;
            let _ = rustix::net::connect(&socket, &to);
            all.push(socket);
        }
        Ok(all)
    })?;
    // Others are served as if nothing were.
    for _ in 0..20 {
        let began = Instant::now();
        ensure!(bed.lan(|| Ok(answers(HOST, 8081)))? && began.elapsed() < Duration::from_secs(5));
    }
    let pid = bed.process("__ports")?;
    let before = cpu(pid)?;
    std::thread::sleep(Duration::from_secs(2));
    let spent = cpu(pid)? - before;
    ensure!(spent < 60, "it spins: {spent} hundredths of a second in two seconds");
    drop(flood);
    // What waits for the container is bounded, and so is its time.
    ensure!(descriptors(&bed)? < 2 * (128 + 256) + 200);
    bed.end()
}

fn two_hundred_ports() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    let one = |number: usize| -> Result<()> {
        let name = format!("c{number}");
        let first = 9000 + 10 * number;
        let range = format!("{first}-{}:80-89", first + 9);
        for _ in 0..2 {
            bed.run(&name, &["-p", &range])?;
            let shown = bed.env.ok(&["port", &name])?;
            ensure!(shown.lines().count() == 20, "{shown}");
            bed.env.ok(&["rm", "-f", &name])?;
        }
        bed.run(&name, &["-p", &range])
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..20).map(|number| scope.spawn(move || one(number))).collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("panicked"))?)
    })?;
    for number in [0, 7, 19] {
        serve(&bed, &format!("c{number}"), 85)?;
        let port = u16::try_from(9005 + 10 * number)?;
        ensure!(bed.lan(|| Ok(answers(HOST, port)))?, "{port}");
    }
    bed.end()
}

fn killed_under_load() -> Result<()> {
    let bed = Bed::rootless(&[])?;
    bed.run("web", &["-p", "8080:80"])?;
    serve(&bed, "web", 80)?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let load = || {
            bed.lan(|| {
                while !over.load(Ordering::Relaxed) {
                    answers(HOST, 8080);
                }
                Ok(())
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(load)).collect();
        let mut outcome = Ok(());
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(300));
            outcome = bed.env.kill_process("__ports").and_then(|_| {
                let killed = Instant::now();
                while !bed.lan(|| Ok(answers(HOST, 8080)))? {
                    ensure!(killed.elapsed() < Duration::from_secs(1), "not there within a second");
                }
                Ok(())
            });
            if outcome.is_err() {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().map_err(|_| anyhow::anyhow!("panicked"))??;
        }
        outcome
    })?;
    bed.end()
}
