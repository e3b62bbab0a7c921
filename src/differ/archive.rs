//! Reads a layer's archive (tar: ustar, PAX, GNU), entry by entry, as Go's reader does: what it refuses is refused.

use super::records::{self, Records};
use crate::sys::layer::{Entry, Kind};
use rustix::fs::{Timespec, makedev};
use std::io::{self, BufRead};

const BLOCK: usize = 512;
/// The longest extended header, name or map, in bytes.
const LONGEST_HEADER: u64 = 1 << 20;

/// An archive that is read.
pub(super) struct Archive<R> {
    input: R,
    /// Bytes of the last entry's content that nobody has read.
    left: u64,
    /// Bytes after it, up to the next block.
    padding: u64,
}

/// Content of the entry that was read last.
impl<R: BufRead> BufRead for Archive<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Ok(&[]);
        }
        let bytes = self.input.fill_buf()?;
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let most = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        Ok(&bytes[..most])
    }

    fn consume(&mut self, amount: usize) {
        self.left -= amount as u64;
        self.input.consume(amount);
    }
}

impl<R: BufRead> io::Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = io::Read::read(&mut self.fill_buf()?, buffer)?;
        self.consume(length);
        Ok(length)
    }
}

impl<R: BufRead> Archive<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, left: 0, padding: 0 }
    }

    /// The rest of the input.
    pub(super) fn into_inner(self) -> R {
        self.input
    }

    /// The next entry.
    pub(super) fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut records = Records::default();
        let (mut name, mut link) = (None, None);
        loop {
            let Some(header) = self.header()? else { return Ok(None) };
            let size = number(&header[124..136])?;
            self.left = size;
            self.padding = size.wrapping_neg() % BLOCK as u64;
            match header[156] {
                b'x' => records = records::parse(&self.whole()?)?,
                b'g' => drop(self.whole()?),
                b'L' => name = Some(text(&self.whole()?).to_vec()),
                b'K' => link = Some(text(&self.whole()?).to_vec()),
                _ => return self.entry(&header, records, name, link).map(Some),
            }
        }
    }

    /// An entry from its header and what came before it.
    fn entry(
        &mut self,
        header: &[u8; BLOCK],
        mut records: Records,
        name: Option<Vec<u8>>,
        link: Option<Vec<u8>>,
    ) -> io::Result<Entry> {
        let path = name.or(records.path.take()).unwrap_or_else(|| own_path(header));
        let link = link.or(records.link.take()).unwrap_or_else(|| text(&header[157..257]).to_vec());
        // Before 1988 a folder was a name with a slash at its end.
        let kind = match header[156] {
            0 if path.ends_with(b"/") => b'5',
            kind => kind,
        };
        let size = match kind {
            b'1'..=b'6' => 0,
            _ => records.size.unwrap_or(self.left),
        };
        if i64::try_from(size).is_err() {
            return Err(invalid("a size that cannot be"));
        }
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
        let kind = match kind {
            0 | b'0' => self.file(&mut records, size)?,
            b'1' => Kind::HardLink(link),
            b'2' => Kind::Symlink(link),
            b'3' => Kind::Char(device(header)?),
            b'4' => Kind::Block(device(header)?),
            b'5' => Kind::Folder,
            b'6' => Kind::Fifo,
            other => return Err(invalid(&format!("an entry of the unknown kind {:?}", char::from(other)))),
        };
        let id = |record: Option<u32>, field: &[u8]| match record {
            Some(id) => Ok(id),
            None => u32::try_from(number(field)?).map_err(|_| invalid("an ID that is too large")),
        };
        let seconds =
            |field: &[u8]| -> io::Result<Timespec> { Ok(Timespec { tv_sec: signed(field)?, tv_nsec: 0 }) };
        let never = Timespec { tv_sec: i64::MIN, tv_nsec: 0 };
        let gnu = header[257..265] == *b"ustar  \0" && header[345] != 0;
        let accessed = if gnu { seconds(&header[345..357]).unwrap_or(never) } else { never };
        Ok(Entry {
            kind,
            mode: u32::try_from(number(&header[100..108])? & 0o7777).unwrap_or(0),
            uid: id(records.uid, &header[108..116])?,
            gid: id(records.gid, &header[116..124])?,
            times: (
                records.accessed.unwrap_or(accessed),
                match records.modified {
                    Some(time) => time,
                    None => seconds(&header[136..148])?,
                },
            ),
            attributes: records.attributes,
            path: records.sparse_name.unwrap_or(path),
        })
    }

    /// A regular file, which may come without its holes.
    fn file(&mut self, records: &mut Records, size: u64) -> io::Result<Kind> {
        let Some(length) = records.sparse_size else { return Ok(Kind::File { size, parts: None }) };
        let map = match records.sparse_map.take() {
            Some(map) => map,
            None if records.sparse_version == Some((1, 0)) => self.map()?,
            None => return Ok(Kind::File { size, parts: None }),
        };
        let mut end = 0;
        let mut sum = 0_u64;
        for (start, part) in &map {
            let next = start.checked_add(*part).filter(|next| *start >= end && *next <= length);
            end = next.ok_or_else(|| invalid("a sparse file whose parts cannot be"))?;
            sum += part;
        }
        if sum > self.left || i64::try_from(length).is_err() {
            return Err(invalid("a sparse file whose parts cannot be"));
        }
        Ok(Kind::File { size: length, parts: Some(map) })
    }

    /// The map of a sparse file at the beginning of its content: decimal numbers, each on a line of its own.
    fn map(&mut self) -> io::Result<Vec<(u64, u64)>> {
        let whole = self.left;
        let line = |archive: &mut Self| -> io::Result<u64> {
            let mut digits = Vec::new();
            io::Read::take(&mut *archive, 21).read_until(b'\n', &mut digits)?;
            let text = digits.strip_suffix(b"\n").and_then(|digits| std::str::from_utf8(digits).ok());
            let number = text.and_then(|text| text.parse().ok());
            number.ok_or_else(|| invalid("a sparse file without a map"))
        };
        let count = line(self)?;
        let mut map = Vec::new();
        for _ in 0..count {
            map.push((line(self)?, line(self)?));
            if whole - self.left > LONGEST_HEADER {
                return Err(invalid("a sparse file with too many parts"));
            }
        }
        // The content begins with a block.
        let rest = (whole - self.left).wrapping_neg() % BLOCK as u64;
        self.skip(rest)?;
        self.left = self.left.checked_sub(rest).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(map)
    }

    /// The whole content of an extended header.
    fn whole(&mut self) -> io::Result<Vec<u8>> {
        if self.left > LONGEST_HEADER {
            return Err(invalid("an extended header that is too long"));
        }
        let mut bytes = Vec::new();
        io::Read::read_to_end(self, &mut bytes)?;
        Ok(bytes)
    }

    /// The next header; `None`: the archive ends.
    fn header(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        self.skip(self.left)?;
        // The last padding may be cut off.
        let padding = std::mem::take(&mut self.padding);
        self.left = 0;
        if padding > 0 && self.skip(padding).is_err() {
            return Ok(None);
        }
        let Some(block) = self.block()? else { return Ok(None) };
        if block != [0; BLOCK] {
            return check(&block).map(|()| Some(block));
        }
        match self.block()? {
            Some(block) if block != [0; BLOCK] => Err(invalid("not an archive's header")),
            _ => Ok(None),
        }
    }

    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block)?;
        Ok(Some(block))
    }

    fn skip(&mut self, mut length: u64) -> io::Result<()> {
        while length > 0 {
            let bytes = self.input.fill_buf()?.len();
            if bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let step = usize::try_from(length).map_or(bytes, |left| left.min(bytes));
            self.input.consume(step);
            length -= step as u64;
        }
        Ok(())
    }
}

/// The checksum, of bytes with or without signs.
fn check(header: &[u8; BLOCK]) -> io::Result<()> {
    let bytes =
        header.iter().enumerate().map(|(at, byte)| if (148..156).contains(&at) { b' ' } else { *byte });
    let (unsigned, with_sign) = bytes.fold((0_i64, 0_i64), |(all, signs), byte| {
        (all + i64::from(byte), signs + i64::from(byte.cast_signed()))
    });
    let said = octal(&header[148..156])?;
    if said == unsigned || said == with_sign { Ok(()) } else { Err(invalid("not an archive's header")) }
}

fn own_path(header: &[u8; BLOCK]) -> Vec<u8> {
    let name = text(&header[..100]);
    let prefix = text(&header[345..500]);
    // GNU's archives have other things there.
    if header[257..263] == *b"ustar\0" && !prefix.is_empty() {
        return [prefix, b"/", name].concat();
    }
    name.to_vec()
}

fn device(header: &[u8; BLOCK]) -> io::Result<u64> {
    let part =
        |field: &[u8]| u32::try_from(number(field)?).map_err(|_| invalid("a device number out of range"));
    Ok(makedev(part(&header[329..337])?, part(&header[337..345])?))
}

/// A field up to its first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn number(field: &[u8]) -> io::Result<u64> {
    u64::try_from(signed(field)?).map_err(|_| invalid("a negative number"))
}

/// A number: octal digits, or, with the first bit set, the bytes of one.
fn signed(field: &[u8]) -> io::Result<i64> {
    let first = field.first().copied().unwrap_or_default();
    if first & 0x80 == 0 {
        return octal(field);
    }
    let negative = first & 0x40 != 0;
    let mut value = if negative { -1_i128 } else { 0 };
    for (at, byte) in field.iter().enumerate() {
        let byte = match (at, negative) {
            (0, false) => byte & 0x7f,
            _ => *byte,
        };
        value = (value << 8) | i128::from(byte);
        if i64::try_from(value).is_err() {
            return Err(invalid("a number that is too large"));
        }
    }
    i64::try_from(value).map_err(|_| invalid("a number that is too large"))
}

fn octal(field: &[u8]) -> io::Result<i64> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !is_blank(byte)).unwrap_or(field.len());
    let end = field.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    let digits = text(&field[start..end]);
    if digits.is_empty() {
        return Ok(0);
    }
    let text = std::str::from_utf8(digits).ok();
    let value = text.and_then(|text| i64::from_str_radix(text, 8).ok());
    value.filter(|value| *value >= 0).ok_or_else(|| invalid("not an archive's header"))
}

pub(super) fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("invalid archive: {text}"))
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
