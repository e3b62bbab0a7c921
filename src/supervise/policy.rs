//! The pause before a child is started again.

use std::time::Duration;

/// A run of at least this long resets the back-off.
const LONG_RUN: Duration = Duration::from_secs(10);

/// Doubles from 20 ms to 5 s with each run that was no long one.
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after a run of this length.
    pub fn next(&mut self, ran: Duration) -> Duration {
        if ran >= LONG_RUN {
            self.failures = 0;
        }
        let milliseconds = (20_u64 << self.failures.min(8)).min(5000);
        self.failures += 1;
        Duration::from_millis(milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_quick_and_later_ones_wait() {
        let mut backoff = Backoff::default();
        let delays: Vec<u128> = (0..10).map(|_| backoff.next(Duration::ZERO).as_millis()).collect();
        assert_eq!(delays, [20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000]);
        assert_eq!(backoff.next(Duration::from_secs(11)).as_millis(), 20);
    }
}
