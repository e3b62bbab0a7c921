//! A thread that keeps namespaces: they live as long as it does, and others find them in /proc by its number.

use nix::sched::{CloneFlags, unshare};
use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::thread::JoinHandle;

/// Bytes of the thread's stack.
const STACK: usize = 128 << 10;

/// Namespaces that are made.
#[derive(Clone, Copy, Debug, Default)]
pub struct New {
    /// Network, with a loopback device that is down.
    pub network: bool,
    /// System V IPC, and POSIX message queues.
    pub ipc: bool,
    /// Host name.
    pub uts: bool,
}

/// A thread in namespaces of its own; dropped, it ends.
#[derive(Debug)]
pub struct Keeper {
    number: i32,
    leave: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Makes the namespaces that are asked for, joins the network namespace at a path, and calls `inside` there.
    ///
    /// # Errors
    /// setns(2), unshare(2), and what `inside` says.
    pub fn start(
        network: Option<&Path>,
        new: New,
        inside: impl FnOnce() -> Result<(), String> + Send + 'static,
    ) -> Result<Self, String> {
        let text = |what: &str, error: io::Error| format!("cannot {what}: {error}");
        let network = network
            .map(|path| std::fs::File::open(path).map_err(|e| text(&format!("open {}", path.display()), e)))
            .transpose()?;
        let mut flags = CloneFlags::empty();
        flags.set(CloneFlags::CLONE_NEWNET, new.network);
        flags.set(CloneFlags::CLONE_NEWIPC, new.ipc);
        flags.set(CloneFlags::CLONE_NEWUTS, new.uts);
        let (say, hear) = mpsc::channel();
        let (leave, stay) = mpsc::channel::<()>();
        let work = move || {
            let begin = || {
                if let Some(network) = &network {
                    super::netns::enter(network).map_err(|e| text("join the network namespace", e))?;
                }
                unshare(flags).map_err(|e| text("make namespaces", e.into()))?;
                inside()?;
                Ok(nix::unistd::gettid().as_raw())
            };
            let begun: Result<i32, String> = begin();
            let good = begun.is_ok();
            drop(network);
            if say.send(begun).is_ok() && good {
                // An error means that there is nobody any more who could say it.
                let _ = stay.recv();
            }
        };
        let thread = std::thread::Builder::new().name("pod".into()).stack_size(STACK).spawn(work);
        let thread = thread.map_err(|e| text("start a thread", e))?;
        let number = hear.recv().map_err(|_| "the thread of the pod's namespaces died".to_owned())??;
        Ok(Self { number, leave: Some(leave), thread: Some(thread) })
    }

    /// The thread's number: `/proc/NUMBER/ns` has the namespaces.
    pub fn number(&self) -> i32 {
        self.number
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.leave.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_of_a_failure() {
        let error = Keeper::start(Some(Path::new("/no/such")), New::default(), || Ok(())).unwrap_err();
        assert!(error.starts_with("cannot open /no/such"), "{error}");
        let error = Keeper::start(None, New::default(), || Err("no".into())).unwrap_err();
        assert_eq!(error, "no");
    }

    #[test]
    fn the_number_leads_to_the_thread() {
        let keeper = Keeper::start(None, New::default(), || Ok(())).unwrap();
        let number = keeper.number();
        let own = std::fs::read_link(format!("/proc/{number}/ns/ipc")).unwrap();
        assert_eq!(own, std::fs::read_link("/proc/self/ns/ipc").unwrap());
        drop(keeper);
        // The kernel wakes who waits for a thread a moment before its number is gone.
        for _ in 0..1000 {
            if !Path::new(&format!("/proc/{number}")).exists() {
                return;
            }
            crate::sys::patience::pause(std::time::Duration::from_millis(5));
        }
        panic!("the thread is still there");
    }
}
