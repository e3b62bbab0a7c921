//! The holder's table of processes.

use crate::model::holder::{Child, Exit, SpawnRequest};
use crate::sys::process;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use rustix::process::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A log longer than this many bytes is put aside, at a child's start and by `cap_logs`.
const LONGEST_LOG: u64 = 8 << 20;

/// Children that run, and exits of children that were not forgotten.
#[derive(Default)]
pub(super) struct Children {
    running: BTreeMap<String, (i32, Vec<String>)>,
    exited: BTreeMap<String, Exit>,
    logs: BTreeSet<PathBuf>,
}

impl Children {
    pub(super) fn spawn(&mut self, request: &SpawnRequest) -> io::Result<i32> {
        if self.running.contains_key(&request.key) {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{} runs already", request.key),
            ));
        }
        let (program, arguments) = request
            .argv
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "empty command"))?;
        let log = open_log(&request.log)?;
        // A process group of its own: nothing that a terminal sends reaches it.
        #[expect(clippy::disallowed_methods, reason = "the holder is the parent of all children")]
        let child = Command::new(program)
            .args(arguments)
            .envs(request.env.iter().map(|(k, v)| (k, v)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        self.logs.insert(request.log.clone());
        let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
        self.exited.remove(&request.key);
        self.running.insert(request.key.clone(), (pid, request.argv.clone()));
        Ok(pid)
    }

    /// Reaps every process that has ended. The answer are the children among them, by their keys; the others were left to
    /// us by parents that ended.
    pub(super) fn reap(&mut self) -> Vec<(String, Exit)> {
        let mut ended = Vec::new();
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            let (pid, exit) = match status {
                WaitStatus::Exited(pid, code) => (pid.as_raw(), Exit::Code(code)),
                WaitStatus::Signaled(pid, signal, _) => (pid.as_raw(), Exit::Signal(signal as i32)),
                WaitStatus::StillAlive => break,
                _ => continue,
            };
            let key = self.running.iter().find(|(_, (p, _))| *p == pid).map(|(key, _)| key.clone());
            if let Some(key) = key {
                self.running.remove(&key);
                self.exited.insert(key.clone(), exit);
                ended.push((key, exit));
            }
        }
        ended
    }

    pub(super) fn signal(&self, key: &str, signal: Signal) -> io::Result<()> {
        let (pid, _) = self.running.get(key).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        process::signal(*pid, signal)
    }

    pub(super) fn runs(&self, key: &str) -> bool {
        self.running.contains_key(key)
    }

    pub(super) fn forget(&mut self, key: &str) {
        self.exited.remove(key);
    }

    pub(super) fn running(&self, but: &str) -> Vec<Child> {
        self.running
            .iter()
            .filter(|(key, _)| *key != but)
            .map(|(key, (pid, argv))| Child { key: key.clone(), pid: *pid, argv: argv.clone() })
            .collect()
    }

    pub(super) fn exited(&self) -> Vec<(String, Exit)> {
        self.exited.iter().map(|(key, exit)| (key.clone(), *exit)).collect()
    }

    /// Puts the long logs of running children aside: a copy is made and the file emptied, since they hold it open.
    pub(super) fn cap_logs(&self) {
        for path in &self.logs {
            let _ = cap(path, LONGEST_LOG);
        }
    }

    pub(super) fn pids(&self) -> Vec<i32> {
        self.running.values().map(|(pid, _)| *pid).collect()
    }
}

/// Empties a log that is longer than `longest` bytes, after a copy was made. Writers append, so they go on at the new end.
fn cap(path: &Path, longest: u64) -> io::Result<()> {
    if std::fs::metadata(path)?.len() > longest {
        std::fs::copy(path, path.with_extension("log.1"))?;
        OpenOptions::new().write(true).open(path)?.set_len(0)?;
    }
    Ok(())
}

fn open_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    if std::fs::metadata(path).is_ok_and(|m| m.len() > LONGEST_LOG) {
        std::fs::rename(path, path.with_extension("log.1"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_long_log_is_put_aside_under_its_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut writer = open_log(&path).unwrap();
        writer.write_all(b"0123456789").unwrap();
        cap(&path, 10).unwrap();
        assert!(!path.with_extension("log.1").exists());
        writer.write_all(b"a").unwrap();
        cap(&path, 10).unwrap();
        writer.write_all(b"b").unwrap();
        assert_eq!(std::fs::read(path.with_extension("log.1")).unwrap(), b"0123456789a");
        assert_eq!(std::fs::read(&path).unwrap(), b"b");
    }
}
