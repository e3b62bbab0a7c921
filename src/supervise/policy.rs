//! How long to wait before a child is started again.

use std::time::Duration;

/// Doubles from 20 ms to 5 s; a child that has run for ten seconds starts afresh.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Wait this long.
    pub delay: Duration,
}

impl Backoff {
    /// After a run of that length.
    pub fn next(&mut self, ran: Duration) -> Step {
        if ran >= Duration::from_secs(10) {
            self.failures = 0;
        }
        let delay = (20_u64 << self.failures.min(8)).min(5000);
        self.failures += 1;
        Step { delay: Duration::from_millis(delay) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_quick_and_later_ones_wait() {
        let mut backoff = Backoff::default();
        let delays: Vec<u128> = (0..10).map(|_| backoff.next(Duration::ZERO).delay.as_millis()).collect();
        assert_eq!(delays, [20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000]);
        assert_eq!(backoff.next(Duration::from_secs(11)).delay.as_millis(), 20);
    }
}
