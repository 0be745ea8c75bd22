//! Snapshots in files: `snapshot-INDEX/` holds `data` and the list of files; it is written beside, synced and renamed, so that a
//! crash leaves the old one or the new one. The list is JRaft's, behind a checksum of our own.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use diwan_jraft::{FileEntry, LocalFileMeta, SnapshotFiles};
use diwan_log::SnapshotWriter;
use diwan_log::provider::Applier;
use diwan_raft::SnapshotMeta;
use diwan_replica::wire;

use crate::directory::create_durably;
use crate::error::StartError;

/// The one file of our snapshots.
pub(crate) const DATA_FILE: &str = "data";
const LIST_FILE: &str = "list";
/// How our checksums begin.
const CHECKSUM: &str = "crc32c:";

/// Is told that a snapshot was taken, or why not.
pub(crate) type Taken = Box<dyn FnOnce(Result<(), String>)>;

/// What a group knows of its snapshots.
pub(crate) struct Snapshots {
    pub(crate) directory: PathBuf,
    /// The newest one.
    pub(crate) newest: Option<SnapshotMeta>,
    /// Bytes of its state.
    pub(crate) newest_bytes: u64,
    /// One is being written or fetched.
    pub(crate) busy: bool,
    /// How many were written here.
    pub(crate) taken: u64,
    /// Bytes of the one that is being fetched.
    pub(crate) fetched_bytes: u64,
    /// Bytes of commands applied since the newest one.
    pub(crate) log_bytes: u64,
    pub(crate) log_bytes_max: u64,
    pub(crate) keep_entries: u64,
    /// Who wants to know of the next one.
    pub(crate) waiting: Vec<Taken>,
}

pub(crate) fn path_of(directory: &Path, index: u64) -> PathBuf {
    directory.join(format!("snapshot-{index:020}"))
}

/// Finds the newest snapshot in a group's directory and removes what a crash left of others.
pub(crate) fn find(directory: &Path) -> Result<Option<SnapshotMeta>, StartError> {
    let at = |error: io::Error| StartError::Snapshot {
        path: directory.to_owned(),
        what: error.to_string(),
    };
    if !directory.exists() {
        return Ok(None);
    }
    let mut indexes = Vec::new();
    for entry in fs::read_dir(directory).map_err(at)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        match name
            .strip_prefix("snapshot-")
            .and_then(|index| index.parse::<u64>().ok())
        {
            Some(index) => indexes.push(index),
            None if name.ends_with(".tmp") => fs::remove_dir_all(entry.path()).map_err(at)?,
            None => {}
        }
    }
    indexes.sort_unstable();
    let Some(newest) = indexes.pop() else {
        return Ok(None);
    };
    let path = path_of(directory, newest);
    let damaged = |what: String| StartError::Snapshot {
        path: path.clone(),
        what,
    };
    let files = read_list(&path).map_err(|error| damaged(error.to_string()))?;
    let meta = wire::snapshot_meta_in(&files.meta.unwrap_or_default())
        .map_err(|error| damaged(error.to_string()))?;
    for old in indexes {
        fs::remove_dir_all(path_of(directory, old)).map_err(at)?;
    }
    Ok(Some(meta))
}

/// Opens the state in a snapshot.
pub(crate) fn open(directory: &Path, index: u64) -> io::Result<BufReader<File>> {
    Ok(BufReader::with_capacity(
        1 << 20,
        File::open(path_of(directory, index).join(DATA_FILE))?,
    ))
}

/// Bytes of the state in a snapshot; 0 if they cannot be told.
pub(crate) fn bytes_of(directory: &Path, index: u64) -> u64 {
    fs::metadata(path_of(directory, index).join(DATA_FILE)).map_or(0, |data| data.len())
}

/// Loads a snapshot into a state machine. It is read once: its checksum grows with what is read and is compared at the end, so
/// that a machine may have seen damaged bytes, but an error follows and nothing it holds is used.
pub(crate) fn restore(directory: &Path, index: u64, machine: &mut Applier) -> io::Result<()> {
    read_through(directory, index, |data| machine.restore(data))
}

/// Reads the state in a snapshot only to see whether its checksum is right.
pub(crate) fn check(directory: &Path, index: u64) -> io::Result<()> {
    read_through(directory, index, |_| Ok(()))
}

fn read_through(
    directory: &Path,
    index: u64,
    read: impl FnOnce(&mut Summed) -> io::Result<()>,
) -> io::Result<()> {
    let wanted = our_checksum(&read_list(&path_of(directory, index))?);
    let mut data = Summed {
        file: open(directory, index)?,
        sum: 0,
    };
    let done = read(&mut data);
    // What the reader did not want counts, too, and damage explains best why it could not go on.
    io::copy(&mut data, &mut io::sink())?;
    let found = text_of(data.sum);
    match wanted {
        Some(wanted) if wanted != found => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{DATA_FILE} has checksum {found}, not {wanted}"),
        )),
        _ => done,
    }
}

/// Reads and sums up.
struct Summed {
    file: BufReader<File>,
    sum: u32,
}

impl io::Read for Summed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.sum = crc32c::crc32c_append(self.sum, &buffer[..bytes]);
        Ok(bytes)
    }
}

/// The checksum of the state in a list, if it is one of ours. JRaft's lists have what the application gave, mostly nothing;
/// RheaKV's is a CRC-64 of what it has compressed (sofa-jraft:jraft-rheakv/.../storage/AbstractKVStoreSnapshotFile.java), and
/// JRaft itself only compares two of them (sofa-jraft:jraft-core/.../storage/snapshot/local/LocalSnapshotCopier.java).
pub(crate) fn our_checksum(list: &SnapshotFiles) -> Option<String> {
    let data = list.files.iter().find(|file| file.name == DATA_FILE)?;
    let checksum = data.meta.as_ref()?.checksum.as_ref()?;
    checksum.starts_with(CHECKSUM).then(|| checksum.clone())
}

/// The list of files as another member pulls it.
pub(crate) fn list_bytes(path: &Path) -> io::Result<Bytes> {
    Ok(read_list(path)?.write())
}

/// The names of a snapshot's files.
pub(crate) fn list_names(path: &Path) -> io::Result<Vec<String>> {
    Ok(read_list(path)?
        .files
        .into_iter()
        .map(|file| file.name)
        .collect())
}

fn read_list(path: &Path) -> io::Result<SnapshotFiles> {
    let bytes = Bytes::from(fs::read(path.join(LIST_FILE))?);
    let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let (sum, list) = bytes
        .split_first_chunk::<4>()
        .ok_or_else(|| wrong("the list is too short".into()))?;
    if crc32c::crc32c(list) != u32::from_le_bytes(*sum) {
        return Err(wrong("the list has a wrong checksum".into()));
    }
    SnapshotFiles::read(bytes.slice(4..)).map_err(|error| wrong(error.to_string()))
}

/// A checksum as the list has it.
pub(crate) fn text_of(sum: u32) -> String {
    format!("{CHECKSUM}{sum:08x}")
}

/// The state in a snapshot that is being written. Its checksum grows with it: what was written is not read again.
pub(crate) struct DataFile {
    file: BufWriter<File>,
    sum: u32,
}

impl DataFile {
    pub(crate) fn create(temporary: &Path) -> io::Result<Self> {
        let file = File::create(temporary.join(DATA_FILE))?;
        let file = BufWriter::with_capacity(1 << 20, file);
        Ok(Self { file, sum: 0 })
    }

    /// Makes it durable and returns its checksum.
    pub(crate) fn sync(self) -> io::Result<u32> {
        let file = self.file.into_inner();
        file.map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(self.sum)
    }
}

impl io::Write for DataFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum = crc32c::crc32c_append(self.sum, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes a frozen state, durably.
pub(crate) fn write(
    directory: &Path,
    meta: &SnapshotMeta,
    state: SnapshotWriter,
) -> io::Result<()> {
    let temporary = begin(directory, meta.last.index)?;
    let written = DataFile::create(&temporary).and_then(|mut data| {
        state(&mut data)?;
        data.sync()
    });
    match written {
        Ok(sum) => finish(directory, meta, sum),
        Err(error) => {
            // On a full disk a half snapshot is in the way of everything else.
            let _ = fs::remove_dir_all(&temporary);
            Err(error)
        }
    }
}

/// An empty directory for a snapshot that is about to be written.
pub(crate) fn begin(directory: &Path, index: u64) -> io::Result<PathBuf> {
    create_durably(directory)?;
    let temporary = temporary(directory, index);
    if temporary.exists() {
        fs::remove_dir_all(&temporary)?;
    }
    fs::create_dir_all(&temporary)?;
    Ok(temporary)
}

pub(crate) fn temporary(directory: &Path, index: u64) -> PathBuf {
    directory.join(format!("snapshot-{index:020}.tmp"))
}

/// The state is written and synced, with this checksum: the snapshot gets its list and its name.
pub(crate) fn finish(directory: &Path, meta: &SnapshotMeta, sum: u32) -> io::Result<()> {
    let index = meta.last.index;
    let temporary = temporary(directory, index);
    let data = FileEntry {
        name: DATA_FILE.to_owned(),
        meta: Some(LocalFileMeta {
            checksum: Some(text_of(sum)),
            ..LocalFileMeta::default()
        }),
    };
    let files = SnapshotFiles {
        meta: Some(wire::snapshot_meta_out(meta)),
        files: vec![data],
    };
    let list = files.write();
    let mut file = File::create(temporary.join(LIST_FILE))?;
    file.write_all(&crc32c::crc32c(&list).to_le_bytes())?;
    file.write_all(&list)?;
    file.sync_all()?;
    File::open(&temporary)?.sync_all()?;
    let path = path_of(directory, index);
    if path.exists() {
        fs::remove_dir_all(&path)?;
    }
    fs::rename(&temporary, &path)?;
    File::open(directory)?.sync_all()
}

/// Removes snapshots older than `index`, except those that are being pulled.
pub(crate) fn remove_older(directory: &Path, index: u64, pinned: &[u64]) -> io::Result<()> {
    for entry in fs::read_dir(directory)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let old = name
            .strip_prefix("snapshot-")
            .and_then(|index| index.parse::<u64>().ok());
        if old.is_some_and(|old| old < index && !pinned.contains(&old)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
