//! The keys that leave a container without ending it.

/// Message of a command that ends by the keys while its process goes on.
pub(crate) const READ: &str = "read escape sequence";

/// Docker's.
const DEFAULT: [u8; 2] = [0x10, 0x11];

/// Reads `ctrl-p,ctrl-q`: single characters, `ctrl-` and a letter or one of `@[\]^_`, or `DEL`. Empty: the default.
pub(crate) fn parse(text: &str) -> Result<Vec<u8>, String> {
    if text.is_empty() {
        return Ok(DEFAULT.to_vec());
    }
    text.split(',')
        .map(|key| {
            key_of(key).ok_or_else(|| format!("invalid detach keys ({text}): Unknown character: '{key}'"))
        })
        .collect()
}

fn key_of(key: &str) -> Option<u8> {
    if let [one] = key.as_bytes() {
        return Some(*one);
    }
    if key.eq_ignore_ascii_case("DEL") {
        return Some(127);
    }
    let lower = key.to_ascii_lowercase();
    match lower.strip_prefix("ctrl-")?.as_bytes() {
        [letter @ b'a'..=b'z'] => Some(letter - b'a' + 1),
        [b'@'] => Some(0),
        [other @ (b'[' | b'\\' | b']' | b'^' | b'_')] => Some(other - b'[' + 27),
        _ => None,
    }
}

/// Looks for the keys in what is typed. A beginning of them is held back until it is clear what it is.
#[derive(Debug)]
pub(crate) struct Watch {
    keys: Vec<u8>,
    held: usize,
}

impl Watch {
    pub(crate) fn new(keys: Vec<u8>) -> Self {
        Self { keys, held: 0 }
    }

    /// The part that goes on to the container, and whether the keys were pressed (what follows them is dropped).
    pub(crate) fn feed(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(typed.len());
        for byte in typed {
            if self.keys.get(self.held) == Some(byte) {
                self.held += 1;
                if self.held == self.keys.len() {
                    return (out, true);
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.held]);
            self.held = 0;
            match self.keys.first() == Some(byte) && self.keys.len() > 1 {
                true => self.held = 1,
                false => out.push(*byte),
            }
        }
        (out, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        assert_eq!(parse("").unwrap(), [16, 17]);
        assert_eq!(parse("ctrl-a,d").unwrap(), [1, b'd']);
        assert_eq!(parse("ctrl-@,ctrl-[,ctrl-_,DEL").unwrap(), [0, 27, 31, 127]);
        assert!(parse("ctrl-1").unwrap_err().starts_with("invalid detach keys (ctrl-1): "));
    }

    #[test]
    fn a_beginning_is_held_back() {
        let mut watch = Watch::new(vec![16, 17]);
        assert_eq!(watch.feed(b"a\x10"), (b"a".to_vec(), false));
        assert_eq!(watch.feed(b"b"), (b"\x10b".to_vec(), false));
        assert_eq!(watch.feed(b"\x10\x10"), (b"\x10".to_vec(), false));
        assert_eq!(watch.feed(b"\x11rest"), (Vec::new(), true));
    }
}
