//! A hash table that can be frozen in no time: what a state machine with much state keeps it in.

use std::borrow::Borrow;
use std::hash::{BuildHasher as _, Hash};
use std::sync::Arc;

use foldhash::quality::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Entries of a bucket on the average: a write after a freeze copies one bucket.
const BUCKET_ENTRIES: usize = 128;

type Bucket<K, V> = HashTable<(K, V)>;

/// A map whose clone costs a pointer for each 128 entries. The first write to a bucket that a clone shares copies the
/// bucket; it grows by one bucket at a time (linear hashing), so that no single write takes long.
#[derive(Clone, Debug)]
pub struct Table<K, V> {
    buckets: Vec<Arc<Bucket<K, V>>>,
    entries: usize,
    hash: FixedState,
}

impl<K: Hash + Eq + Clone, V: Clone> Table<K, V> {
    /// An empty map. Where keys come from strangers the seed must be a secret of this process: it decides which keys
    /// share a bucket. No two seeds make a difference that shows, but for the order of [`Table::iter`].
    pub fn new(seed: u64) -> Self {
        Self {
            buckets: vec![Arc::default()],
            entries: 0,
            hash: FixedState::with_seed(seed),
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The value of `key`.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (hash, place) = self.place(key);
        let bucket = &self.buckets[place];
        let found = bucket.find(hash, |(its_key, _)| its_key.borrow() == key);
        found.map(|(_, value)| value)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (hash, place) = self.place(key);
        let bucket = &mut self.buckets[place];
        // What is not there need not be copied to be found missing.
        bucket.find(hash, |(its_key, _)| its_key.borrow() == key)?;
        let found = Arc::make_mut(bucket).find_mut(hash, |(its_key, _)| its_key.borrow() == key);
        found.map(|(_, value)| value)
    }

    /// Sets the value of `key` and returns the one before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (hash, place) = self.place(&key);
        let bucket = Arc::make_mut(&mut self.buckets[place]);
        let state = &self.hash;
        match bucket.entry(
            hash,
            |(its_key, _)| *its_key == key,
            |(key, _)| state.hash_one(key),
        ) {
            Entry::Occupied(mut known) => Some(std::mem::replace(&mut known.get_mut().1, value)),
            Entry::Vacant(vacant) => {
                vacant.insert((key, value));
                self.entries += 1;
                if self.entries > self.buckets.len() * BUCKET_ENTRIES {
                    self.split();
                }
                None
            }
        }
    }

    /// Removes `key` and returns its value.
    pub fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (hash, place) = self.place(key);
        let bucket = &mut self.buckets[place];
        bucket.find(hash, |(its_key, _)| its_key.borrow() == key)?;
        let found = Arc::make_mut(bucket).find_entry(hash, |(its_key, _)| its_key.borrow() == key);
        let ((_, value), _) = found.ok()?.remove();
        self.entries -= 1;
        Some(value)
    }

    /// All entries, in an order that means nothing.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let entries = self.buckets.iter().flat_map(|bucket| bucket.iter());
        entries.map(|(key, value)| (key, value))
    }

    /// The hash of a key, and its bucket.
    fn place<Q: Hash + ?Sized>(&self, key: &Q) -> (u64, usize) {
        let hash = self.hash.hash_one(key);
        (hash, place(hash, self.buckets.len()))
    }

    /// Makes one bucket more, from the entries of another.
    fn split(&mut self) {
        let count = self.buckets.len() + 1;
        // The new bucket's number without its highest bit.
        let from = (count - 1) ^ (1 << (count - 1).ilog2());
        let old = std::mem::take(&mut self.buckets[from]);
        let (mut stay, mut go) = (Bucket::new(), Bucket::new());
        let entries = Arc::unwrap_or_clone(old);
        for (key, value) in entries {
            let hash = self.hash.hash_one(&key);
            let bucket = if place(hash, count) == from {
                &mut stay
            } else {
                &mut go
            };
            bucket.insert_unique(hash, (key, value), |(key, _)| self.hash.hash_one(key));
        }
        self.buckets[from] = Arc::new(stay);
        self.buckets.push(Arc::new(go));
    }
}

/// The bucket of a hash. A bucket's own table uses the low and the seven highest bits.
fn place(hash: u64, buckets: usize) -> usize {
    let hash = (hash >> 24) as usize;
    let above = buckets.next_power_of_two();
    let place = hash & (above - 1);
    if place < buckets {
        place
    } else {
        place & (above / 2 - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn sorted(table: &Table<u16, u32>) -> Vec<(u16, u32)> {
        let mut entries: Vec<_> = table.iter().map(|(key, value)| (*key, *value)).collect();
        entries.sort_unstable();
        entries
    }

    proptest! {
        /// It does what a map does, and what was frozen stays as it was.
        #[test]
        fn it_is_a_map_and_a_frozen_one_stays(
            steps in prop::collection::vec((0..2_000u16, any::<u32>(), 0..8u8), 0..3_000),
            seed: u64,
        ) {
            let (mut table, mut model) = (Table::new(seed), BTreeMap::new());
            let mut frozen = Vec::new();
            for (key, value, what) in steps {
                match what {
                    0 if frozen.len() < 4 => frozen.push((table.clone(), model.clone())),
                    1 | 2 => prop_assert_eq!(table.remove(&key), model.remove(&key)),
                    _ => prop_assert_eq!(table.insert(key, value), model.insert(key, value)),
                }
                prop_assert_eq!(table.get(&key), model.get(&key));
            }
            frozen.push((table, model));
            for (table, model) in frozen {
                prop_assert_eq!(table.len(), model.len());
                prop_assert_eq!(sorted(&table), model.into_iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn buckets_stay_small() {
        let mut table = Table::new(7);
        for key in 0..200_000u64 {
            table.insert(key, ());
        }
        let largest = table.buckets.iter().map(|bucket| bucket.len()).max();
        assert!(largest < Some(4 * BUCKET_ENTRIES), "{largest:?}");
    }
}
