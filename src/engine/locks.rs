//! Locks of the engine: one policy for poisoned ones, and locks by name that take no room while nobody holds them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Locks a table of the engine, poisoned or not. A panic poisons a lock, and what it guards may then be in the middle of
/// a change; every change of the engine's tables is one insertion or removal, so there is no middle. Reading a poisoned
/// table as an empty one instead would make the sweep remove what is not in it.
pub(super) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks by name. A lock lives for as long as somebody holds it or waits for it.
#[derive(Debug)]
pub(super) struct Locks<K, L>(Mutex<HashMap<K, Weak<L>>>);

impl<K, L> Default for Locks<K, L> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash + Clone, L: Default> Locks<K, L> {
    /// The lock of this name, the same for everybody who has it at one time.
    pub(super) fn of(&self, name: &K) -> Arc<L> {
        let mut all = held(&self.0);
        if let Some(lock) = all.get(name).and_then(Weak::upgrade) {
            return lock;
        }
        all.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(L::default());
        all.insert(name.clone(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poisoned_table_is_read_as_it_is() {
        let table = Arc::new(Mutex::new(vec![1, 2]));
        let poisoned = table.clone();
        let panicked = std::thread::spawn(move || {
            let _table = poisoned.lock().unwrap();
            panic!("while it is held");
        });
        assert!(panicked.join().is_err() && table.is_poisoned());
        assert_eq!(*held(&table), [1, 2]);
    }

    #[test]
    fn one_lock_a_name_while_it_is_held() {
        let locks: Locks<&str, Mutex<()>> = Locks::default();
        let (one, same, other) = (locks.of(&"a"), locks.of(&"a"), locks.of(&"b"));
        assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
        drop((one, same));
        let _again = locks.of(&"c");
        assert_eq!(held(&locks.0).len(), 2);
    }
}
