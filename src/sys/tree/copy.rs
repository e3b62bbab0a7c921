//! Copying of a tree into another one.

use super::Tree;
use super::place::{Owner, Place, Unpack};
use std::io;
use std::path::Path;

impl Tree {
    /// Copies all entries of this folder into `target`, which gets this one's owner, mode, times and attributes.
    /// Answers the files that were left out, in words.
    pub fn copy_into(&self, target: &Self) -> io::Result<Vec<String>> {
        let how = Unpack { owner: Owner::Kept, ..Unpack::default() };
        let mut place = Place::new(target.folder(Path::new("."))?, how);
        let mut left_out = self.walk(Path::new("/"), Path::new(""), &mut place)?;
        left_out.extend(place.finish()?);
        Ok(left_out)
    }
}
