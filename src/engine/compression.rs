//! Archives that users send, compressed or not: the first bytes tell by what, as in Docker.

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use std::fmt;
use std::io::{self, BufReader, Cursor, Read};

/// Size of one read, in bytes.
const BUFFER: usize = 64 << 10;
/// Length of the longest magic number, in bytes.
const MAGIC: u64 = 6;

/// Compression that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Kind {
    /// Looks at the first bytes.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, 8, ..] => Some(Self::Gzip),
            [b'B', b'Z', b'h', ..] => Some(Self::Bzip2),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            // A frame, or one to be skipped (RFC 8878).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        })
    }
}

/// An archive without its compression.
pub(super) struct Archive<'a> {
    plain: Box<dyn Read + 'a>,
    was_compressed: bool,
}

/// Looks at the first bytes of an archive.
pub(super) fn open<'a>(mut archive: impl Read + 'a) -> io::Result<Archive<'a>> {
    let mut magic = Vec::new();
    archive.by_ref().take(MAGIC).read_to_end(&mut magic)?;
    let kind = Kind::of(&magic);
    let whole = BufReader::with_capacity(BUFFER, Cursor::new(magic).chain(archive));
    let plain: Box<dyn Read + 'a> = match kind {
        Some(Kind::Gzip) => Box::new(MultiGzDecoder::new(whole)),
        Some(Kind::Bzip2) => Box::new(MultiBzDecoder::new(whole)),
        Some(Kind::Xz) => Box::new(XzReader::new(whole, true)),
        Some(Kind::Zstd) => Box::new(zstd::Decoder::with_buffer(whole)?),
        None => return Ok(Archive { plain: Box::new(whole), was_compressed: false }),
    };
    Ok(Archive { plain, was_compressed: true })
}

impl Read for Archive<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.plain.read(buffer)
    }
}

impl Archive<'_> {
    /// Reads to the end of the compressed data, behind the archive's end, so that its closing checksums are compared.
    pub(super) fn check(&mut self) -> io::Result<()> {
        match self.was_compressed {
            true => io::copy(&mut self.plain, &mut io::sink()).map(drop),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    /// `k3c` and a line end, as the programs of these names compress them.
    const SAMPLES: [(&str, &str); 4] = [
        ("gzip", "H4sIAAAAAAAAA8s2TuYCAK0lS0UEAAAA"),
        ("bzip2", "QlpoOTFBWSZTWYLuoDIAAAHJAAAQCAAICCAAIZpoM00yvF3JFOFCQgu6gMg="),
        ("xz", "/Td6WFoAAATm1rRGAgAhARYAAAB0L+WjAQADazNjCgBMEzZ/bqvIlAABHARvLJzBH7bzfQEAAAAABFla"),
        ("zstd", "KLUv/SQEIQAAazNjCvuHjaU="),
    ];

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut archive = open(bytes)?;
        let mut plain = Vec::new();
        archive.read_to_end(&mut plain)?;
        archive.check()?;
        Ok(plain)
    }

    #[test]
    fn each_is_told_by_its_first_bytes() {
        for (name, text) in SAMPLES {
            let mut bytes = STANDARD.decode(text).unwrap();
            assert_eq!(Kind::of(&bytes).unwrap().to_string(), name);
            assert_eq!(read(&bytes).unwrap(), b"k3c\n", "{name}");
            // Two, one behind the other, are one.
            assert_eq!(read(&bytes.repeat(2)).unwrap(), b"k3c\nk3c\n", "{name}");
            assert!(read(&bytes[..bytes.len() - 1]).is_err(), "{name} without its end");
            // The sum, or what is before it.
            let at = bytes.len() - if name == "xz" { 20 } else { 2 };
            bytes[at] ^= 0x55;
            assert!(read(&bytes).is_err(), "{name} with a wrong sum");
        }
        for plain in [b"".as_slice(), b"k3", b"a plain archive"] {
            assert_eq!(read(plain).unwrap(), plain);
        }
    }
}
