//! What a layer takes away of the layers below.

use super::folders::Below;
use super::remove::{self, FOLDER};
use super::{Entry, Layer};
use rustix::fs::{AtFlags, FileType, Gid, Mode, Uid, chownat, mknodat, openat};
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

impl Layer {
    /// Takes a name of this folder away.
    pub(super) fn take_away(&mut self, name: &OsStr, entry: &Entry) -> io::Result<()> {
        remove::all(self.folders.here(), name)?;
        self.folders.forget(name);
        self.white_out(name, entry.uid, entry.gid)
    }

    /// Marks a name as taken away, if a lower folder has it.
    fn white_out(&mut self, name: &OsStr, uid: u32, gid: u32) -> io::Result<()> {
        if self.folders.below(name)? == Below::Nothing {
            return Ok(());
        }
        let here = self.folders.here();
        mknodat(here, name, FileType::CharacterDevice, Mode::empty(), 0)?;
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        Ok(chownat(here, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Takes everything in this folder away that is not of this layer.
    pub(super) fn make_opaque(&mut self) -> io::Result<()> {
        let Some(made) = &self.made else {
            return match self.folders.is_top() {
                // An overlay does not ask its own root.
                true => self.hide_all_at_the_top(),
                false => self.folders.hide_below_here(),
            };
        };
        let here = self.folders.path();
        let folder = self.folders.here().try_clone_to_owned()?;
        keep_only(&folder, &here, &|path| made.contains(path))?;
        self.folders.forget_all();
        Ok(())
    }

    fn hide_all_at_the_top(&mut self) -> io::Result<()> {
        for name in self.folders.names_below()? {
            match remove::look(self.folders.here(), &name)? {
                None => self.white_out(&name, 0, 0)?,
                Some(stat) if remove::kind(&stat) == FileType::Directory => self.folders.hide_below(&name)?,
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// Removes everything in a folder that is not kept, nor has anything kept in it.
fn keep_only(folder: &OwnedFd, path: &Path, kept: &dyn Fn(&Path) -> bool) -> io::Result<()> {
    for name in remove::names(folder)? {
        let path: PathBuf = path.join(&name);
        if !kept(&path) {
            remove::all(folder, &name)?;
        } else if remove::is_folder(folder, &name)? {
            keep_only(&openat(folder, &name, FOLDER, Mode::empty())?, &path, kept)?;
        }
    }
    Ok(())
}
