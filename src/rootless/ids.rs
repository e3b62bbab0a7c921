//! Subordinate IDs (subuid(5), subgid(5)) and the maps that are made of them (user_namespaces(7)).

use super::{RootlessError, find_program};
use std::process::Command;

/// One range of subordinate IDs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First ID on the host.
    pub start: u32,
    /// Number of IDs.
    pub count: u32,
}

/// The ranges that a text in the form of `/etc/subuid` gives to a user, by name or by number.
pub fn ranges(text: &str, user: &str, uid: u32) -> Vec<Range> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.trim().split(':');
            let (owner, start, count) = (fields.next()?, fields.next()?, fields.next()?);
            if owner != user && owner.parse() != Ok(uid) {
                return None;
            }
            Some(Range { start: start.trim().parse().ok()?, count: count.trim().parse().ok()? })
        })
        .filter(|range| range.count > 0)
        .collect()
}

/// Arguments of newuidmap and newgidmap after the process ID: root is the caller, 1 and up are the ranges.
pub fn map_arguments(own: u32, ranges: &[Range]) -> Vec<String> {
    let mut arguments = vec!["0".to_owned(), own.to_string(), "1".to_owned()];
    let mut inside: u32 = 1;
    for range in ranges {
        arguments.extend([inside.to_string(), range.start.to_string(), range.count.to_string()]);
        inside = inside.saturating_add(range.count);
    }
    arguments
}

/// Writes one map of a process that has just made its user namespace.
///
/// # Errors
/// The program is missing or refuses, with its words.
pub fn write_map(program: &str, pid: u32, own: u32, ranges: &[Range]) -> Result<(), RootlessError> {
    let path = find_program(program).unwrap_or_else(|| program.into());
    #[expect(
        clippy::disallowed_methods,
        reason = "a set-user-ID program of the host, before there is a holder"
    )]
    let output = Command::new(&path)
        .arg(pid.to_string())
        .args(map_arguments(own, ranges))
        .output()
        .map_err(RootlessError::step(format!("run {}", path.display())))?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(RootlessError::Map { program: program.into(), output: complaint })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "alice:100000:65536\nbob:200000:65536\n1000:300000:10\nbroken\nalice:x:1\nalice:5:0\n";
        assert_eq!(
            ranges(text, "alice", 1000),
            [Range { start: 100_000, count: 65536 }, Range { start: 300_000, count: 10 }]
        );
        assert_eq!(ranges(text, "carol", 7), []);
    }

    #[test]
    fn maps_begin_with_the_caller_as_root() {
        let ranges = [Range { start: 100_000, count: 65536 }, Range { start: 300_000, count: 10 }];
        assert_eq!(map_arguments(1000, &ranges).join(" "), "0 1000 1 1 100000 65536 65537 300000 10");
    }
}
