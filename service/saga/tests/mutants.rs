//! `check` against the engine. Machines of ours that move money safely (`data/safe`) are accepted, and lose nothing whatever
//! happens; every machine that is one mistake away from them is either accepted, and loses nothing, too, or refused. A
//! refused one counts as unsafe only if a schedule of the engine breaks an invariant with it; mistakes of form (names that
//! lead nowhere, states that nothing leads to, cycles, unknown keys, retries without bound) are counted apart.
//!
//! `SCHEDULES=1000` and `MUTANTS=10000` for more of them; `SHOW=Unproven` shows mutants of a verdict; `HISTORY=1` what each
//! schedule did.
#![allow(clippy::unwrap_used, reason = "a test")]

mod bank;
mod mutations;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bank::{Broken, Dice};
use diwan_saga::check::{Finding, Severity, Source, check};
use mutations::{Mutant, mutants};
use serde_json::Value;

/// The machines that start, each with those that it starts.
const SAFE: &[&[&str]] = &[
    &["straight"],
    &["choice"],
    &["catch"],
    &["forward"],
    &["within", "take"],
    &["loop"],
    &["fork"],
    &["debits"],
    &["credits"],
    &["asks"],
    &["kinds"],
    &["forkCredits"],
    &["pays", "pay"],
    &["forkLoop"],
    &["parallel"],
    &["cel"],
];

fn safe() -> Vec<Vec<Value>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/safe");
    let read = |name: &&str| {
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    SAFE.iter()
        .map(|names| names.iter().map(read).collect())
        .collect()
}

fn schedules(default: u64) -> u64 {
    std::env::var("SCHEDULES").map_or(default, |count| count.parse().unwrap())
}

fn errors(machines: &[Value]) -> Vec<Finding> {
    let texts: Vec<String> = machines.iter().map(Value::to_string).collect();
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|text| Source {
            file: "m.json",
            text,
        })
        .collect();
    let mut found = check(&sources, false);
    found.retain(|finding| finding.severity == Severity::Error);
    found
}

/// The first schedule that breaks something.
fn breaks(machines: &[Value], count: u64) -> Option<(u64, Broken)> {
    (1..=count).find_map(|seed| Some((seed, bank::run(machines, seed).err()?)))
}

#[test]
fn safe_machines_are_accepted_and_lose_nothing() {
    for machines in safe() {
        let name = &machines[0]["Name"];
        assert_eq!(errors(&machines), [], "{name}");
        let broken = breaks(&machines, schedules(300));
        if let Some((seed, _)) = broken {
            println!("{name}, seed {seed}; HISTORY=1 shows it");
            let _ = bank::run(&machines, seed);
        }
        assert_eq!(broken, None, "{name}");
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    /// Refused for its form.
    Structural,
    /// Refused, and a schedule breaks an invariant.
    Unsafe,
    /// Refused, but no schedule has broken anything.
    Unproven,
    /// Accepted, and no schedule breaks anything.
    Equivalent,
    /// Accepted, but unsafe: there must be none.
    Missed(String),
}

fn judge(mutant: &Mutant) -> (Verdict, Option<Broken>, Vec<Finding>) {
    let found = errors(&mutant.machines);
    if found.is_empty() {
        return match breaks(&mutant.machines, schedules(40)) {
            None => (Verdict::Equivalent, None, found),
            Some((seed, broken)) => {
                let missed = format!("{}: {broken:?} with seed {seed}", mutant.what);
                (Verdict::Missed(missed), Some(broken), found)
            }
        };
    }
    let loads = |machine: &Value| diwan_saga::lang::load(&machine.to_string()).is_ok();
    if found.iter().all(|finding| finding.rule.is_structural())
        || !mutant.machines.iter().all(loads)
    {
        return (Verdict::Structural, None, found);
    }
    match breaks(&mutant.machines, schedules(120)) {
        Some((_, broken)) => (Verdict::Unsafe, Some(broken), found),
        None if found.iter().any(|finding| finding.rule.is_structural()) => {
            (Verdict::Structural, None, found)
        }
        None => (Verdict::Unproven, None, found),
    }
}

#[test]
fn unsafe_mutants_are_refused() {
    let all: Vec<Mutant> = safe()
        .iter()
        .flat_map(|machines| mutants(machines))
        .collect();
    let (next, judged) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(mutant) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let verdict = judge(mutant);
                    judged.lock().unwrap().push((mutant, verdict));
                }
            });
        }
    });
    let judged = judged.into_inner().unwrap();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut missed = Vec::new();
    for (mutant, (verdict, broken, found)) in &judged {
        if std::env::var("SHOW").is_ok_and(|show| format!("{verdict:?}").starts_with(&show)) {
            println!("{}", mutant.what);
            found.iter().for_each(|finding| println!("    {finding}"));
        }
        if let Verdict::Missed(what) = verdict {
            missed.push(what.clone());
            continue;
        }
        *counts.entry(format!("{verdict:?}")).or_default() += 1;
        if *verdict == Verdict::Unsafe {
            if let Some(broken) = broken {
                *counts.entry(format!("  by {broken:?}")).or_default() += 1;
            }
            for finding in found.iter().take(1) {
                *counts
                    .entry(format!("  refused by {}", finding.rule.name()))
                    .or_default() += 1;
            }
        }
    }
    println!("{} mutants: {counts:#?}", all.len());
    assert!(
        missed.is_empty(),
        "{} missed:\n{}",
        missed.len(),
        missed.join("\n")
    );
    let count = |verdict: Verdict| counts.get(&format!("{verdict:?}")).copied().unwrap_or(0);
    assert!(count(Verdict::Unsafe) >= 500, "{counts:#?}");
}

#[test]
fn two_mistakes_are_not_missed_either() {
    let safe = safe();
    let count = std::env::var("MUTANTS").map_or(300, |count| count.parse().unwrap());
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut missed = Vec::new();
    for seed in 1..=count {
        let mut dice = Dice::new(seed);
        let mut first = mutants(&safe[dice.below(safe.len())]);
        let first = first.swap_remove(dice.below(first.len()));
        // What is refused for its form is refused; there is nothing to see in a second mistake.
        if errors(&first.machines)
            .iter()
            .any(|finding| finding.rule.is_structural())
        {
            continue;
        }
        let mut second = mutants(&first.machines);
        let second = second.swap_remove(dice.below(second.len()));
        match judge(&second).0 {
            Verdict::Missed(what) => {
                missed.push(format!("seed {seed}: {}, and {what}", first.what))
            }
            verdict => *counts.entry(format!("{verdict:?}")).or_default() += 1,
        }
    }
    println!("two mistakes: {counts:?}");
    assert!(
        missed.is_empty(),
        "{} missed:\n{}",
        missed.len(),
        missed.join("\n")
    );
}
