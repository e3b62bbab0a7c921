//! Waiting in a thread that may block, which a thread of an event loop may not.

use std::time::{Duration, Instant};

/// Asks `done` at once and then after each `pause`, until it says yes or `within` is over; whether it said yes.
pub fn until(within: Duration, pause: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + within;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        self::pause(pause);
    }
}

/// Blocks the calling thread for `time`.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_at_least_once_and_not_after_a_yes() {
        let mut asked = 0;
        assert!(!until(Duration::ZERO, Duration::ZERO, || {
            asked += 1;
            false
        }));
        assert_eq!(asked, 1);
        assert!(until(Duration::from_secs(60), Duration::ZERO, || {
            asked += 1;
            asked == 3
        }));
        assert_eq!(asked, 3);
    }
}
