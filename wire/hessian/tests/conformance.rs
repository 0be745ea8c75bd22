//! Every file of a public conformance collection (bodies that Java writers made, used by `node-modules/hessian.js`,
//! `test/fixtures/v2`) decodes and is written again byte for byte.
//!
//! The files are not part of this repository: they are read from `../shared/conformance/hessian-final` beside it, or
//! from where `HESSIAN_CONFORMANCE` points.

use std::path::{Path, PathBuf};
use std::{env, fs};

use diwan_hessian::{Decoder, Dialect, Encode, Encoder, Limits};

/// Files that are not what a final writer of today makes, each with its reason.
const EXCEPTIONS: &[(&str, Written)] = &[
    // Class definition `O`, object `o`, reference `J`: the draft.
    ("map/car2.bin", Written::InDraft),
    // Non-final chunk `s` (0x73): the draft.
    ("string/large_string_chars.bin", Written::InDraft),
    ("string/large_string_chars_65536.bin", Written::InDraft),
    // 32 characters as `S 0020`, the form before 0x30..0x33 existed; decodes, is written shorter.
    (
        "string/01234567890123456789012345678901.bin",
        Written::Shorter,
    ),
];

#[derive(Clone, Copy, PartialEq)]
enum Written {
    Exactly,
    InDraft,
    Shorter,
}

#[test]
fn every_file_decodes_and_encodes_to_the_same_bytes() {
    let Some(files) = files() else { return };
    assert!(files.len() > 100, "only {} files", files.len());
    let mut failures = Vec::new();
    for (name, bytes) in &files {
        let expected = EXCEPTIONS
            .iter()
            .find(|(file, _)| file == name)
            .map_or(Written::Exactly, |(_, how)| *how);
        let dialect = if expected == Written::InDraft {
            Dialect::Draft
        } else {
            Dialect::Final
        };
        let mut d = Decoder::with(bytes, Some(dialect), Limits::default());
        let value = match d.value() {
            Ok(value) => value,
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        let mut again = Vec::new();
        value.encode(&mut Encoder::new(dialect, &mut again));
        let holds = match expected {
            Written::Exactly | Written::InDraft => again == *bytes,
            Written::Shorter => again.len() < bytes.len(),
        };
        if !holds || !d.is_empty() {
            failures.push(format!(
                "{name}: {} bytes became {}",
                bytes.len(),
                again.len()
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} files:\n{}",
        failures.len(),
        files.len(),
        failures.join("\n")
    );
    println!("{} files, {} exceptions", files.len(), EXCEPTIONS.len());
}

/// Skipping ends where reading does, and a reader that was not told the dialect finds it out where the first tag tells.
#[test]
fn every_file_can_be_skipped() {
    for (name, bytes) in files().unwrap_or_default() {
        let draft = EXCEPTIONS
            .iter()
            .any(|(file, how)| *file == name && *how == Written::InDraft);
        let dialect = if draft {
            Dialect::Draft
        } else {
            Dialect::Final
        };
        let mut d = Decoder::with(&bytes, Some(dialect), Limits::default());
        assert_eq!(d.skip(), Ok(()), "{name}");
        assert!(d.is_empty(), "{name}");
    }
}

/// Relative names and bytes, `None` (and a line about it) if the collection is not there.
fn files() -> Option<Vec<(String, Vec<u8>)>> {
    let beside =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/hessian-final");
    let root = env::var_os("HESSIAN_CONFORMANCE").map_or(beside, PathBuf::from);
    let Ok(folders) = fs::read_dir(&root) else {
        println!("skipped: no conformance files in {}", root.display());
        return None;
    };
    let mut files = Vec::new();
    for folder in folders.map(|entry| entry.expect("a readable folder").path()) {
        for file in fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.expect("a readable file").path())
        {
            if file.extension().is_some_and(|extension| extension == "bin") {
                let name = file
                    .strip_prefix(&root)
                    .expect("below the root")
                    .to_string_lossy()
                    .into_owned();
                files.push((name, fs::read(&file).expect("a readable file")));
            }
        }
    }
    files.sort();
    Some(files)
}
