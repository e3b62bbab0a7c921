//! A host of a test's own, by a network namespace, and a client beside it on a small LAN.

use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::user::User;
use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Addresses of the host and of the client.
pub(crate) const HOST: &str = "192.0.2.1";
pub(crate) const LAN: &str = "192.0.2.9";
pub(crate) const HOST_6: &str = "2001:db8:77::1";
pub(crate) const LAN_6: &str = "2001:db8:77::9";

/// Time for what must come at once.
pub(crate) const SOON: Duration = Duration::from_secs(10);

static COUNT: AtomicU32 = AtomicU32::new(0);

/// An instance in a host of its own. Dropping it removes the namespaces.
pub(crate) struct Bed {
    pub(crate) env: TestEnv,
    prefix: String,
}

impl Bed {
    /// With an ordinary user's daemon, and these arguments for it.
    pub(crate) fn rootless(args: &[&str]) -> Result<Self> {
        Self::start(TestEnv::new()?, args)
    }

    /// With root's daemon.
    pub(crate) fn root(args: &[&str]) -> Result<Self> {
        Self::start(TestEnv::of(User::root())?, args)
    }

    fn start(env: TestEnv, args: &[&str]) -> Result<Self> {
        let prefix = format!("k3cports{}-{}-", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut bed = Self { env, prefix };
        let (host, lan) = (bed.namespace("host"), bed.namespace("lan"));
        for name in [&host, &lan] {
            ip(&["netns", "add", name])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
        }
        ip(&["-n", &host, "link", "add", "lan0", "type", "veth", "peer", "name", "eth0", "netns", &lan])?;
        for (name, device, four, six) in [(&host, "lan0", HOST, HOST_6), (&lan, "eth0", LAN, LAN_6)] {
            ip(&["-n", name, "address", "add", &format!("{four}/24"), "dev", device])?;
            ip(&["-n", name, "address", "add", &format!("{six}/64"), "dev", device, "nodad"])?;
            ip(&["-n", name, "link", "set", device, "up"])?;
        }
        let become_user = match bed.env.user.uid {
            0 => "",
            _ => "setpriv --reuid $U --regid $G --init-groups",
        };
        bed.env.prelude = format!("exec nsenter --net=/run/netns/{host} {become_user} \"$@\"");
        bed.env.spawn(args)?;
        bed.env.answers(Duration::from_secs(60))?;
        Ok(bed)
    }

    /// The name of a namespace.
    pub(crate) fn namespace(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Runs something on the client.
    pub(crate) fn lan<T: Send>(&self, what: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        inside(&format!("/run/netns/{}", self.namespace("lan")), what)
    }

    /// Runs something on the host.
    pub(crate) fn host<T: Send>(&self, what: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        inside(&format!("/run/netns/{}", self.namespace("host")), what)
    }

    /// Runs something in a container's network namespace.
    pub(crate) fn container<T: Send>(
        &self,
        name: &str,
        what: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        let pid = self.env.ok(&["inspect", "-f", "{{.State.Pid}}", name])?;
        inside(&format!("/proc/{pid}/ns/net"), what)
    }

    /// Runs something where the containers' bridge is.
    pub(crate) fn bridge<T: Send>(&self, what: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        if self.env.user.uid == 0 {
            return self.host(what);
        }
        let holder = self.process("__holder")?;
        let netns = self.env.run_dir().join("rootlesskit/netns");
        inside(&format!("/proc/{holder}/root{}", netns.display()), what)
    }

    /// The process whose command line has `part` in it.
    pub(crate) fn process(&self, part: &str) -> Result<i32> {
        self.env.process(part)
    }

    /// Starts a container that sleeps, with these flags.
    pub(crate) fn run(&self, name: &str, flags: &[&str]) -> Result<()> {
        let args = [&["run", "-d", "--name", name], flags, &[DEMO, "sleep", "100000"]].concat();
        self.env.ok(&args).map(drop)
    }

    /// The API's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.env.run_dir().join("rootlesskit/api.sock")
    }

    /// Stops everything and checks that nothing is left.
    pub(crate) fn end(mut self) -> Result<()> {
        let ids = self.env.ok(&["ps", "-aq"])?;
        for id in ids.lines() {
            self.env.ok(&["rm", "-f", id])?;
        }
        self.env.stop()?;
        let rules = ip(&["-n", &self.namespace("host"), "rule", "list"])?;
        ensure!(!rules.contains("fwmark"), "{rules}");
        let left = self.host(|| Ok(std::fs::read_to_string("/proc/thread-self/net/tcp")?))?;
        ensure!(!left.lines().any(|line| line.contains(" 0A ")), "somebody still listens:\n{left}");
        Ok(())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for name in ["host", "lan"] {
            let _ = ip(&["netns", "del", &self.namespace(name)]);
        }
    }
}

pub(crate) fn ip(args: &[&str]) -> Result<String> {
    let output = Command::new("ip").args(args).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "ip {args:?}: {said}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs something in a thread in a network namespace. Sockets stay there.
pub(crate) fn inside<T: Send>(path: &str, what: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let file = File::open(path).with_context(|| path.to_owned())?;
    std::thread::scope(|scope| {
        scope
            .spawn(move || {
                setns(file, CloneFlags::CLONE_NEWNET)?;
                what()
            })
            .join()
            .map_err(|_| anyhow::anyhow!("panicked in {path}"))?
    })
}

/// A server in a container: answers each connection with its peer's address, then with what it says, to its end.
pub(crate) fn serve(bed: &Bed, container: &str, port: u16) -> Result<()> {
    let pid = bed.env.ok(&["inspect", "-f", "{{.State.Pid}}", container])?;
    serve_in(&format!("/proc/{pid}/ns/net"), port)
}

/// The same server in a network namespace.
pub(crate) fn serve_in(netns: &str, port: u16) -> Result<()> {
    let listener = inside(netns, || Ok(TcpListener::bind(("::", port))?))?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer(stream));
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream) -> Result<()> {
    let peer = stream.peer_addr()?;
    writeln!(stream, "{}", SocketAddr::new(peer.ip().to_canonical(), peer.port()))?;
    let mut reader = stream.try_clone()?;
    std::io::copy(&mut reader, &mut stream)?;
    stream.shutdown(std::net::Shutdown::Write)?;
    Ok(())
}

/// Connects; answers the connection, its own address, and the one that the server saw.
pub(crate) fn connect(to: &str, port: u16) -> Result<(TcpStream, SocketAddr, SocketAddr)> {
    let to = SocketAddr::new(to.parse()?, port);
    let mut stream = TcpStream::connect_timeout(&to, SOON).with_context(|| to.to_string())?;
    stream.set_read_timeout(Some(SOON))?;
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte).with_context(|| format!("read from {to}"))? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    let line = String::from_utf8(line)?;
    let seen = line.parse().with_context(|| format!("{to} said {line:?}"))?;
    let own = stream.local_addr()?;
    Ok((stream, own, seen))
}

/// Whether something is accepted and answered.
pub(crate) fn answers(to: &str, port: u16) -> bool {
    connect(to, port).is_ok()
}

/// A server of datagrams in a container: answers each with its sender's address, a space and what it said.
pub(crate) fn serve_datagrams(bed: &Bed, container: &str, port: u16) -> Result<()> {
    let socket = bed.container(container, || Ok(UdpSocket::bind(("::", port))?))?;
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let own = SocketAddr::new(from.ip().to_canonical(), from.port());
            let text = [format!("{own} ").as_bytes(), &buffer[..length]].concat();
            let _ = socket.send_to(&text, from);
        }
    });
    Ok(())
}

/// Sends a datagram; answers our own address and what came back.
pub(crate) fn ask(socket: &UdpSocket, to: &str, port: u16, text: &str) -> Result<String> {
    socket.set_read_timeout(Some(Duration::from_secs(2)))?;
    let to = SocketAddr::new(to.parse()?, port);
    let mut buffer = vec![0; 65536];
    let mut said = String::new();
    // Datagrams may be lost.
    within(SOON, &format!("an answer from {to}"), || {
        socket.send_to(text.as_bytes(), to)?;
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { return Ok(false) };
        ensure!(from == to, "{to} answered from {from}");
        said = String::from_utf8_lossy(&buffer[..length]).into_owned();
        Ok(true)
    })?;
    Ok(said)
}

/// An IP address.
pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]))
}
