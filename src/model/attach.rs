//! The attach protocol: messages between a shim and a client of its streams, over the pod's unix socket.
//!
//! ```text
//! client                          shim
//! Hello ───────────────────────>            who, which streams, from which offsets
//!       <─────────────────────── Welcome    (at once, also before there is a process)
//! Typed, TypedEnd, Resize ─────>
//!       <─────────────────────── TypedTo    taken up to this offset
//!       <─────────────────────── Output, End
//! Seen ────────────────────────>            shown up to this offset: the shim forgets it
//!       <─────────────────────── Exit       after the last output
//! ```
//!
//! A frame is its length (4 bytes, big endian, of what follows), its kind (1 byte) and its content. Offsets are counted
//! in bytes from the process's beginning, for output by the process and for input by the session, so a session that lost
//! its connection goes on where it was: nothing is shown or typed twice.

use super::id::ContainerId;
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use std::io;
use tokio_util::codec::{Decoder, Encoder, LengthDelimitedCodec};

/// Changes with every incompatible change of the frames.
pub const VERSION: u32 = 1;
/// In place of a FIFO's path: standard input comes from attached clients only.
pub const CLIENTS_ONLY: &str = "k3c://clients";
/// The longest frame, in bytes.
pub const LONGEST: usize = 1 << 20;

/// News of a container that is made, attached to and started in one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunStep {
    /// It was made; its warnings.
    Created(ContainerId, Vec<String>),
    /// A frame of its streams: the welcome comes before the start, all else after it.
    Frame(Frame),
    /// Its program runs, or has run; warnings of the start.
    Started(Vec<String>),
}

/// The first frame of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`].
    pub version: u32,
    /// CRI's ID of the container.
    pub container: String,
    /// The exec's ID; empty: the first process.
    pub exec: String,
    /// Names a session that may come again; chosen by the client.
    pub session: String,
    /// Came before the process was started: sees all from the first byte, and presses back.
    pub starter: bool,
    /// Wants standard output.
    pub stdout: bool,
    /// Wants standard error.
    pub stderr: bool,
    /// A session that comes again: offsets of what it has of both. Absent: it is new.
    pub from: Option<[u64; 2]>,
}

/// The first frame of a shim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`VERSION`].
    pub version: u32,
    /// How many bytes of this session's input were taken.
    pub typed: u64,
    /// Offsets where this session's output begins.
    pub from: [u64; 2],
}

/// All frames, both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// See [`Hello`].
    Hello(Hello),
    /// See [`Welcome`].
    Welcome(Welcome),
    /// Input, and where it begins.
    Typed { offset: u64, data: Vec<u8> },
    /// The input's end.
    TypedEnd,
    /// How far the input was taken.
    TypedTo { offset: u64 },
    /// The terminal's size, in characters.
    Resize { columns: u16, rows: u16 },
    /// Output of a stream (0 standard output, 1 standard error), and where it begins.
    Output { stream: u8, offset: u64, data: Vec<u8> },
    /// How far a stream was shown.
    Seen { stream: u8, offset: u64 },
    /// A stream's end.
    End { stream: u8 },
    /// The end of the process, as a shell says it.
    Exit { status: u32 },
    /// The client leaves for good.
    Bye,
    /// Why the shim hangs up.
    Refused { why: String },
}

impl Frame {
    /// Kind and content, without the length.
    fn content(&self) -> Vec<u8> {
        let with = |kind: u8, parts: &[&[u8]]| [&[kind], parts.concat().as_slice()].concat();
        // Numbers, flags and text only: cannot fail.
        let json = |text: Result<Vec<u8>, serde_json::Error>| text.unwrap_or_default();
        match self {
            Self::Hello(hello) => with(b'H', &[&json(serde_json::to_vec(hello))]),
            Self::Welcome(welcome) => with(b'W', &[&json(serde_json::to_vec(welcome))]),
            Self::Typed { offset, data } => with(b'I', &[&offset.to_be_bytes(), data]),
            Self::TypedEnd => with(b'Z', &[]),
            Self::TypedTo { offset } => with(b'A', &[&offset.to_be_bytes()]),
            Self::Resize { columns, rows } => with(b'R', &[&columns.to_be_bytes(), &rows.to_be_bytes()]),
            Self::Output { stream, offset, data } => with(b'O', &[&[*stream], &offset.to_be_bytes(), data]),
            Self::Seen { stream, offset } => with(b'S', &[&[*stream], &offset.to_be_bytes()]),
            Self::End { stream } => with(b'E', &[&[*stream]]),
            Self::Exit { status } => with(b'X', &[&status.to_be_bytes()]),
            Self::Bye => with(b'B', &[]),
            Self::Refused { why } => with(b'N', &[why.as_bytes()]),
        }
    }

    /// From kind and content, without the length. `None`: not a frame of this version.
    fn parse(frame: &[u8]) -> Option<Self> {
        let (kind, rest) = frame.split_first()?;
        let number = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.get(..8)?.try_into().ok()?));
        let short = |bytes: &[u8]| Some(u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?));
        let stream = || rest.first().copied().filter(|stream| *stream < 2);
        Some(match kind {
            b'H' => Self::Hello(serde_json::from_slice(rest).ok()?),
            b'W' => Self::Welcome(serde_json::from_slice(rest).ok()?),
            b'I' => Self::Typed { offset: number(rest)?, data: rest.get(8..)?.to_vec() },
            b'Z' => Self::TypedEnd,
            b'A' => Self::TypedTo { offset: number(rest)? },
            b'R' => Self::Resize { columns: short(rest)?, rows: short(rest.get(2..)?)? },
            b'O' => Self::Output {
                stream: stream()?,
                offset: number(rest.get(1..)?)?,
                data: rest.get(9..)?.to_vec(),
            },
            b'S' => Self::Seen { stream: stream()?, offset: number(rest.get(1..)?)? },
            b'E' => Self::End { stream: stream()? },
            b'X' => Self::Exit { status: u32::from_be_bytes(rest.get(..4)?.try_into().ok()?) },
            b'B' => Self::Bye,
            b'N' => Self::Refused { why: String::from_utf8_lossy(rest).into_owned() },
            _ => return None,
        })
    }
}

/// Frames on a connection. A frame that is too long or unknown is [`io::ErrorKind::InvalidData`].
#[derive(Debug)]
pub struct Codec(LengthDelimitedCodec);

impl Default for Codec {
    fn default() -> Self {
        Self(LengthDelimitedCodec::builder().max_frame_length(LONGEST).new_codec())
    }
}

impl Encoder<Frame> for Codec {
    type Error = io::Error;

    fn encode(&mut self, frame: Frame, out: &mut BytesMut) -> io::Result<()> {
        self.0.encode(Bytes::from(frame.content()), out)
    }
}

impl Decoder for Codec {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Frame>> {
        let Some(frame) = self.0.decode(bytes)? else { return Ok(None) };
        let unknown = || io::Error::new(io::ErrorKind::InvalidData, "a frame that is none");
        Frame::parse(&frame).map(Some).ok_or_else(unknown)
    }
}

/// The name of a pod's socket, in the folder of the shims.
pub fn socket_name(pod: &str) -> String {
    // A unix socket's whole path has 107 bytes.
    format!("{}.sock", pod.get(..24).unwrap_or(pod))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back() {
        let hello = Hello { version: VERSION, container: "c".into(), from: Some([1, 2]), ..Hello::default() };
        for frame in [
            Frame::Hello(hello),
            Frame::Welcome(Welcome { version: 1, typed: 7, from: [3, 4] }),
            Frame::Typed { offset: 9, data: vec![0, 255] },
            Frame::TypedEnd,
            Frame::TypedTo { offset: u64::MAX },
            Frame::Resize { columns: 80, rows: 24 },
            Frame::Output { stream: 1, offset: 5, data: Vec::new() },
            Frame::Seen { stream: 0, offset: 1 },
            Frame::End { stream: 1 },
            Frame::Exit { status: 137 },
            Frame::Bye,
            Frame::Refused { why: "no".into() },
        ] {
            let mut bytes = BytesMut::new();
            Codec::default().encode(frame.clone(), &mut bytes).unwrap();
            assert_eq!(Codec::default().decode(&mut bytes).unwrap(), Some(frame));
        }
        for broken in [&b""[..], b"?", b"O", b"O\x02", b"I123", b"R\0"] {
            assert_eq!(Frame::parse(broken), None);
        }
        let mut huge = BytesMut::from(&b"\xff\xff\xff\xffX"[..]);
        assert!(Codec::default().decode(&mut huge).is_err());
    }
}
