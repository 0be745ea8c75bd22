//! The keys that the language knows. Seata ignores others silently, so a misspelt `Catch` is no `Catch`.

use serde_json::{Map, Value};

use super::place::Path;

pub(super) const MACHINE: &[&str] = &[
    "Name",
    "Comment",
    "Version",
    "StartState",
    "RecoverStrategy",
    "IsPersist",
    "IsRetryPersistModeUpdate",
    "IsCompensatePersistModeUpdate",
    "States",
    "Extensions",
];
const STATE: &[&str] = &["Type", "Comment", "Next", "Extensions"];
const TASK: &[&str] = &[
    "CompensateState",
    "IsForCompensation",
    "IsForUpdate",
    "IsPersist",
    "IsRetryPersistModeUpdate",
    "IsCompensatePersistModeUpdate",
    "Retry",
    "Catch",
    "Input",
    "Output",
    "Status",
    "Loop",
];
const SERVICE: &[&str] = &[
    "ServiceName",
    "ServiceMethod",
    "ServiceType",
    "ParameterTypes",
    "IsAsync",
];
pub(super) const RETRY: &[&str] = &[
    "Exceptions",
    "IntervalSeconds",
    "MaxAttempts",
    "BackoffRate",
];
pub(super) const CATCH: &[&str] = &["Exceptions", "Next"];
pub(super) const CHOICE: &[&str] = &["Expression", "Next"];
pub(super) const LOOP: &[&str] = &[
    "Parallel",
    "Collection",
    "ElementVariableName",
    "ElementIndexName",
    "CompletionCondition",
];

/// The lists of keys that a state of a type knows.
pub(super) fn of_state(kind: &str) -> Vec<&'static [&'static str]> {
    match kind {
        "ServiceTask" => vec![STATE, TASK, SERVICE],
        "ScriptTask" => vec![STATE, TASK, &["ScriptType", "ScriptContent"]],
        "SubStateMachine" | "CompensateSubMachine" => vec![STATE, TASK, &["StateMachineName"]],
        "Choice" => vec![STATE, &["Choices", "Default"]],
        "Fork" => vec![STATE, &["Branches", "Parallel", "AwaitTimeout"]],
        "Parallel" => vec![STATE, &["Branches", "Parallel", "Output"]],
        "Fail" => vec![STATE, &["ErrorCode", "Message"]],
        _ => vec![STATE],
    }
}

/// The keys of an object that none of the lists holds, each with the nearest one that does.
pub(super) fn unknown(
    object: &Map<String, Value>,
    known: &[&'static [&'static str]],
    path: &Path,
) -> Vec<(Path, String, Option<&'static str>)> {
    object
        .keys()
        .filter(|key| !known.iter().any(|list| list.contains(&key.as_str())))
        .map(|key| {
            let nearest = known
                .iter()
                .copied()
                .flatten()
                // Nothing is near that is much longer or shorter.
                .filter(|name| name.len().abs_diff(key.len()) <= 1 + name.len() / 4)
                .map(|name| (strsim::damerau_levenshtein(name, key), *name))
                .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
                .min_by_key(|(distance, _)| *distance)
                .map(|(_, name)| name);
            (path.key(key), key.clone(), nearest)
        })
        .collect()
}
