//! The socket through which runc hands over the terminal it made (runc's docs/terminals.md).

use rustix::fd::OwnedFd;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};
use tokio::io::Interest;
use tokio::net::UnixListener;

/// The socket; removed when dropped.
pub(super) struct Console {
    listener: UnixListener,
    path: PathBuf,
}

impl Console {
    /// Listens at a new path in `dir`.
    pub(super) fn listen(dir: &Path) -> io::Result<Self> {
        let path = dir.join(format!("c{:08x}", rand::random::<u32>()));
        Ok(Self { listener: UnixListener::bind(&path)?, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The terminal's controlling side.
    pub(super) async fn receive(&self) -> io::Result<OwnedFd> {
        let (stream, _) = self.listener.accept().await?;
        stream
            .async_io(Interest::READABLE, || {
                let mut name = [0_u8; 4096];
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = RecvAncillaryBuffer::new(&mut space);
                recvmsg(&stream, &mut [IoSliceMut::new(&mut name)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
                control
                    .drain()
                    .find_map(|message| match message {
                        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
                        _ => None,
                    })
                    .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "runc sent no terminal"))
            })
            .await
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
