//! `cp`: files in and out of containers, as tar archives, by Docker's rules (those of cp(1), with a slash at the end of
//! what must be a folder).

mod pack;
mod place;

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::format::size;
use crate::client::{Client, ClientError};
use crate::model::archive::Part;
use crate::model::container::PathStat;
use crate::model::reason::Reason;
use crate::model::reason::cause;
use crate::sys::local::{self, Moved};
use futures::StreamExt;
use pack::pack;
use place::{Landing, Place, Target, landing, named, place};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;
use tokio_util::io::{ReaderStream, StreamReader, SyncIoBridge};

/// Copy files/folders between a container and the local filesystem
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached
    #[arg(short, long)]
    quiet: bool,
    #[arg(required = true, value_name = "CONTAINER:SRC_PATH|SRC_PATH|-")]
    source: String,
    #[arg(required = true, value_name = "CONTAINER:DEST_PATH|DEST_PATH|-")]
    target: String,
}

/// Bytes of an archive in one message.
const CHUNK: usize = 256 << 10;

/// One side is a container, the other is not.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let (source, target) = (place(&args.source), place(&args.target));
    if [&source, &target].into_iter().any(|p| matches!(p, Place::Container { path, .. } if path.is_empty())) {
        return Err(CommandError::failed("bad parameter: path cannot be empty"));
    }
    let client = cx.client().await?;
    let bytes = match (&source, &target) {
        (Place::Container { name, path }, Place::Local(to)) => {
            from_container(&args, name, path, to, client, cx).await?
        }
        (Place::Local(from), Place::Container { name, path }) => {
            to_container(&args, from, name, path, client, cx).await?
        }
        (Place::Container { .. }, Place::Container { .. }) => {
            return Err(CommandError::failed("copying between containers is not supported"));
        }
        (Place::Local(_), Place::Local(_)) => {
            return Err(CommandError::failed("must specify at least one container source"));
        }
    };
    if !args.quiet && cx.ui.terminals().stdout && args.target != "-" {
        cx.ui.message(&format!("Successfully copied {} to {}", size::human(bytes), args.target));
    }
    Ok(())
}

const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
const KIND: u32 = 0o170_000;

async fn stat(client: &Client, container: &str, path: &str) -> Result<Option<PathStat>, ClientError> {
    match client.stat_path(container, path).await {
        Ok(stat) if stat.mode & KIND == LINK => {
            // The target of the link counts.
            match client.stat_path(container, &stat.link_target).await {
                Ok(target) => Ok(Some(target)),
                Err(error) if error.reason == Reason::NotFound => Ok(Some(stat)),
                Err(error) => Err(error),
            }
        }
        Ok(stat) => Ok(Some(stat)),
        Err(error) if error.reason == Reason::NotFound && error.to_string().contains("the file") => Ok(None),
        Err(error) => Err(error),
    }
}

fn absolute(path: &str) -> String {
    match (path.starts_with('/'), path.is_empty()) {
        (true, _) => path.to_owned(),
        (false, true) => "/".to_owned(),
        (false, false) => format!("/{path}"),
    }
}

async fn from_container(
    args: &Args,
    container: &str,
    path: &str,
    target: &str,
    client: &Client,
    cx: &Context,
) -> Result<i64, CommandError> {
    let path = absolute(path);
    let through = args.follow_link || path.ends_with('/') || path.ends_with("/.");
    if target == "-" {
        if cx.ui.terminals().stdout {
            return Err(CommandError::failed(
                "cowardly refusing to copy to a terminal. Use a redirect or a path",
            ));
        }
        let mut archive = client.copy_from(container, &path, "", through).await?;
        while let Some(part) = archive.next().await {
            match part? {
                Part::Data(bytes) => cx.ui.data(&bytes)?,
                Part::LeftOut(text) => cx.ui.warning(&text),
            }
        }
        return Ok(0);
    }
    let own = client.stat_path(container, &path).await?;
    let own = match own.mode & KIND == LINK && through {
        true => client.stat_path(container, &own.link_target).await?,
        false => own,
    };
    let what = match std::fs::metadata(target) {
        Ok(meta) if meta.is_dir() => Target::Folder,
        Ok(_) => Target::File,
        Err(_) => Target::Missing,
    };
    let landing = landing(&path, own.mode & KIND == FOLDER, target, what).map_err(CommandError::failed)?;
    if !Path::new(&landing.folder).is_dir() {
        let text = format!("invalid output path: directory {:?} does not exist", landing.folder);
        return Err(CommandError::failed(text));
    }
    let archive = client.copy_from(container, &path, &landing.name, through).await?;
    let counted = Arc::new(AtomicU64::new(0));
    let count = counted.clone();
    let (tell, mut told) = mpsc::unbounded_channel();
    let archive = archive.filter_map(move |part| {
        let bytes = match part {
            Ok(Part::Data(bytes)) => {
                count.fetch_add(u64::try_from(bytes.len()).unwrap_or(0), Ordering::Relaxed);
                Some(Ok(bytes))
            }
            Ok(Part::LeftOut(text)) => {
                let _ = tell.send(text);
                None
            }
            Err(error) => Some(Err(io::Error::other(error))),
        };
        std::future::ready(bytes)
    });
    let mut reader = SyncIoBridge::new(StreamReader::new(archive));
    let keep = args.archive;
    let folder = PathBuf::from(&landing.folder);
    let moved = tokio::task::spawn_blocking(move || {
        let moved = local::unpack(&folder, &mut reader, keep)?;
        // Words come behind the archive's end.
        io::copy(&mut reader, &mut io::sink())?;
        Ok::<_, io::Error>(moved)
    })
    .await
    .map_err(|error| CommandError::failed(error.to_string()))??;
    while let Ok(text) = told.try_recv() {
        cx.ui.warning(&text);
    }
    for text in &moved.left_out {
        cx.ui.warning(text);
    }
    Ok(copied(&counted, &moved))
}

/// Bytes of an archive as Docker makes it, without what only we add.
fn copied(counted: &AtomicU64, moved: &Moved) -> i64 {
    let bytes = counted.load(Ordering::Relaxed).saturating_sub(moved.extended);
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

async fn to_container(
    args: &Args,
    source: &str,
    container: &str,
    path: &str,
    client: &Client,
    cx: &Context,
) -> Result<i64, CommandError> {
    let path = absolute(path);
    let there = stat(client, container, &path).await?;
    let what = match &there {
        None => Target::Missing,
        Some(stat) if stat.mode & KIND == FOLDER => Target::Folder,
        Some(_) => Target::File,
    };
    let (landing, sent) = if source == "-" {
        if what != Target::Folder {
            return Err(CommandError::failed(format!(
                "destination \"{container}:{path}\" must be a directory"
            )));
        }
        let landing = Landing { folder: path.clone(), name: String::new() };
        let stdin = ReaderStream::with_capacity(tokio::io::stdin(), CHUNK);
        (landing, client.copy_to(container, &path, true, stdin).await)
    } else {
        let through = args.follow_link || source.ends_with('/') || source.ends_with("/.");
        let meta = match through {
            true => std::fs::metadata(source),
            false => std::fs::symlink_metadata(source),
        };
        let meta = meta.map_err(|error| {
            let whole = std::path::absolute(source).unwrap_or_else(|_| PathBuf::from(source));
            CommandError::failed(format!("lstat {}: {}", whole.display(), cause(&error)))
        })?;
        let landing = landing(&named(source), meta.is_dir(), &path, what).map_err(CommandError::failed)?;
        if stat(client, container, &landing.folder).await?.is_none_or(|s| s.mode & KIND != FOLDER) {
            return Err(CommandError::failed(format!(
                "Error response from daemon: Could not find the file {} in container {container}",
                landing.folder
            )));
        }
        let counted = Arc::new(AtomicU64::new(0));
        let (archive, packed) = pack(PathBuf::from(source), landing.name.clone(), through, counted.clone());
        let answer = client.copy_to(container, &landing.folder, true, archive).await;
        // An error in packing is the cause of the daemon's.
        let moved = match packed.lock().ok().and_then(|mut packed| packed.take()) {
            Some(Err(error)) => return Err(CommandError::failed(error)),
            Some(Ok(moved)) => moved,
            None => Moved::default(),
        };
        for warning in moved.left_out.iter().chain(&answer?) {
            cx.ui.warning(warning);
        }
        return Ok(copied(&counted, &moved));
    };
    debug_assert!(landing.name.is_empty());
    for warning in sent? {
        cx.ui.warning(&warning);
    }
    Ok(0)
}
