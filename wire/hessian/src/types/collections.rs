//! Lists, sets and maps.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, Hash};

use crate::decode::{Decode, Decoder, ListHead};
use crate::encode::{Encode, Encoder};
use crate::error::Result;
use crate::java_type::JavaType;

/// Room to reserve for the items a list declares: a length is only a claim, so never more than the bytes left.
fn capacity<T>(d: &Decoder<'_>, head: &ListHead<'_>) -> usize {
    head.len_hint().min(d.left() / size_of::<T>().max(1))
}

pub(super) fn encode_items<'i, T: Encode + 'i>(
    e: &mut Encoder<'_>,
    class: Option<&str>,
    items: impl ExactSizeIterator<Item = &'i T>,
) {
    e.list_begin(class, items.len());
    items.for_each(|item| item.encode(e));
    e.list_end();
}

/// Reads a list of any class into any collection; null is empty.
fn decode_items<'de, T: Decode<'de>>(d: &mut Decoder<'de>, mut push: impl FnMut(T)) -> Result<()> {
    let Some(mut head) = d.list_begin()? else {
        return Ok(());
    };
    while d.list_more(&mut head)? {
        d.charge_size::<T>()?;
        push(T::decode(d)?);
    }
    Ok(())
}

fn encode_entries<'i, K: Encode + 'i, V: Encode + 'i>(
    e: &mut Encoder<'_>,
    entries: impl Iterator<Item = (&'i K, &'i V)>,
) {
    e.map_begin(None);
    for (key, value) in entries {
        key.encode(e);
        value.encode(e);
    }
    e.map_end();
}

/// Reads a map of any class into any collection; null is empty.
fn decode_entries<'de, K: Decode<'de>, V: Decode<'de>>(
    d: &mut Decoder<'de>,
    mut insert: impl FnMut(K, V),
) -> Result<()> {
    let Some(mut head) = d.map_begin()? else {
        return Ok(());
    };
    while d.map_more(&mut head)? {
        d.charge_size::<(K, V)>()?;
        let key = K::decode(d)?;
        insert(key, V::decode(d)?);
    }
    Ok(())
}

/// `java.util.ArrayList`: a list without a class.
impl<T: Encode> Encode for Vec<T> {
    #[inline]
    fn encode(&self, e: &mut Encoder<'_>) {
        encode_items(e, None, self.iter());
    }
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, e: &mut Encoder<'_>) {
        encode_items(e, None, self.iter());
    }
}

/// A list, set or array of any class; null is empty.
impl<'de, T: Decode<'de>> Decode<'de> for Vec<T> {
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        let Some(mut head) = d.list_begin()? else {
            return Ok(Vec::new());
        };
        let mut items = Vec::with_capacity(capacity::<T>(d, &head));
        while d.list_more(&mut head)? {
            d.charge_size::<T>()?;
            items.push(T::decode(d)?);
        }
        Ok(items)
    }

    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
}

impl<T: JavaType> JavaType for Vec<T> {
    fn java_type() -> Cow<'static, str> {
        Cow::Borrowed("java.util.List")
    }
}

impl<T: JavaType> JavaType for [T] {
    fn java_type() -> Cow<'static, str> {
        Cow::Borrowed("java.util.List")
    }
}

macro_rules! set {
    ($set:ty, $class:literal, [$($bounds:tt)*], [$($key:tt)*]) => {
        impl<T: Encode $($bounds)*> Encode for $set {
            fn encode(&self, e: &mut Encoder<'_>) {
                encode_items(e, Some($class), self.iter());
            }
        }

        /// A list, set or array of any class; null is empty.
        impl<'de, T: Decode<'de> + $($key)*> Decode<'de> for $set {
            fn decode(d: &mut Decoder<'de>) -> Result<Self> {
                let mut set = Self::default();
                decode_items(d, |item| {
                    set.insert(item);
                })?;
                Ok(set)
            }

            fn absent() -> Option<Self> {
                Some(Self::default())
            }
        }

        impl<T: JavaType $($bounds)*> JavaType for $set {
            fn java_type() -> Cow<'static, str> {
                Cow::Borrowed("java.util.Set")
            }
        }
    };
}

set!(HashSet<T, S>, "java.util.HashSet", [, S], [Eq + Hash, S: BuildHasher + Default]);
set!(BTreeSet<T>, "java.util.TreeSet", [], [Ord]);

macro_rules! map {
    ($map:ty, [$($hasher:tt)*], [$($key:tt)*]) => {
        /// `java.util.HashMap`: a map without a class.
        impl<K: Encode, V: Encode $($hasher)*> Encode for $map {
            fn encode(&self, e: &mut Encoder<'_>) {
                encode_entries(e, self.iter());
            }
        }

        /// A map of any class; null is empty.
        impl<'de, K: Decode<'de> + $($key)*> Decode<'de> for $map {
            fn decode(d: &mut Decoder<'de>) -> Result<Self> {
                let mut map = Self::default();
                decode_entries(d, |key, value| {
                    map.insert(key, value);
                })?;
                Ok(map)
            }

            fn absent() -> Option<Self> {
                Some(Self::default())
            }
        }

        impl<K: JavaType, V: JavaType $($hasher)*> JavaType for $map {
            fn java_type() -> Cow<'static, str> {
                Cow::Borrowed("java.util.Map")
            }
        }
    };
}

map!(HashMap<K, V, S>, [, S], [Eq + Hash, V: Decode<'de>, S: BuildHasher + Default]);
map!(BTreeMap<K, V>, [], [Ord, V: Decode<'de>]);

/// A map that keeps the order and the duplicates of its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JavaMap<K, V>(pub Vec<(K, V)>);

impl<K, V> Default for JavaMap<K, V> {
    fn default() -> Self {
        JavaMap(Vec::new())
    }
}

impl<K: Encode, V: Encode> Encode for JavaMap<K, V> {
    fn encode(&self, e: &mut Encoder<'_>) {
        encode_entries(e, self.0.iter().map(|(key, value)| (key, value)));
    }
}

/// A map of any class; null is empty.
impl<'de, K: Decode<'de>, V: Decode<'de>> Decode<'de> for JavaMap<K, V> {
    fn decode(d: &mut Decoder<'de>) -> Result<Self> {
        let mut entries = Vec::new();
        decode_entries(d, |key, value| entries.push((key, value)))?;
        Ok(JavaMap(entries))
    }

    fn absent() -> Option<Self> {
        Some(Self::default())
    }
}

impl<K: JavaType, V: JavaType> JavaType for JavaMap<K, V> {
    fn java_type() -> Cow<'static, str> {
        Cow::Borrowed("java.util.Map")
    }
}
