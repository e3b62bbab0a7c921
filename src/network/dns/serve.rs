//! The process: sockets at all gateways, a task for each question.

use super::answer::{self, Reply};
use super::upstream::{self, receive, send};
use crate::model::directory::Directory;
use crate::sys::{ahead, memory};
use nix::sys::signal::SigSet;
use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// Questions that are under way at once; who asks more waits.
const MOST: usize = 512;
/// The longest datagram.
const LONGEST: usize = 65535;
/// Questions of one stream.
const OF_A_STREAM: usize = 100;

/// The stage; it returns when it cannot serve.
pub fn stage(arguments: &[OsString]) -> i32 {
    crate::telemetry::start();
    let [file, socket, netns] = arguments else {
        tracing::error!("{} takes a file, a socket and a network namespace", super::STAGE);
        return 2;
    };
    let server = Server {
        file: file.into(),
        netns: (netns != "-").then(|| netns.into()),
        directory: RwLock::default(),
        places: Semaphore::new(MOST),
    };
    match run(Arc::new(server), socket.into()) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("cannot serve names: {error}");
            1
        }
    }
}

#[derive(Debug)]
struct Server {
    /// The directory's file.
    file: PathBuf,
    /// The containers' network namespace; `None`: the process's own.
    netns: Option<PathBuf>,
    directory: RwLock<Arc<Directory>>,
    places: Semaphore,
}

fn run(server: Arc<Server>, socket: PathBuf) -> io::Result<()> {
    // The holder blocks the signals that it reads itself; SIGTERM ends this process.
    SigSet::empty().thread_set_mask()?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(4).enable_all().build()?;
    runtime.block_on(async {
        let mut sockets = HashMap::new();
        server.reload(&mut sockets).await;
        let _ = std::fs::remove_file(&socket);
        let door = UnixListener::bind(&socket)?;
        tokio::spawn(memory::rest());
        loop {
            // Who knocks is told by the end of the connection.
            let (knock, _) = door.accept().await?;
            server.reload(&mut sockets).await;
            drop(knock);
        }
    })
}

impl Server {
    fn directory(&self) -> Arc<Directory> {
        self.directory.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the directory, and listens where it says.
    async fn reload(self: &Arc<Self>, sockets: &mut HashMap<IpAddr, Vec<AbortHandle>>) {
        let read = std::fs::read(&self.file).and_then(|text| Ok(serde_json::from_slice::<Directory>(&text)?));
        let directory = match read {
            Ok(directory) => directory,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Directory::default(),
            Err(error) => return tracing::warn!(%error, file = %self.file.display(), "cannot read the names"),
        };
        let listen = directory.listen.clone();
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(directory);
        sockets.retain(|address, tasks| {
            let stays = listen.contains(address);
            if !stays {
                tasks.iter().for_each(AbortHandle::abort);
            }
            stays
        });
        for address in listen {
            if sockets.contains_key(&address) {
                continue;
            }
            match self.listen(address).await {
                Ok(tasks) => drop(sockets.insert(address, tasks)),
                Err(error) => tracing::warn!(%error, %address, "cannot answer questions for names"),
            }
        }
    }

    async fn listen(self: &Arc<Self>, address: IpAddr) -> io::Result<Vec<AbortHandle>> {
        let SocketAddr::V4(at) = upstream::at(address) else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "only IPv4 gateways are listened at"));
        };
        let bind = move || Ok((ahead::datagrams(at)?, ahead::listener(at)?));
        let (datagrams, streams) = match &self.netns {
            Some(path) => upstream::inside(path, bind).await?,
            None => bind()?,
        };
        let datagrams = Arc::new(UdpSocket::from_std(datagrams)?);
        let streams = TcpListener::from_std(streams)?;
        let (one, other) = (self.clone(), self.clone());
        let tasks = [
            tokio::spawn(async move { one.datagrams(datagrams).await }),
            tokio::spawn(async move { other.streams(streams).await }),
        ];
        Ok(tasks.iter().map(tokio::task::JoinHandle::abort_handle).collect())
    }

    async fn datagrams(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let mut buffer = vec![0; LONGEST];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                tokio::task::yield_now().await;
                continue;
            };
            // Too many: it is as if the datagram was lost.
            if self.places.available_permits() == 0 {
                continue;
            }
            let (server, socket, whole) = (self.clone(), socket.clone(), buffer[..length].to_vec());
            tokio::spawn(async move {
                if let Some(answer) = server.answer(&whole, from, false).await {
                    let _ = socket.send_to(&answer, from).await;
                }
            });
        }
    }

    async fn streams(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, from)) = listener.accept().await else {
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            };
            let server = self.clone();
            tokio::spawn(async move {
                let _ = server.stream(stream, from).await;
            });
        }
    }

    async fn stream(&self, mut stream: TcpStream, from: SocketAddr) -> io::Result<()> {
        for _ in 0..OF_A_STREAM {
            let whole = receive(&mut stream).await?;
            match self.answer(&whole, from, true).await {
                Some(answer) => send(&mut stream, &answer).await?,
                None => break,
            }
        }
        Ok(())
    }

    async fn answer(&self, whole: &[u8], from: SocketAddr, stream: bool) -> Option<Vec<u8>> {
        let _place = self.places.acquire().await.ok()?;
        let directory = self.directory();
        match answer::reply(&directory, whole, from.ip(), stream, self.netns.as_deref()) {
            Reply::None => None,
            Reply::Say(answer) => Some(answer),
            Reply::PassOn(question, upstream) => {
                let heard = upstream.ask(&question, whole, stream).await;
                heard.or_else(|| answer::failed(&question))
            }
        }
    }
}
