//! The last lists on disk, for a start without any registry.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Longer files are not read.
const BYTES_MAX: u64 = 256 << 20;
/// Of the file's form.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Snapshot {
    format: u32,
    /// Instances by service, as their providers wrote them.
    services: BTreeMap<String, Vec<String>>,
}

/// Reads the lists; none if there is no file yet.
pub(super) fn read(path: &Path) -> io::Result<BTreeMap<String, Vec<String>>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(BYTES_MAX + 1).read_to_end(&mut text)?;
    let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    if text.len() as u64 > BYTES_MAX {
        return Err(invalid(format!("longer than {BYTES_MAX} bytes")));
    }
    let snapshot: Snapshot =
        serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))?;
    if snapshot.format != FORMAT {
        return Err(invalid(format!(
            "format {}: {FORMAT} is read",
            snapshot.format
        )));
    }
    Ok(snapshot.services)
}

/// Writes the lists, so that the file is the old one or the new one whatever happens meanwhile.
pub(super) fn write(path: &Path, services: BTreeMap<String, Vec<String>>) -> io::Result<()> {
    let snapshot = Snapshot {
        format: FORMAT,
        services,
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let new = path.with_file_name(name);
    let mut file = File::create(&new)?;
    serde_json::to_writer_pretty(&mut file, &snapshot)?;
    file.flush()?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back_and_what_is_damaged_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/snapshot.json");
        assert_eq!(read(&path).unwrap(), BTreeMap::new());
        let lists: BTreeMap<_, _> =
            [("s:1.0".to_owned(), vec!["127.0.0.1:1?p=1".to_owned()])].into();
        for _ in 0..2 {
            write(&path, lists.clone()).unwrap();
            assert_eq!(read(&path).unwrap(), lists);
        }
        let files = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(files, 1, "nothing else is left");
        for damaged in ["", "{\"format\":1", "{\"format\":2,\"services\":{}}", "\0"] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(
                read(&path).unwrap_err().kind(),
                io::ErrorKind::InvalidData,
                "{damaged:?}"
            );
        }
    }
}
