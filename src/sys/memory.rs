//! Memory of this process that it can have again, given back while there is nothing to do: pages of its own program, which
//! the page cache keeps and gives again without reading, and what the allocator holds free.
// UNSAFETY: madvise(2), malloc_trim(3).
#![expect(unsafe_code, reason = "advice about this program's own pages")]

use nix::sys::resource::{UsageWho, getrusage};
use rustix::mm::{Advice, madvise};
use std::fs;
use std::io;
use std::time::Duration;

/// Time without work after which memory is given back.
pub const PAUSE: Duration = Duration::from_secs(5);
/// CPU time within a pause that is no work: timers that look whether there is any. A whole `run` takes the engine some 3 ms.
const NO_WORK: Duration = Duration::from_millis(1);

/// Gives back pages and free memory. It takes about a millisecond.
///
/// # Errors
/// proc(5), madvise(2); then what was given back stays so.
pub fn give_back() -> io::Result<()> {
    #[cfg(target_env = "gnu")]
    // SAFETY: the allocator's own, and it has a lock for each arena.
    unsafe {
        libc::malloc_trim(0);
    }
    let program = fs::read_link("/proc/self/exe")?;
    for (begin, end) in untouched(&fs::read_to_string("/proc/self/smaps")?, &program.to_string_lossy()) {
        // SAFETY: these pages are the file's, and nobody maps the program's own segments anew: whoever reads them next
        // gets the same bytes.
        unsafe { madvise(begin as *mut _, end - begin, Advice::LinuxDontNeed)? };
    }
    Ok(())
}

/// Address ranges of the program's file that are not writable and have no page that was changed, by proc(5)'s smaps.
fn untouched(smaps: &str, program: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut range = None;
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let first = words.next().unwrap_or_default();
        if first == "Anonymous:" {
            found.extend(range.take().filter(|_| words.next() == Some("0")));
        } else if !first.ends_with(':') {
            let writable = words.next().is_none_or(|flags| flags.contains('w'));
            let path = line.splitn(6, ' ').nth(5).unwrap_or_default().trim_start();
            range =
                first.split_once('-').filter(|_| !writable && path == program).and_then(|(begin, end)| {
                    Some((usize::from_str_radix(begin, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
                });
        }
    }
    found
}

/// Gives memory back after each time of work, for ever. What cannot be given back is kept.
pub async fn rest() {
    let mut idle = Idle::default();
    loop {
        tokio::time::sleep(PAUSE).await;
        let _ = idle.look();
    }
}

/// A process that looks from time to time whether it has worked.
#[derive(Debug)]
struct Idle {
    worked: bool,
    cpu: Duration,
}

impl Default for Idle {
    /// A process that has just begun has worked.
    fn default() -> Self {
        Self { worked: true, cpu: cpu() }
    }
}

impl Idle {
    /// Looks, about every [`PAUSE`].
    fn look(&mut self) -> io::Result<()> {
        let now = cpu();
        let worked = now.saturating_sub(self.cpu) > NO_WORK;
        self.cpu = now;
        if worked || !self.worked {
            self.worked |= worked;
            return Ok(());
        }
        self.worked = false;
        let given = give_back();
        self.cpu = cpu();
        given
    }
}

/// CPU time of all threads until now.
fn cpu() -> Duration {
    let time = |time: nix::sys::time::TimeVal| {
        Duration::new(
            u64::try_from(time.tv_sec()).unwrap_or(0),
            u32::try_from(time.tv_usec() * 1000).unwrap_or(0),
        )
    };
    getrusage(UsageWho::RUSAGE_SELF)
        .map(|usage| time(usage.user_time()) + time(usage.system_time()))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
00400000-00500000 r--p 00000000 08:01 11                         /opt/a program
Rss:                 100 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
00500000-00600000 r-xp 00100000 08:01 11                         /opt/a program
Anonymous:             0 kB
00600000-00700000 r--p 00200000 08:01 11                         /opt/a program
Anonymous:             4 kB
00700000-00800000 rw-p 00300000 08:01 11                         /opt/a program
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 08:01 12                 /opt/a program (deleted)
Anonymous:             0 kB
7f0000001000-7f0000002000 r--p 00000000 00:00 0
Anonymous:             0 kB
";

    #[test]
    fn only_the_programs_own_pages_are_given_back() {
        assert_eq!(untouched(SMAPS, "/opt/a program"), [(0x40_0000, 0x50_0000), (0x50_0000, 0x60_0000)]);
        assert_eq!(untouched(SMAPS, "/opt/a"), []);
        assert_eq!(untouched("", "/opt/a program"), []);
    }

    /// Resident memory of the program's file, in KiB.
    fn of_the_file() -> u64 {
        let text = fs::read_to_string("/proc/self/status").unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    #[test]
    fn what_is_given_back_is_less() {
        // All of the program is touched: it is read from the file anyway.
        let program = fs::read_link("/proc/self/exe").unwrap();
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let ranges = untouched(&smaps, &program.to_string_lossy());
        assert!(!ranges.is_empty());
        for (begin, end) in ranges {
            // SAFETY: as in `give_back`.
            unsafe { madvise(begin as *mut _, end - begin, Advice::LinuxPopulateRead) }.unwrap();
        }
        let before = of_the_file();
        give_back().unwrap();
        let after = of_the_file();
        assert!(after < before / 2, "{before} -> {after} KiB");
    }
}
