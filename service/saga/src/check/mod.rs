//! What is wrong with machines before they ever run: `diwan saga check`. Where money moves, all ways that a saga can go are
//! gone through (`explore.rs`): each outcome of each call, what is done although nobody hears of it, the end of the saga's
//! time at any moment, and recovery. What is accepted loses no money, whatever happens; what is refused has a path on which it
//! would, unless a choice depends on more than is known here.

mod choose;
mod explore;
mod money;
mod outcome;
mod program;
mod structure;
mod undo;
mod world;

use std::fmt;

use serde::Serialize;

use crate::lang::{Doubt, Fault, Machine, Path, Place, as_plain, load_named};

/// A machine's text, and where it is from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The name of the file.
    pub file: &'a str,
    /// In Seata's state language.
    pub text: &'a str,
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It is refused.
    Error,
    /// It may not mean what its author thinks.
    Warning,
}

/// What a finding is against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// It does not load.
    Load,
    /// A name leads nowhere.
    Name,
    /// No way leads to a state.
    Unreachable,
    /// States lead only to each other.
    Endless,
    /// Machines start each other without end.
    Recursion,
    /// A credit comes before its debits.
    CreditFirst,
    /// A credit is compensated, when its money may be spent.
    CreditUndone,
    /// Money is taken, and neither paid out nor given back.
    DebitLost,
    /// Two ways take the same, and pay out more or less.
    Unbalanced,
    /// A state that moves money, or gives it back, does not do what it says.
    Call,
    /// The saga neither ends nor waits for somebody's decision.
    Stuck,
    /// More positions than are looked at.
    TooLarge,
    /// A state that changes something would have to be compensated, and cannot.
    Uncompensated,
    /// A call without an answer counts as one that did nothing, or as done.
    Status,
    /// A state repeats its call nearly for ever.
    Retry,
    /// A key that nobody reads.
    UnknownKey,
    /// A cycle whose passes are all compensated with the last one's variables.
    CycleVariables,
    /// Anything else that is doubtful.
    Doubtful,
}

impl Rule {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Name => "name",
            Self::Unreachable => "unreachable",
            Self::Endless => "endless",
            Self::Recursion => "recursion",
            Self::CreditFirst => "credit-first",
            Self::CreditUndone => "credit-undone",
            Self::DebitLost => "debit-lost",
            Self::Unbalanced => "unbalanced",
            Self::Call => "call",
            Self::Stuck => "stuck",
            Self::TooLarge => "too-large",
            Self::Uncompensated => "uncompensated",
            Self::Status => "status",
            Self::Retry => "retry",
            Self::UnknownKey => "unknown-key",
            Self::CycleVariables => "cycle-variables",
            Self::Doubtful => "doubtful",
        }
    }

    /// Whether it is about any machine's form, not about what happens when it runs.
    #[must_use]
    pub fn is_structural(self) -> bool {
        matches!(
            self,
            Self::Load
                | Self::Name
                | Self::Unreachable
                | Self::Endless
                | Self::Recursion
                | Self::Retry
                | Self::UnknownKey
        )
    }

    /// Errors where money moves; elsewhere only if one is strict.
    fn is_of_money_or_strict(self) -> bool {
        matches!(
            self,
            Self::Uncompensated | Self::Status | Self::Retry | Self::UnknownKey
        )
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is against.
    pub rule: Rule,
    /// The machine, if it could be read.
    pub machine: String,
    /// Where.
    pub place: Place,
    /// What.
    pub message: String,
    /// The way on which it happens: states, and what becomes of them.
    pub path: Vec<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(
            f,
            "{}: {severity}[{}]: {}",
            self.place,
            self.rule.name(),
            self.message
        )?;
        if !self.path.is_empty() {
            write!(f, "\n    {}", self.path.join(" > "))?;
        }
        Ok(())
    }
}

/// A machine that was read, and from where.
struct Loaded {
    file: String,
    machine: Machine,
    /// Or what it starts.
    moves_money: bool,
    is_started: bool,
    is_drawn: bool,
}

impl Loaded {
    fn place(&self, path: Path) -> Place {
        // Lines of a designer's file are those of its drawing.
        Place {
            file: Some(self.file.clone()),
            line: (!self.is_drawn).then(|| path.find(&self.machine.text)),
            path,
        }
    }

    fn finding(&self, rule: Rule, state: Option<&str>, message: String) -> Finding {
        let path = match state {
            Some(state) => Path::root()
                .key("States")
                .key(self.machine.written_as(state)),
            None => Path::root(),
        };
        Finding {
            severity: Severity::Error,
            rule,
            machine: self.machine.name.to_string(),
            place: self.place(path),
            message,
            path: Vec::new(),
        }
    }
}

/// All that is wrong with machines, errors first. Sub-machines are looked for among them; what only runs within others is
/// looked at there.
#[must_use]
pub fn check(sources: &[Source<'_>], strict: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut loaded = Vec::new();
    for source in sources {
        match load_named(Some(source.file), source.text) {
            Ok(machine) => loaded.push(Loaded {
                file: source.file.into(),
                moves_money: program::moves_money(&machine),
                is_started: false,
                is_drawn: as_plain(source.text).is_some_and(|(_, is_drawn)| is_drawn),
                machine,
            }),
            Err(error) => findings.push(Finding {
                severity: Severity::Error,
                rule: match &*error.what {
                    Fault::NoSuchState(_) => Rule::Name,
                    Fault::Endless(_) => Rule::Endless,
                    Fault::Recursive => Rule::Recursion,
                    _ => Rule::Load,
                },
                machine: String::new(),
                place: error.place.clone(),
                message: error.what.to_string(),
                path: match &*error.what {
                    Fault::Endless(states) => states.clone(),
                    _ => Vec::new(),
                },
            }),
        }
    }
    structure::relate(&mut loaded, &mut findings);
    // What cannot be put together has no ways.
    let is_whole = loaded.len() == sources.len()
        && findings
            .iter()
            .all(|finding| finding.rule != Rule::Recursion);
    for one in &loaded {
        let mut found = warnings(one);
        structure::check(one, &mut found);
        if !one.is_started && is_whole {
            found.extend(ways(one, &loaded));
        }
        for mut finding in found {
            let is_lenient = finding.rule.is_of_money_or_strict() && !one.moves_money && !strict;
            if is_lenient {
                finding.severity = Severity::Warning;
            }
            findings.push(finding);
        }
    }
    findings.sort_by(|one, other| {
        (one.severity, &one.place.file).cmp(&(other.severity, &other.place.file))
    });
    findings
}

/// What was doubtful when it was read.
fn warnings(one: &Loaded) -> Vec<Finding> {
    let finding = |warning: &crate::lang::Warning| {
        let (rule, severity) = match &warning.what {
            Doubt::UnknownKey { .. } => (Rule::UnknownKey, Severity::Error),
            Doubt::NoSuchState(_) => (Rule::Name, Severity::Error),
            Doubt::DuplicateKey(_) | Doubt::NotSeata(_) | Doubt::Misleading(_) => {
                (Rule::Doubtful, Severity::Warning)
            }
        };
        Finding {
            severity,
            rule,
            machine: one.machine.name.to_string(),
            place: warning.place.clone(),
            message: warning.what.to_string(),
            path: Vec::new(),
        }
    };
    one.machine.warnings.iter().map(finding).collect()
}

fn ways(one: &Loaded, loaded: &[Loaded]) -> Vec<Finding> {
    let find = |name: &str| {
        let found = loaded.iter().find(|other| *other.machine.name == *name);
        found.map(|found| &found.machine)
    };
    let Some(program) = program::Program::new(&one.machine, find) else {
        let message = "it has too many states to prove anything".into();
        return vec![one.finding(Rule::TooLarge, None, message)];
    };
    let moves_money = program.moves_money();
    let found = explore::explore(&program).into_iter();
    let finding = |wrong: explore::Wrong| {
        let machine = program.machine_of(wrong.node);
        let owner = loaded
            .iter()
            .find(|other| std::ptr::eq(&other.machine, machine));
        let state = &program.state(wrong.node).name;
        let mut finding = owner
            .unwrap_or(one)
            .finding(wrong.rule, Some(state), wrong.message);
        finding.path = wrong.path;
        if wrong.rule == Rule::TooLarge && !moves_money {
            finding.severity = Severity::Warning;
        }
        finding
    };
    found.map(finding).collect()
}
