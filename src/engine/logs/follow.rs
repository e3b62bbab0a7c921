//! Following a log: inotify says when it grows and when containerd has closed it.
//!
//! The end: a log is complete when its attempt is over *and* containerd has closed the file, which it does after the last
//! byte of the container's pipes. (containerd closes it too when it dies itself: what is written later opens it anew.)

use rustix::fs::inotify;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A watch on one file.
#[derive(Debug)]
pub(super) struct Watch {
    fd: AsyncFd<OwnedFd>,
    /// True when the writer has closed the file since it last grew.
    pub(super) closed: bool,
}

impl Watch {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let fd = inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC)?;
        inotify::add_watch(&fd, path, inotify::WatchFlags::MODIFY | inotify::WatchFlags::CLOSE_WRITE)?;
        #[expect(
            deprecated,
            reason = "the sound way is an unsafe call; an owned descriptor in here cannot be closed early"
        )]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        Ok(Self { fd, closed: false })
    }

    /// Waits for an event of the file, and takes note of all that came.
    pub(super) async fn wait(&mut self) -> io::Result<()> {
        let mut ready = self.fd.readable().await?;
        ready.clear_ready();
        drop(ready);
        self.drain()
    }

    /// Takes note of the events so far.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = inotify::Reader::new(self.fd.get_ref(), &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let what = event.events();
                    if what.contains(inotify::ReadFlags::MODIFY) {
                        self.closed = false;
                    }
                    if what.contains(inotify::ReadFlags::CLOSE_WRITE) {
                        self.closed = true;
                    }
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}
