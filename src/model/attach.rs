//! What a shim and a client of its streams say to each other over the pod's unix socket.
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

use serde::{Deserialize, Serialize};

/// Changes with every incompatible change of the frames.
pub const VERSION: u32 = 1;
/// In place of a FIFO's path: standard input comes from attached clients only.
pub const CLIENTS_ONLY: &str = "k3c://clients";
/// The longest frame, in bytes.
pub const LONGEST: usize = 1 << 20;

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
    /// With its length.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![0; 4];
        let offset = |out: &mut Vec<u8>, offset: u64| out.extend(offset.to_be_bytes());
        let json = |out: &mut Vec<u8>, text: Result<Vec<u8>, _>| {
            let text: Result<Vec<u8>, serde_json::Error> = text;
            out.extend(text.unwrap_or_default());
        };
        match self {
            Self::Hello(hello) => {
                out.push(b'H');
                json(&mut out, serde_json::to_vec(hello));
            }
            Self::Welcome(welcome) => {
                out.push(b'W');
                json(&mut out, serde_json::to_vec(welcome));
            }
            Self::Typed { offset: at, data } => {
                out.push(b'I');
                offset(&mut out, *at);
                out.extend(data);
            }
            Self::TypedEnd => out.push(b'Z'),
            Self::TypedTo { offset: at } => {
                out.push(b'A');
                offset(&mut out, *at);
            }
            Self::Resize { columns, rows } => {
                out.push(b'R');
                out.extend(columns.to_be_bytes());
                out.extend(rows.to_be_bytes());
            }
            Self::Output { stream, offset: at, data } => {
                out.push(b'O');
                out.push(*stream);
                offset(&mut out, *at);
                out.extend(data);
            }
            Self::Seen { stream, offset: at } => {
                out.push(b'S');
                out.push(*stream);
                offset(&mut out, *at);
            }
            Self::End { stream } => {
                out.push(b'E');
                out.push(*stream);
            }
            Self::Exit { status } => {
                out.push(b'X');
                out.extend(status.to_be_bytes());
            }
            Self::Bye => out.push(b'B'),
            Self::Refused { why } => {
                out.push(b'N');
                out.extend(why.as_bytes());
            }
        }
        let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
        out[..4].copy_from_slice(&length.to_be_bytes());
        out
    }

    /// From kind and content, without the length. `None`: not a frame of this version.
    pub fn decode(frame: &[u8]) -> Option<Self> {
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
            let bytes = frame.encode();
            let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            assert_eq!(length, bytes.len() - 4);
            assert_eq!(Frame::decode(&bytes[4..]), Some(frame));
        }
        for broken in [&b""[..], b"?", b"O", b"O\x02", b"I123", b"R\0"] {
            assert_eq!(Frame::decode(broken), None);
        }
    }
}
