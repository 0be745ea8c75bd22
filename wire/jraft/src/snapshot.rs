//! The list of files in a snapshot, which a follower pulls first.
//! (sofastack/sofa-jraft:jraft-core/src/main/resources/local_storage.proto, LocalSnapshotPbMeta)

use bytes::Bytes;
use prost::Message as _;

use crate::entry::SnapshotMeta;
use crate::fields::{self, FIELDS_MAX};

/// The name under which the list is pulled; in a directory of JRaft's it is a file with a head of its own.
pub const SNAPSHOT_META_FILE: &str = "__raft_snapshot_meta";

/// More files than this are refused.
const FILES_MAX: usize = 100_000;

/// The numbers of the fields that are messages.
const NESTED: [u32; 2] = [1, 2];

/// What is known of one file.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "local_file_meta.proto's own names")]
pub struct LocalFileMeta {
    #[prost(bytes = "bytes", optional, tag = "1")]
    pub user_meta: Option<Bytes>,
    #[prost(int32, optional, tag = "2")]
    pub source: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub checksum: Option<String>,
}

/// One file of a snapshot.
#[derive(Clone, PartialEq, prost::Message)]
#[allow(missing_docs, reason = "local_storage.proto's own names")]
pub struct FileEntry {
    #[prost(string, required, tag = "1")]
    pub name: String,
    #[prost(message, optional, tag = "2")]
    pub meta: Option<LocalFileMeta>,
}

/// All files of a snapshot.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SnapshotFiles {
    /// What the snapshot holds.
    #[prost(message, optional, tag = "1")]
    pub meta: Option<SnapshotMeta>,
    /// The files, without the list itself.
    #[prost(message, repeated, tag = "2")]
    pub files: Vec<FileEntry>,
}

/// Why a list of files was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetaError {
    /// Not the message.
    #[error("the list of snapshot files is damaged: {0}")]
    Damaged(String),
    /// It does not say what the snapshot holds.
    #[error("the list of snapshot files does not say which entries the snapshot holds")]
    NoMeta,
    /// A name that would lead out of the snapshot's directory, or stands twice.
    #[error("`{0}` is no name of a snapshot file")]
    Name(String),
    /// Too many files.
    #[error("a snapshot of {0} files, {FILES_MAX} are the most")]
    TooMany(usize),
}

impl SnapshotFiles {
    /// Reads a list that was pulled from another member.
    /// # Errors
    /// It is damaged, or names what must not be written.
    pub fn read(content: Bytes) -> Result<Self, MetaError> {
        if !fields::are_few(&content, &NESTED) {
            return Err(MetaError::Damaged(format!("more than {FIELDS_MAX} fields")));
        }
        let files = Self::decode(content).map_err(|error| MetaError::Damaged(error.to_string()))?;
        if files.meta.is_none() {
            return Err(MetaError::NoMeta);
        }
        if files.files.len() > FILES_MAX {
            return Err(MetaError::TooMany(files.files.len()));
        }
        let mut names = std::collections::BTreeSet::new();
        for file in &files.files {
            let name = &file.name;
            let inside = !name.is_empty()
                && name.len() <= 4096
                && !name.contains(['\0', '\\'])
                && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
            if !inside || name == SNAPSHOT_META_FILE || !names.insert(name) {
                return Err(MetaError::Name(name.chars().take(120).collect()));
            }
        }
        Ok(files)
    }

    /// The list as another member pulls it.
    pub fn write(&self) -> Bytes {
        self.encode_to_vec().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_never_lead_out_of_the_snapshot() {
        let list = |names: &[&str]| SnapshotFiles {
            meta: Some(SnapshotMeta::default()),
            files: names
                .iter()
                .map(|name| FileEntry {
                    name: (*name).into(),
                    meta: None,
                })
                .collect(),
        };
        assert!(SnapshotFiles::read(list(&["data", "rocks/000001.sst"]).write()).is_ok());
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "./a",
            "a\0",
            SNAPSHOT_META_FILE,
        ] {
            assert_eq!(
                SnapshotFiles::read(list(&[bad]).write()),
                Err(MetaError::Name(bad.into())),
                "{bad}"
            );
        }
        assert!(SnapshotFiles::read(list(&["data", "data"]).write()).is_err());
        assert_eq!(SnapshotFiles::read(Bytes::new()), Err(MetaError::NoMeta));
        assert!(matches!(
            SnapshotFiles::read(Bytes::from_static(b"\x0a\xff")),
            Err(MetaError::Damaged(_))
        ));
    }
}
