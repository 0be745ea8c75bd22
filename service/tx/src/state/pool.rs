//! What many transactions have alike, kept once: the names that clients give, and their resources.

use std::borrow::Borrow;
use std::hash::Hash;
use std::sync::Arc;

use foldhash::quality::RandomState;
use hashbrown::HashSet;

/// Fewer than this are never looked through for what nobody uses any more.
const SWEPT_MIN: usize = 1_024;

/// Values that are given out as long as somebody uses them.
#[derive(Debug)]
pub(super) struct Pool<T: ?Sized> {
    values: HashSet<Arc<T>, RandomState>,
    /// With so many it is looked which of them nobody uses.
    swept_at: usize,
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self {
            values: HashSet::default(),
            swept_at: SWEPT_MIN,
        }
    }
}

impl<T: Hash + Eq + ?Sized> Pool<T> {
    /// The value that is equal to this one.
    pub(super) fn share(&mut self, value: impl Borrow<T> + Into<Arc<T>>) -> Arc<T> {
        if let Some(known) = self.values.get(value.borrow()) {
            return known.clone();
        }
        if self.values.len() >= self.swept_at {
            self.values.retain(|known| Arc::strong_count(known) > 1);
            self.swept_at = SWEPT_MIN.max(2 * self.values.len());
        }
        let value = value.into();
        self.values.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_goes() {
        let mut pool = Pool::<str>::default();
        let kept = pool.share("kept");
        for number in 0..10 * SWEPT_MIN {
            pool.share(number.to_string());
        }
        assert!(pool.values.len() <= SWEPT_MIN);
        assert!(Arc::ptr_eq(&kept, &pool.share("kept")));
    }
}
