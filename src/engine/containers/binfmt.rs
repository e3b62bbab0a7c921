//! Programs of other architectures: what the kernel has handlers for (`binfmt_misc`).

use crate::model::platform::Platform;
use std::path::Path;

/// The kernel's folder of handlers.
pub(super) const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

/// Size of the part of an ELF header by which a handler knows it, in bytes; the machine is at its end.
const MACHINE: std::ops::Range<usize> = 18..20;

/// True when a host's kernel starts programs for a platform: its own, those of its processor's older mode, and those
/// that a handler is for.
pub(super) fn runs(own: &Platform, image: &Platform, handlers: &Path) -> bool {
    if image.os != own.os {
        return false;
    }
    let older = [("amd64", "386"), ("arm64", "arm")];
    let pair = (own.architecture.as_str(), image.architecture.as_str());
    if pair.0 == pair.1 || older.contains(&pair) {
        return true;
    }
    let Some(machine) = machine(&image.architecture) else { return false };
    let entries = std::fs::read_dir(handlers).into_iter().flatten().flatten();
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    texts.into_iter().any(|text| handles(&text, machine))
}

/// The two bytes of the machine in the header of an architecture's programs.
fn machine(architecture: &str) -> Option<[u8; 2]> {
    Some(match architecture {
        "386" => [3, 0],
        "amd64" => [62, 0],
        "arm" => [40, 0],
        "arm64" => [183, 0],
        "loong64" => [2, 1],
        "mips64le" | "mipsle" => [8, 0],
        "ppc64le" => [21, 0],
        "riscv64" => [243, 0],
        "s390x" => [0, 22],
        _ => return None,
    })
}

/// True for the text of a handler that is switched on and for programs of this machine.
fn handles(text: &str, machine: [u8; 2]) -> bool {
    let mut lines = text.lines();
    let magic = text.lines().find_map(|line| line.strip_prefix("magic ")).unwrap_or_default();
    let byte = |at: usize| magic.get(at * 2..at * 2 + 2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
    lines.next() == Some("enabled")
        && magic.starts_with("7f454c46")
        && MACHINE.zip(machine).all(|(at, wanted)| byte(at) == Some(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs() {
        let dir = tempfile::tempdir().unwrap();
        let magic = "7f454c460201010000000000000000000200b700";
        let handler = format!(
            "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: OCF\noffset 0\nmagic {magic}\n"
        );
        std::fs::write(dir.path().join("qemu-aarch64"), &handler).unwrap();
        std::fs::write(dir.path().join("status"), "enabled").unwrap();
        let own = Platform::linux("amd64");
        for (architecture, yes) in
            [("amd64", true), ("386", true), ("arm64", true), ("s390x", false), ("unheard-of", false)]
        {
            assert_eq!(runs(&own, &Platform::linux(architecture), dir.path()), yes, "{architecture}");
        }
        assert!(!runs(&own, &Platform { os: "windows".into(), ..own.clone() }, dir.path()));
        std::fs::write(dir.path().join("qemu-aarch64"), handler.replace("enabled", "disabled")).unwrap();
        assert!(!runs(&own, &Platform::linux("arm64"), dir.path()));
    }
}
