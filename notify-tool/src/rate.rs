//! How fast the app may hand over descriptors: each costs the service manager a slot of its table
//! and of its event loop, also if the app takes it back at once.

use std::time::{Duration, Instant};

/// More than a store of any usual size changes in a second.
const EXTRA: usize = 64;

/// A budget that fills up again in a second.
#[derive(Debug)]
pub struct Rate {
    most: usize,
    left: usize,
    filled: Instant,
}

impl Rate {
    /// For a store of this size: the whole of it at once, and some more.
    pub fn new(store: usize, now: Instant) -> Self {
        let most = store.saturating_add(EXTRA);
        Rate { most, left: most, filled: now }
    }

    /// Whether `count` more descriptors are within the budget, which they are taken from then.
    pub fn allows(&mut self, count: usize, now: Instant) -> bool {
        if now.saturating_duration_since(self.filled) >= Duration::from_secs(1) {
            self.left = self.most;
            self.filled = now;
        }
        let rest = self.left.checked_sub(count);
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_brings_it_back() {
        let start = Instant::now();
        let mut rate = Rate::new(6, start);
        assert!(rate.allows(70, start));
        assert!(!rate.allows(1, start + Duration::from_millis(999)));
        assert!(rate.allows(1, start + Duration::from_secs(1)));
        assert!(!rate.allows(70, start + Duration::from_secs(1)));
        assert!(rate.allows(69, start + Duration::from_secs(1)));
    }
}
