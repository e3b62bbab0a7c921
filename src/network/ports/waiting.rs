//! Connections for which the container has not answered yet.
//!
//! A container that listens answers at once, unless its queue is full: then its kernel drops the question. Ours would ask
//! again after a second, for all such connections in the same moment, and overflow the queue once more; and a kernel whose
//! queue overflows answers with cookies, of which it knows nothing later: the connection stands here and not there, for
//! ever if it is the container that speaks first. So we ask again ourselves, before the kernel does: sooner, and one after
//! the other.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Time until a container is asked again; it doubles each time. The kernel would ask after a second.
pub(super) const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(640);

/// When a connection asks again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    at: Instant,
    pause: Duration,
}

impl Turn {
    /// The first one.
    pub(super) fn first(now: Instant) -> Self {
        Self { at: now + FIRST, pause: FIRST }
    }

    /// Whether the container was asked once only.
    pub(super) fn is_first(self) -> bool {
        self.pause == FIRST
    }

    /// The one after this.
    pub(super) fn next(self, now: Instant) -> Self {
        let pause = (self.pause * 2).min(LONGEST);
        Self { at: now + pause, pause }
    }
}

/// A worker's connections that wait, by their places.
#[derive(Debug, Default)]
pub(super) struct Waiting(BTreeSet<(Instant, u32)>);

impl Waiting {
    pub(super) fn add(&mut self, turn: Turn, place: u32) {
        self.0.insert((turn.at, place));
    }

    pub(super) fn remove(&mut self, turn: Turn, place: u32) {
        self.0.remove(&(turn.at, place));
    }

    /// The next turn's time.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes those out whose turn it is.
    pub(super) fn take(&mut self, now: Instant) -> Vec<u32> {
        let mut due = Vec::new();
        while let Some((at, place)) = self.0.first().copied()
            && at <= now
        {
            self.0.pop_first();
            due.push(place);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_come_in_order_and_less_and_less_often() {
        let now = Instant::now();
        let (mut waiting, one) = (Waiting::default(), Turn::first(now));
        let two = one.next(now);
        waiting.add(two, 2);
        waiting.add(one, 1);
        waiting.add(one, 3);
        waiting.remove(one, 3);
        assert_eq!(waiting.next(), Some(now + FIRST));
        assert!(waiting.take(now).is_empty());
        assert_eq!(waiting.take(now + FIRST), [1]);
        assert_eq!(waiting.take(now + 2 * FIRST), [2]);
        assert_eq!(waiting.next(), None);
        assert!(one.is_first() && !two.is_first());
        let last = (0..20).fold(one, |turn, _| turn.next(now));
        assert_eq!(last.at, now + LONGEST);
    }
}
