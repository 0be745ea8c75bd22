//! From the files of a directory to the state they hold: which segments make the log, where it ends, and whether that end
//! is a torn tail or damage.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::directory::{Directory, File};
use crate::entry::{GroupId, HardState, LogPoint, Position};
use crate::error::Error;
use crate::files::{Files, Spare, UNFINISHED, number_of};
use crate::format::{
    BATCH_HEADER_BYTES, BATCHES_BEGIN, BLOCK, BatchHeader, HEADER_BYTES, HEADER_COPIES, Record,
    Seed, SegmentHeader, SegmentHeaderError, VERSION,
};
use crate::index::{Group, Index, Location, Segment};
use crate::scan::Scan;

/// What opening found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// Every group that has anything in the log.
    pub groups: BTreeMap<GroupId, RecoveredGroup>,
    /// What was cut from the end: writes that had not been synced.
    pub torn: Option<TornTail>,
    /// Where the log ended.
    pub end: Position,
    /// Up to where the log itself proves that it had been synced.
    pub mark: Position,
    /// How many batches were replayed.
    pub batches: u64,
    /// How many records were in them.
    pub records: u64,
    /// How many segments were read.
    pub segments: u64,
    /// Segment headers of which one of the two copies was damaged or half renewed. The other one served.
    pub headers_damaged: u64,
    /// How often the log has been opened, this time included.
    pub epoch: u64,
}

/// A group as the log has it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecoveredGroup {
    /// Term and vote, if they were ever written.
    pub hard_state: Option<HardState>,
    /// The last compacted entry.
    pub compacted: LogPoint,
    /// The last entry, or the compacted point if there is none.
    pub last: LogPoint,
    /// The terms of the entries: (first index, term).
    pub terms: Vec<(u64, u64)>,
}

impl RecoveredGroup {
    fn of(group: &Group) -> RecoveredGroup {
        RecoveredGroup {
            hard_state: group.hard_state.as_ref().map(|(state, _)| state.clone()),
            compacted: group.base,
            last: group.last_point(),
            terms: group.terms(),
        }
    }
}

/// Remains of batches behind the end of the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TornTail {
    /// The file in which the log ends.
    pub file: String,
    /// Where it ends.
    pub position: Position,
    /// How many batches can still be told to have been there.
    pub batches: u64,
    /// What they took.
    pub bytes: u64,
}

/// The last batch of a log, to which the next one is chained.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Chain {
    pub number: u64,
    pub checksum: u32,
    pub epoch: u64,
    pub head: u64,
    pub mark: Position,
}

impl Chain {
    pub(crate) fn of(header: &BatchHeader) -> Chain {
        Chain {
            number: header.number,
            checksum: header.checksum,
            epoch: header.epoch,
            head: header.head,
            mark: header.mark,
        }
    }

    fn goes_on_with(&self, header: &BatchHeader) -> bool {
        header.previous == self.checksum
            && self.number.checked_add(1) == Some(header.number)
            && header.epoch >= self.epoch
    }
}

/// A log as it was found.
pub(crate) struct Found<F> {
    /// Its segments are all that follow each other without a gap, those behind the end included.
    pub index: Index<F>,
    pub chain: Option<Chain>,
    pub end: Position,
    pub epoch_max: u64,
    pub recovery: Recovery,
}

fn corrupt(file: &str, segment: u64, offset: u64, what: impl Into<String>) -> Error {
    Error::Corrupt {
        file: file.to_owned(),
        segment,
        offset,
        what: what.into(),
    }
}

fn reading(file: &str) -> impl Fn(std::io::Error) -> Error {
    let file = file.to_owned();
    move |source| Error::Io {
        operation: "read",
        file: file.clone(),
        source,
    }
}

/// The segments in the directory by sequence number; spares go to `files`.
pub(crate) fn load<D: Directory>(
    files: &mut Files<D>,
    recovery: &mut Recovery,
) -> Result<BTreeMap<u64, Segment<D::File>>, Error> {
    let mut names = files.directory.list().map_err(reading("the directory"))?;
    names.sort();
    let mut segments = BTreeMap::<u64, Segment<D::File>>::new();
    for name in names {
        if name == UNFINISHED {
            let removed = files.directory.remove(UNFINISHED);
            removed.map_err(|source| Error::Io {
                operation: "remove",
                file: name,
                source,
            })?;
            continue;
        }
        let Some(number) = number_of(&name) else {
            continue;
        };
        files.number_next = files.number_next.max(number.saturating_add(1));
        let opened = files.directory.open(&name);
        let file = opened.map_err(|source| Error::Io {
            operation: "open",
            file: name.clone(),
            source,
        })?;
        // What a killed process left in the page cache becomes durable before anything is built on it.
        let settled = file.settle();
        settled.map_err(|error| Error::Failed(format!("opening cannot sync {name}: {error}")))?;
        let header = header(&file, &name, recovery)?;
        let (sequence, bytes) = (header.sequence, header.segment_bytes);
        let file = Arc::new(file);
        if sequence == 0 {
            files.spares.push(Spare { name, file, bytes });
            continue;
        }
        let segment = Segment {
            sequence,
            name,
            file,
            seed: Seed::of_segment(header.salt, sequence),
            bytes,
            live_bytes: 0,
        };
        if let Some(other) = segments.get(&sequence) {
            let what = format!("{} is the same segment of the log", other.name);
            return Err(corrupt(&segment.name, sequence, 0, what));
        }
        segments.insert(sequence, segment);
    }
    Ok(segments)
}

/// A segment is renewed one copy after the other, so the newer of two copies counts.
fn header<F: File>(file: &F, name: &str, recovery: &mut Recovery) -> Result<SegmentHeader, Error> {
    let size = file.size_bytes().map_err(reading(name))?;
    let mut found: Option<SegmentHeader> = None;
    let mut copies = 0;
    for offset in HEADER_COPIES {
        if size < u64::from(offset) + HEADER_BYTES as u64 {
            continue;
        }
        let mut bytes = [0; HEADER_BYTES];
        let read = file.read_at(&mut bytes, offset.into());
        read.map_err(reading(name))?;
        match SegmentHeader::decode(&bytes, offset) {
            Ok(header) => {
                copies += u32::from(found.is_none_or(|other| other == header));
                if found.is_none_or(|other| other.sequence < header.sequence) {
                    found = Some(header);
                }
            }
            Err(SegmentHeaderError::Damaged) => {}
            Err(SegmentHeaderError::Version(found)) => {
                return Err(Error::Version {
                    file: name.to_owned(),
                    found,
                    expected: VERSION,
                });
            }
        }
    }
    let Some(header) = found else {
        return Err(corrupt(name, 0, 0, "neither copy of the header is whole"));
    };
    if size != u64::from(header.segment_bytes) {
        let what = format!(
            "the file has {size} bytes, its header says {}",
            header.segment_bytes
        );
        return Err(corrupt(name, header.sequence, size, what));
    }
    if copies != 2 {
        // The next renewal may tear one copy, so the other one has to be whole.
        recovery.headers_damaged += 1;
        mend(file, &header)
            .map_err(|error| Error::Failed(format!("mending the header of {name}: {error}")))?;
    }
    Ok(header)
}

/// Writes the copies that are not as they should be. At least one is.
fn mend<F: File>(file: &F, header: &SegmentHeader) -> std::io::Result<()> {
    for offset in HEADER_COPIES {
        let mut found = [0; HEADER_BYTES];
        file.read_at(&mut found, offset.into())?;
        let whole = header.encode(offset);
        if found != whole {
            file.write_at(&whole, offset.into())?;
            file.sync()?;
        }
    }
    Ok(())
}

/// What lies behind the end of the log.
#[derive(Default)]
struct Beyond {
    batches: u64,
    bytes: u64,
    mark: Position,
    /// The next segment with which the log has begun since, if there is one. Not the last one: that may be what a torn batch
    /// says, and the log still need what lies before it.
    head: Option<u64>,
    epoch: u64,
}

/// Replays the log that the segments hold. Those that are older than it are given to `files` as spares.
pub(crate) fn replay<D: Directory>(
    files: &mut Files<D>,
    mut segments: BTreeMap<u64, Segment<D::File>>,
    mut recovery: Recovery,
) -> Result<Found<D::File>, Error> {
    // The tail and the head are in the run that ends with the highest number: whatever lies below a gap left the log.
    let Some(&top) = segments.keys().next_back() else {
        return Ok(Found {
            index: Index::new(),
            chain: None,
            end: Position::default(),
            epoch_max: 0,
            recovery,
        });
    };
    let mut first = top;
    while first > 1 && segments.contains_key(&(first - 1)) {
        first -= 1;
    }
    let mut run = segments.split_off(&first);
    let mut spares = Vec::from_iter(segments.into_values());
    loop {
        let mut index = Index::new();
        index.segments.0 = std::mem::take(&mut run).into_values().collect();
        let (chain, end) = read_log(&mut index, &mut recovery)?;
        let expected = chain.map_or(1, |chain| chain.number.saturating_add(1));
        let beyond = look_beyond(&index, end, chain.map_or(0, |chain| chain.epoch), expected)?;
        let at = end_segment(&index, end);
        if beyond.mark > end {
            if let Some(head) = beyond.head {
                // The damage is in a segment that had left the log.
                while let Some(mut segment) = index.segments.0.pop_front() {
                    segment.live_bytes = 0;
                    if segment.sequence < head {
                        spares.push(segment);
                    } else {
                        run.insert(segment.sequence, segment);
                    }
                }
                if run.first_key_value().map(|(&first, _)| first) != Some(head) {
                    let what = format!("the log begins with segment {head}, which is missing");
                    return Err(corrupt("the directory", head, 0, what));
                }
                first = head;
                continue;
            }
            let what = format!(
                "no whole batch, though the log had been synced up to {}",
                beyond.mark
            );
            let place = damaged_at(&index, chain, end)?;
            let (file, _) = end_segment(&index, place);
            return Err(corrupt(&file, place.segment, place.offset.into(), what));
        }
        let Some(known) = chain else {
            // Nothing was ever synced in a log that has only its first segments; any other begins with a batch.
            if first > 1 {
                let what = "no batch begins the segment, and the one before it is missing";
                return Err(corrupt(&at.0, end.segment, end.offset.into(), what));
            }
            return Ok(found(index, chain, end, beyond, recovery));
        };
        if known.head < first || known.head > end.segment {
            let what = format!(
                "either segment {}, with which the log begins, is missing, or the last batch is damaged here",
                known.head
            );
            return Err(corrupt(&at.0, end.segment, end.offset.into(), what));
        }
        if let Err((group, what)) = index.finish() {
            let what = format!("group {group} has {what}");
            return Err(corrupt(&at.0, end.segment, end.offset.into(), what));
        }
        while let Some(segment) = index.segments.0.front()
            && segment.sequence < known.head
        {
            if segment.live_bytes > 0 {
                let what = "a segment that left the log holds what is live";
                return Err(corrupt(&segment.name, segment.sequence, 0, what));
            }
            spares.extend(index.segments.0.pop_front());
        }
        files.spares.extend(spares.into_iter().map(|segment| Spare {
            name: segment.name,
            file: segment.file,
            bytes: segment.bytes,
        }));
        return Ok(found(index, chain, end, beyond, recovery));
    }
}

fn end_segment<F>(index: &Index<F>, end: Position) -> (String, u64) {
    let mut segments = index.segments.0.iter();
    let segment = segments.find(|segment| segment.sequence == end.segment);
    segment.map_or((String::new(), 0), |segment| {
        (segment.name.clone(), segment.sequence)
    })
}

fn found<F>(
    index: Index<F>,
    chain: Option<Chain>,
    end: Position,
    beyond: Beyond,
    mut recovery: Recovery,
) -> Found<F> {
    if beyond.batches > 0 {
        recovery.torn = Some(TornTail {
            file: end_segment(&index, end).0,
            position: end,
            batches: beyond.batches,
            bytes: beyond.bytes,
        });
    }
    recovery.end = end;
    recovery.mark = chain.map_or(Position::default(), |chain| chain.mark);
    let groups = index.groups.iter();
    recovery.groups = groups
        .map(|(&id, group)| (id, RecoveredGroup::of(group)))
        .collect();
    Found {
        epoch_max: beyond.epoch.max(chain.map_or(0, |chain| chain.epoch)),
        index,
        chain,
        end,
        recovery,
    }
}

/// Where the batch is that should continue the log: right at its end, or at the start of the next segment, if that one does
/// not begin with a batch that has another predecessor.
fn damaged_at<F: File>(
    index: &Index<F>,
    chain: Option<Chain>,
    end: Position,
) -> Result<Position, Error> {
    let mut later = index.segments.0.iter();
    let at_end = later.find(|segment| segment.sequence == end.segment);
    let (Some(at_end), Some(next)) = (at_end, later.next()) else {
        return Ok(end);
    };
    let behind = Scan::new(at_end).next_header(end.offset.into());
    if behind.map_err(reading(&at_end.name))?.is_some() {
        return Ok(end);
    }
    let first = Scan::new(next).header(BATCHES_BEGIN.into());
    match first.map_err(reading(&next.name))? {
        Some(first) if !chain.is_some_and(|chain| chain.goes_on_with(&first)) => Ok(end),
        _ => Ok(Position {
            segment: next.sequence,
            offset: BATCHES_BEGIN,
        }),
    }
}

/// Applies batch after batch for as long as they continue each other. Returns the last one and where it ends.
fn read_log<F: File>(
    index: &mut Index<F>,
    recovery: &mut Recovery,
) -> Result<(Option<Chain>, Position), Error> {
    let mut chain: Option<Chain> = None;
    let mut end = Position::default();
    (recovery.batches, recovery.records, recovery.segments) = (0, 0, 0);
    for nth in 0..index.segments.0.len() {
        let segment = &index.segments.0[nth];
        let (sequence, name) = (segment.sequence, segment.name.clone());
        let mut scan = Scan::new(segment);
        let mut offset = u64::from(BATCHES_BEGIN);
        let mut batches = 0;
        while let Some(header) = scan.header(offset).map_err(reading(&name))? {
            if chain.is_some_and(|chain| !chain.goes_on_with(&header)) {
                break;
            }
            let body = scan.body(offset, &header).map_err(reading(&name))?;
            let Some(body) = body else {
                break;
            };
            let mut at = 0;
            while let Some((record, bytes)) = Record::decode(&body[at..]) {
                let location = Location {
                    segment: sequence as u32,
                    offset: offset as u32 + (BATCH_HEADER_BYTES + at) as u32,
                    bytes: bytes as u32,
                };
                if let Err(what) = index.apply(&record, location) {
                    let what = format!("group {} has {what}", record.group);
                    return Err(corrupt(&name, sequence, location.offset.into(), what));
                }
                at += bytes;
                recovery.records += 1;
            }
            offset += header.extent_bytes();
            chain = Some(Chain::of(&header));
            batches += 1;
        }
        if batches > 0 || nth == 0 {
            end = Position {
                segment: sequence,
                offset: offset as u32,
            };
        }
        // A segment without a batch that continues the log is one that was only prepared, or its first batch is damaged.
        if batches == 0 {
            break;
        }
        recovery.batches += batches;
        recovery.segments += 1;
    }
    Ok((chain, end))
}

/// Looks for batches behind the end that say more than the log does.
fn look_beyond<F: File>(
    index: &Index<F>,
    end: Position,
    epoch: u64,
    expected: u64,
) -> Result<Beyond, Error> {
    let mut beyond = Beyond::default();
    for segment in &index.segments.0 {
        let mut offset = match segment.sequence.cmp(&end.segment) {
            std::cmp::Ordering::Less => continue,
            std::cmp::Ordering::Equal => u64::from(end.offset),
            std::cmp::Ordering::Greater => u64::from(BATCHES_BEGIN),
        };
        let mut scan = Scan::new(segment);
        while let Some((at, header)) = scan.next_header(offset).map_err(reading(&segment.name))? {
            beyond.mark = beyond.mark.max(header.mark);
            if header.head > end.segment {
                let head = beyond.head.unwrap_or(header.head).min(header.head);
                beyond.head = Some(head);
            }
            beyond.epoch = beyond.epoch.max(header.epoch);
            // What an earlier opening cut is not cut again.
            if header.epoch >= epoch && header.number >= expected {
                beyond.batches += 1;
                beyond.bytes += header.extent_bytes();
            }
            offset = at + u64::from(BLOCK);
        }
    }
    Ok(beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chain may fit by chance or by repetition; the epoch tells the openings apart for certain.
    #[test]
    fn a_batch_of_an_earlier_opening_continues_nothing() {
        let header = BatchHeader {
            checksum: 0,
            previous: 5,
            digest: 0,
            body_bytes: 0,
            records: 0,
            number: 8,
            epoch: 3,
            head: 1,
            mark: Position::default(),
        };
        let chain = |number, checksum, epoch| Chain {
            number,
            checksum,
            epoch,
            ..Chain::default()
        };
        assert!(chain(7, 5, 3).goes_on_with(&header));
        assert!(chain(7, 5, 2).goes_on_with(&header));
        assert!(!chain(7, 5, 4).goes_on_with(&header));
        assert!(!chain(6, 5, 3).goes_on_with(&header));
        assert!(!chain(7, 6, 3).goes_on_with(&header));
    }
}
