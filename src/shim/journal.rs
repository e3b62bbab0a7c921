//! The way of a container's output to systemd's journal, a message a line, in the journal's own protocol (systemd,
//! `JOURNAL_NATIVE_PROTOCOL.md`). The journal is one more reader of the hub: it may be away for 4 MiB of output.

use super::hub::{Follower, Hub};
use crate::model::journal::{LONGEST_MESSAGE, PRIORITIES, SOCKET, message};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::UnixDatagram;

/// Pause between two tries to reach the journal.
const PAUSE: Duration = Duration::from_millis(200);

/// The connection to the journal, and the fields of each message.
#[derive(Debug)]
struct Journal {
    socket: Option<UnixDatagram>,
    fields: BTreeMap<String, String>,
}

/// Follows both streams of a process from here on. `fields` are those of every message.
pub(super) fn follow(hub: &Arc<Hub>, fields: &BTreeMap<String, String>) {
    for stream in 0..2 {
        let journal = Journal { socket: None, fields: fields.clone() };
        tokio::spawn(send(Follower::new(hub, stream), journal));
    }
}

async fn send(mut follower: Follower, mut journal: Journal) {
    let stream = follower.stream();
    let mut line = Vec::new();
    while let Some(bytes) = follower.next().await {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            line.extend_from_slice(part);
            while line.len() > LONGEST_MESSAGE {
                let rest = line.split_off(LONGEST_MESSAGE);
                journal.write(stream, &line, true).await;
                line = rest;
            }
            if line.last() == Some(&b'\n') {
                line.pop();
                journal.write(stream, &line, false).await;
                line.clear();
            }
        }
        follower.done(bytes.len());
    }
    if !line.is_empty() {
        journal.write(stream, &line, false).await;
    }
}

impl Journal {
    /// Sends one line; returns when the journal has it.
    async fn write(&mut self, stream: usize, line: &[u8], partial: bool) {
        // The journal leaves out empty messages, and so does Docker.
        if line.is_empty() {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = jiff::Timestamp::from_nanosecond(i128::try_from(now.as_nanos()).unwrap_or(0))
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let bytes = message(&self.fields, PRIORITIES[stream], time, line, partial);
        let mut said = false;
        loop {
            if self.socket.is_none() {
                let connected = UnixDatagram::unbound().and_then(|socket| {
                    socket.connect(SOCKET)?;
                    Ok(socket)
                });
                self.socket = connected.ok();
            }
            let error = match &self.socket {
                Some(socket) => match socket.send(&bytes).await {
                    Ok(_) => return,
                    Err(error) => error.to_string(),
                },
                None => format!("nobody listens at {SOCKET}"),
            };
            self.socket = None;
            if !std::mem::replace(&mut said, true) {
                super::log(&format!("the journal does not take a message yet: {error}"));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
