//! `diwan raft status`.

use serde_json::Value;

use crate::table::table;

/// A group as several of its members see it. `views` are what their administrations say.
pub(super) fn text(group: &str, views: &[Value]) -> String {
    let newest = views.iter().max_by_key(|view| view["term"].as_u64());
    let leader = newest
        .and_then(|view| view["leader"].as_str())
        .unwrap_or("none");
    let term = newest.map_or(String::new(), |view| cell(&view["term"]));
    let mut out = format!("group {group}, term {term}, leader {leader}\n\n");
    let columns = ["term", "committed", "applied", "last", "durable"];
    let rows: Vec<Vec<String>> = views
        .iter()
        .map(|view| {
            let mut row = vec![cell(&view["node"]), role(view)];
            row.extend(columns.iter().map(|column| cell(&view[*column])));
            row.push(cell(&view["snapshot"]["index"]));
            row
        })
        .collect();
    out += &table(
        &[
            "NODE",
            "ROLE",
            "TERM",
            "COMMITTED",
            "APPLIED",
            "LAST",
            "DURABLE",
            "SNAPSHOT",
        ],
        &rows,
    );
    for view in views.iter().filter(|view| view["role"] == "leader") {
        let followers = view["followers"].as_array().map_or(&[][..], Vec::as_slice);
        if followers.is_empty() {
            continue;
        }
        let rows: Vec<Vec<String>> = followers
            .iter()
            .map(|follower| {
                let columns = ["state", "matched", "lag", "inflight", "silent_ms"];
                let votes = |list: &Value| {
                    list.as_array()
                        .is_some_and(|list| list.contains(&follower["peer"]))
                };
                let standing = match (votes(&view["peers"]), votes(&view["learners"])) {
                    (true, _) => "voter",
                    (false, true) => "learner",
                    (false, false) => "joining or leaving",
                };
                let mut row = vec![cell(&follower["peer"]), standing.to_owned()];
                row.extend(columns.iter().map(|column| cell(&follower[*column])));
                row
            })
            .collect();
        out.push('\n');
        out += &table(
            &[
                "FOLLOWER",
                "AS",
                "STATE",
                "MATCHED",
                "LAG",
                "IN FLIGHT",
                "SILENT MS",
            ],
            &rows,
        );
    }
    if views.iter().any(|view| {
        view["old_peers"]
            .as_array()
            .is_some_and(|old| !old.is_empty())
    }) {
        out += "\na membership change is under way\n";
    }
    if !views.iter().any(|view| view["role"] == "leader") {
        out +=
            "\nfollowers are known to the leader: ask its administration, or `diwan raft peers`\n";
    }
    out
}

fn role(view: &Value) -> String {
    let is_learner = view["learners"]
        .as_array()
        .is_some_and(|learners| learners.contains(&view["node"]));
    let role = match is_learner {
        true => "learner".to_owned(),
        false => cell(&view["role"]),
    };
    match view["silent"] == true {
        true => role + ", silent",
        false => role,
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
