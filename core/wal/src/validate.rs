//! Whether a batch fits the log as it is. Found out before anything is written, so that a caller's mistake harms nothing.

use std::collections::BTreeMap;

use crate::batch::Batch;
use crate::entry::{GroupId, LogPoint};
use crate::error::Error;
use crate::format::Tag;
use crate::index::Index;

/// A group's log as the earlier records of the batch leave it.
#[derive(Clone, Copy)]
struct Shape {
    base: LogPoint,
    last: u64,
    /// Entries below are those of the index.
    changed_from: u64,
}

pub(crate) fn validate<F>(index: &Index<F>, batch: &Batch) -> Result<(), Error> {
    let mut shapes = BTreeMap::<GroupId, Shape>::new();
    for (record, _, _) in batch.records() {
        let group = record.group;
        if record.tag == Tag::HardState {
            continue;
        }
        let shape = shapes.entry(group).or_insert_with(|| {
            let known = index.groups.get(&group);
            Shape {
                base: known.map_or(LogPoint::default(), |known| known.base),
                last: known.map_or(0, |known| known.last()),
                changed_from: u64::MAX,
            }
        });
        let compacted = Error::Compacted {
            group,
            index: record.index,
            compacted: shape.base.index,
        };
        let gap = Error::Gap {
            group,
            index: record.index,
            last: shape.last,
        };
        match record.tag {
            Tag::Entry | Tag::Truncate => {
                if record.index <= shape.base.index {
                    return Err(compacted);
                }
                if record.index - 1 > shape.last || record.index == u64::MAX {
                    return Err(gap);
                }
                shape.changed_from = shape.changed_from.min(record.index);
                shape.last = record.index - u64::from(record.tag == Tag::Truncate);
            }
            Tag::Compact => {
                if record.index > shape.last {
                    return Err(gap);
                }
                let known = if record.index == shape.base.index {
                    Some(shape.base.term)
                } else if record.index > shape.base.index && record.index < shape.changed_from {
                    let known = index.groups.get(&group);
                    known.and_then(|known| known.term(record.index))
                } else {
                    None
                };
                if let Some(expected) = known
                    && expected != record.term
                {
                    return Err(Error::Term {
                        group,
                        index: record.index,
                        expected,
                        found: record.term,
                    });
                }
                if record.index > shape.base.index {
                    shape.base = record.point();
                }
            }
            Tag::Reset | Tag::Remove => {
                if record.index == u64::MAX {
                    return Err(gap);
                }
                if record.index == 0 && record.term != 0 {
                    return Err(Error::Term {
                        group,
                        index: 0,
                        expected: 0,
                        found: record.term,
                    });
                }
                shape.base = record.point();
                shape.last = record.index;
                shape.changed_from = 0;
            }
            Tag::HardState | Tag::Moved => {}
        }
    }
    Ok(())
}
