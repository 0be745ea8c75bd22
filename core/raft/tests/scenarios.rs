//! Scenarios as texts: commands and what came of them, after the manner of etcd-io/raft's `testdata`. Each file in `scenarios/`
//! begins with what it shows; a line that begins with `>` is a command, the lines under it are its effect. `UPDATE=1 cargo
//! test -p diwan-raft --test scenarios` writes the effects anew: read them before they are committed.
#![allow(clippy::unwrap_used, clippy::disallowed_types, reason = "a test")]

mod world;

use std::fmt::Write as _;

use world::World;

#[test]
fn scenarios() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios");
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    assert!(names.len() >= 10, "the scenarios are not there");
    let mut wrong = Vec::new();
    for path in names {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut world = World::default();
        let mut result = String::new();
        for line in text
            .lines()
            .filter(|line| line.starts_with(['#', '>']) || line.is_empty())
        {
            writeln!(result, "{line}").unwrap();
            if let Some(command) = line.strip_prefix("> ") {
                result.push_str(&world.run(command));
            }
        }
        assert_eq!(world.wrong, None, "{}", path.display());
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &result).unwrap();
        } else if result != text {
            wrong.push(format!("{}:\n{result}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "not as written:\n{}", wrong.join("\n"));
}
