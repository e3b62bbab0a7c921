//! Bytes that blocking code writes, as messages of one size.

use bytes::Bytes;
use std::io;
use tokio::sync::mpsc::Sender;

/// Gathers bytes into messages of one size; only the last one is shorter.
pub struct Messages {
    send: Box<dyn FnMut(Bytes) -> io::Result<()> + Send>,
    buffer: Vec<u8>,
    /// Size of a message, in bytes.
    size: usize,
}

impl Messages {
    /// Gives messages of `size` bytes to `send`.
    pub fn new(size: usize, send: impl FnMut(Bytes) -> io::Result<()> + Send + 'static) -> Self {
        Self { send: Box::new(send), buffer: Vec::with_capacity(size), size }
    }

    /// Sends the bytes that are gathered: to be called at the end.
    pub fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(self.size));
        (self.send)(full.into())
    }
}

impl io::Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.size - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == self.size {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends into a channel, and waits while that is full. `BrokenPipe`: nobody receives any more.
pub fn send<T>(sender: &Sender<T>, message: T) -> io::Result<()> {
    sender.blocking_send(message).map_err(|_| io::ErrorKind::BrokenPipe.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::sync::mpsc::channel;

    #[test]
    fn pieces_of_one_size() {
        let (sender, mut receiver) = channel(8);
        let mut messages = Messages::new(4, move |piece| send(&sender, piece));
        for text in ["ab", "cdefghi", ""] {
            messages.write_all(text.as_bytes()).unwrap();
        }
        messages.send().unwrap();
        messages.send().unwrap();
        drop(messages);
        let all: Vec<Bytes> = std::iter::from_fn(|| receiver.blocking_recv()).collect();
        assert_eq!(all, [&b"abcd"[..], b"efgh", b"i"]);
    }

    #[test]
    fn nobody_receives() {
        let (sender, receiver) = channel(8);
        drop(receiver);
        let error = Messages::new(1, move |piece| send(&sender, piece)).write_all(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
