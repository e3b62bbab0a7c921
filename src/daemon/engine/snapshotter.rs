//! The snapshotter: chosen at the first start, and kept, for images are unpacked with it.

use super::error::StageError;
use crate::config::Instance;
use crate::model::holder::EngineToHolder;
use crate::rootless::mounts;
use crate::supervise::Holder;
use std::fs;

/// The snapshotter that the first start chose; another wish is refused in words.
pub(super) fn choose(instance: &Instance, holder: &Holder) -> Result<String, StageError> {
    let record = instance.dirs.data.join("snapshotter");
    let wish = instance.config.snapshotter.as_str();
    if let Ok(chosen) = fs::read_to_string(&record) {
        let chosen = chosen.trim().to_owned();
        if wish != "auto" && wish != chosen {
            return Err(StageError::Snapshotter {
                data: instance.dirs.data.clone(),
                chosen,
                wish: wish.to_owned(),
            });
        }
        return Ok(chosen);
    }
    let chosen = match wish {
        "auto" if mounts::overlay_works(&instance.dirs.data) => "overlayfs",
        "auto" => {
            holder.report(&EngineToHolder::Warning {
                message: format!(
                    "{} is on a file system on which overlayfs does not work: the native snapshotter is used, which \
                     copies every layer and is slow",
                    instance.dirs.data.display()
                ),
            });
            "native"
        }
        wish => wish,
    };
    fs::write(&record, chosen).map_err(StageError::step(format!("write {}", record.display())))?;
    Ok(chosen.to_owned())
}
