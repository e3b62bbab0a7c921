//! Published ports beside podman's: rootlessport, and pasta. A client on a LAN, servers in containers; the same programs for
//! all sides, one side after the other in each round. And the memory that ports take which nobody uses.

use super::{Shell, memory, podman};
use crate::env::TestEnv;
use crate::ports::bed::{Bed, HOST, LAN, inside, ip};
use crate::report;
use anyhow::{Context, Result};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time of one measurement.
const TIME: Duration = Duration::from_secs(2);
/// Clients that connect again and again, and threads that accept.
const CLIENTS: usize = 8;
const ACCEPTING: usize = 4;
/// Bytes that are written at once.
const PIECE: usize = 128 << 10;
/// Ports that nobody uses.
const IDLE: u32 = 500;

/// Somebody who publishes ports.
struct Side {
    name: &'static str,
    /// The host's ports that lead to the containers' ports 80 and 81.
    short: SocketAddr,
    long: SocketAddr,
}

/// Runs the benchmarks.
pub(super) fn all(rounds: usize) -> Result<()> {
    let bed = Bed::rootless(&[])?;
    // pasta takes the addresses of who has the default route.
    ip(&["-n", &bed.namespace("host"), "route", "add", "default", "via", LAN])?;
    idle(&bed)?;
    let side = |name, first: u16| -> Result<Side> {
        let at = |port| SocketAddr::new(HOST.parse().unwrap_or_else(|_| [0, 0, 0, 0].into()), port);
        Ok(Side { name, short: at(first), long: at(first + 1) })
    };
    bed.run("web", &["-p", "18080:80", "-p", "18081:81"])?;
    let pid = bed.env.ok(&["inspect", "-f", "{{.State.Pid}}", "web"])?;
    serve(&pid)?;
    let mut sides = vec![side("k3c", 18080)?];
    let mut peer = podman(&["nsenter", &format!("--net=/run/netns/{}", bed.namespace("host"))]);
    match &mut peer {
        Ok(shell) => {
            idle_rootlessport(shell)?;
            for (name, network, first) in
                [("rootlessport", "slirp4netns:port_handler=rootlesskit", 28080), ("pasta", "pasta", 38080)]
            {
                let second = first + 1;
                shell.time(&format!(
                    "podman run -d --name {name} --network {network} -p {first}:80 -p {second}:81 k3c.local/demo sleep 1000"
                ))?;
                serve(&shell.said(&format!("podman inspect -f '{{{{.State.Pid}}}}' {name}"))?)?;
                sides.push(side(name, first)?);
            }
        }
        Err(why) => report(&format!("podman is left out: {why:#}")),
    }
    let measure: [(&str, &str, f64, Measure); 3] = [
        ("connections", "/s", 2.5, connections),
        ("from a container", "MiB/s", 1.0, download),
        ("to a container", "MiB/s", 1.0, upload),
    ];
    let names: Vec<&str> = sides.iter().map(|side| side.name).collect();
    report(&format!("\n| | {} | at least |\n|---|{}", names.join(" | "), "---|".repeat(names.len() + 1)));
    for (title, unit, least, what) in measure {
        let mut all = vec![Vec::new(); sides.len()];
        for _ in 0..rounds {
            for (side, figures) in sides.iter().zip(&mut all) {
                figures.push(bed.lan(|| what(side)).with_context(|| format!("{title}: {}", side.name))?);
            }
        }
        let medians: Vec<f64> = all.iter_mut().map(|figures| median(figures)).collect();
        let mut row = format!("| {title} |");
        for figure in &medians {
            row += &format!(" {figure:.0} {unit} ({:.2}) |", medians[0] / figure);
        }
        report(&format!("{row} {least} x rootlessport |"));
    }
    if let Ok(mut shell) = peer {
        shell.time("podman rm -fa -t 0")?;
    }
    bed.end()
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or_default()
}

/// Servers in a container: at 80 one that answers each connection's byte and ends it, at 81 one that sends or takes.
fn serve(pid: &str) -> Result<()> {
    let (short, long) = inside(&format!("/proc/{pid}/ns/net"), || {
        let listen = |port| -> Result<TcpListener> {
            let listener = TcpListener::bind(("0.0.0.0", port))?;
            rustix::net::listen(&listener, 1024)?;
            Ok(listener)
        };
        Ok((listen(80)?, listen(81)?))
    })?;
    for _ in 0..ACCEPTING {
        let listener = short.try_clone()?;
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                if stream.read_exact(&mut [0]).is_ok() {
                    let _ = stream.write_all(b"x");
                }
            }
        });
    }
    std::thread::spawn(move || {
        for stream in long.incoming().map_while(Result::ok) {
            std::thread::spawn(move || carry(stream));
        }
    });
    Ok(())
}

fn carry(mut stream: TcpStream) -> Result<()> {
    let mut word = [0];
    stream.read_exact(&mut word)?;
    let mut piece = vec![0; PIECE];
    if word[0] == b'd' {
        loop {
            stream.write_all(&piece)?;
        }
    }
    let mut all = 0_u64;
    loop {
        match stream.read(&mut piece)? {
            0 => break,
            count => all += count as u64,
        }
    }
    stream.write_all(&all.to_ne_bytes())?;
    Ok(())
}

/// Connections in a second, each with a byte there and a byte back.
fn connections(side: &Side) -> Result<f64> {
    let (done, began) = (AtomicU64::new(0), Instant::now());
    let client = || -> Result<()> {
        while began.elapsed() < TIME {
            let mut stream = TcpStream::connect(side.short)?;
            stream.set_read_timeout(Some(TIME * 5))?;
            stream.write_all(b"x")?;
            // The server ends it: the client's port can be used again at once.
            stream.read_to_end(&mut Vec::with_capacity(8))?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    let netns = std::fs::File::open("/proc/thread-self/ns/net")?;
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..CLIENTS)
            .map(|_| {
                scope.spawn(|| {
                    nix::sched::setns(&netns, nix::sched::CloneFlags::CLONE_NEWNET)?;
                    client()
                })
            })
            .collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("panicked"))?)
    })?;
    Ok(done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

fn download(side: &Side) -> Result<f64> {
    let mut stream = TcpStream::connect(side.long)?;
    stream.set_read_timeout(Some(TIME * 5))?;
    stream.write_all(b"d")?;
    let (mut piece, mut all, began) = (vec![0; PIECE], 0, Instant::now());
    while began.elapsed() < TIME {
        all += stream.read(&mut piece)?;
    }
    Ok(all as f64 / began.elapsed().as_secs_f64() / f64::from(1 << 20))
}

fn upload(side: &Side) -> Result<f64> {
    let mut stream = TcpStream::connect(side.long)?;
    stream.set_read_timeout(Some(TIME * 5))?;
    stream.write_all(b"u")?;
    let (piece, began) = (vec![0; PIECE], Instant::now());
    while began.elapsed() < TIME {
        stream.write_all(&piece)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut taken = [0; 8];
    stream.read_exact(&mut taken)?;
    Ok(u64::from_ne_bytes(taken) as f64 / began.elapsed().as_secs_f64() / f64::from(1 << 20))
}

/// Memory of the process for ports without and with ports that nobody uses.
fn idle(bed: &Bed) -> Result<()> {
    let private = |env: &TestEnv| -> Result<u64> {
        std::thread::sleep(memory::REST);
        Ok(memory::value(env.process("__ports")?, "smaps_rollup", "Private_"))
    };
    // One port makes what is made once.
    bed.run("first", &["-p", "17999:80"])?;
    let without = private(&bed.env)?;
    bed.run("idle", &["-p", &format!("20000-{}:1000-{}", 19999 + IDLE, 999 + IDLE)])?;
    let with = private(&bed.env)?;
    bed.env.ok(&["rm", "-f", "first", "idle"])?;
    let each = with.saturating_sub(without) as f64 / f64::from(IDLE);
    report(&format!(
        "private memory of the process for ports: {without} KiB with one, {with} KiB with {IDLE} more: {each:.1} KiB each \
         (at most 50)"
    ));
    Ok(())
}

fn idle_rootlessport(shell: &mut Shell) -> Result<()> {
    let (first, last) = (30000, 29999 + IDLE);
    let to = 999 + IDLE;
    shell.time(&format!(
        "podman run -d --name idle --network slirp4netns:port_handler=rootlesskit -p {first}-{last}:1000-{to} \
         k3c.local/demo sleep 1000"
    ))?;
    std::thread::sleep(memory::REST);
    let pids = shell.said("echo $(pgrep rootlessport)")?;
    let sum: u64 = pids
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .map(|pid| memory::value(pid, "smaps_rollup", "Private_"))
        .sum();
    report(&format!("private memory of rootlessport: {sum} KiB with {IDLE} ports"));
    shell.time("podman rm -f -t 0 idle").map(drop)
}

/// A figure of one side.
type Measure = fn(&Side) -> Result<f64>;
