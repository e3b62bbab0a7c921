//! The index: from the running number of an entry to its path, in a few bytes for each (a name and the number of the
//! directory).

use super::LocalError;

/// An index that grows as the walk goes on.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: Vec<Entry>,
    names: String,
}

#[derive(Debug)]
struct Entry {
    parent: Option<u32>,
    end: u32,
    contents: Contents,
}

/// The contents of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// The contents of a file, of so many bytes.
    File(u64),
    /// Nothing, though it counts as a file.
    Empty,
    /// None: the entry is no file.
    None,
}

impl Index {
    /// The next number.
    pub(super) fn add(
        &mut self,
        parent: Option<u32>,
        name: &str,
        contents: Contents,
    ) -> Result<u32, LocalError> {
        let number = u32::try_from(self.entries.len()).map_err(|_| LocalError::TooMany)?;
        self.names.push_str(name);
        let end = u32::try_from(self.names.len()).map_err(|_| LocalError::TooMany)?;
        self.entries.push(Entry { parent, end, contents });
        Ok(number)
    }

    /// The path of a file.
    pub(super) fn file(&self, number: u32) -> Result<(String, Contents), LocalError> {
        let unknown = LocalError::Id(number);
        let contents = match self.entry(number) {
            Some(entry) if entry.contents != Contents::None => entry.contents,
            _ => return Err(unknown),
        };
        let mut names = Vec::new();
        let mut next = Some(number);
        while let Some(number) = next {
            names.push(self.name(number).unwrap_or_default());
            next = self.entry(number).and_then(|entry| entry.parent);
        }
        names.reverse();
        Ok((names.join("/"), contents))
    }

    fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.get(usize::try_from(number).ok()?)
    }

    fn name(&self, number: u32) -> Option<&str> {
        let start = match number.checked_sub(1) {
            Some(before) => usize::try_from(self.entry(before)?.end).ok()?,
            None => 0,
        };
        self.names.get(start..usize::try_from(self.entry(number)?.end).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_paths() {
        let mut index = Index::default();
        let dir = index.add(None, "dir", Contents::None).unwrap();
        let sub = index.add(Some(dir), "sub", Contents::None).unwrap();
        let file = index.add(Some(sub), "file", Contents::File(7)).unwrap();
        let other = index.add(None, "other", Contents::Empty).unwrap();
        assert_eq!((dir, file, other), (0, 2, 3));
        assert_eq!(index.file(file).unwrap(), ("dir/sub/file".to_owned(), Contents::File(7)));
        assert_eq!(index.file(other).unwrap(), ("other".to_owned(), Contents::Empty));
        assert!(matches!(index.file(dir), Err(LocalError::Id(0))));
        assert!(matches!(index.file(9), Err(LocalError::Id(9))));
    }
}
