//! A node's metrics as Prometheus reads them: text format 0.0.4.

pub(super) mod archive;
pub(super) mod engine;
pub(super) mod registry;
pub(super) mod saga;
pub(super) mod tx;

use std::fmt::Write as _;

use diwan_raft::Role;
use diwan_runtime::{GroupMetrics, HistogramState, NodeMetrics};

/// Name, kind, help and samples: one family after the other.
struct Text(String);

type Labels<'a> = &'a [(&'a str, &'a str)];

impl Text {
    /// A family with what `samples` gives: labels and value.
    fn family<'a>(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        samples: impl IntoIterator<Item = (Vec<(&'a str, String)>, f64)>,
    ) {
        self.head(name, kind, help);
        for (labels, value) in samples {
            let labels: Vec<(&str, &str)> = labels
                .iter()
                .map(|(key, value)| (*key, value.as_str()))
                .collect();
            self.sample(name, &labels, value);
        }
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: Labels<'_>, value: f64) {
        self.0.push_str(name);
        let mut separator = '{';
        for (key, value) in labels {
            let value = value
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.0, "{separator}{key}=\"{value}\"");
            separator = ',';
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        self.sample(name, &[], value as f64);
    }

    fn histogram(&mut self, name: &str, help: &str, state: &HistogramState) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (bound, count) in &state.buckets {
            self.sample(&bucket, &[("le", &bound.to_string())], *count as f64);
        }
        self.sample(&bucket, &[("le", "+Inf")], state.count as f64);
        self.sample(&format!("{name}_sum"), &[], state.sum);
        self.sample(&format!("{name}_count"), &[], state.count as f64);
    }
}

/// A family with one sample for each group: name, kind, help, value.
type PerGroup = (
    &'static str,
    &'static str,
    &'static str,
    fn(&GroupMetrics) -> u64,
);

const PER_GROUP: &[PerGroup] = &[
    ("diwan_raft_term", "gauge", "Newest term seen", |g| {
        g.status.term
    }),
    (
        "diwan_raft_leading",
        "gauge",
        "1 if it leads and has applied everything proposed before",
        |g| g.leading.into(),
    ),
    (
        "diwan_raft_commit_index",
        "gauge",
        "Last committed index known",
        |g| g.status.committed,
    ),
    (
        "diwan_raft_applied_index",
        "gauge",
        "Last applied index",
        |g| g.status.applied,
    ),
    (
        "diwan_raft_last_index",
        "gauge",
        "Last index of the log",
        |g| g.status.last.index,
    ),
    (
        "diwan_raft_durable_index",
        "gauge",
        "Last index of the log that is durable",
        |g| g.status.stable,
    ),
    (
        "diwan_raft_snapshot_index",
        "gauge",
        "Last index in the newest snapshot",
        |g| g.snapshot_index,
    ),
    (
        "diwan_raft_snapshot_writing",
        "gauge",
        "1 while a snapshot is being written",
        |g| g.snapshot_busy.into(),
    ),
    (
        "diwan_raft_snapshot_fetched_bytes",
        "gauge",
        "Bytes of the snapshot that is being fetched",
        |g| g.snapshot_fetched_bytes,
    ),
    (
        "diwan_raft_snapshots_taken_total",
        "counter",
        "Snapshots written here",
        |g| g.snapshots_taken,
    ),
    (
        "diwan_raft_snapshots_offered_total",
        "counter",
        "Snapshots offered to followers",
        |g| g.status.counters.snapshots_offered,
    ),
    (
        "diwan_raft_snapshots_installed_total",
        "counter",
        "Snapshots installed here",
        |g| g.status.counters.snapshots_installed,
    ),
    (
        "diwan_raft_silent",
        "gauge",
        "1 while the group is idle and its members send each other nothing",
        |g| g.status.quiesced.into(),
    ),
    ("diwan_log_sessions", "gauge", "Open sessions", |g| {
        g.sessions
    }),
    (
        "diwan_raft_proposals_open",
        "gauge",
        "Proposals without an outcome yet",
        |g| g.proposals_open,
    ),
    (
        "diwan_raft_cache_bytes",
        "gauge",
        "Bytes of entries in memory",
        |g| g.status.cache_bytes as u64,
    ),
    (
        "diwan_raft_elections_total",
        "counter",
        "Elections this member stood for",
        |g| g.status.counters.elections,
    ),
    (
        "diwan_raft_pre_votes_total",
        "counter",
        "Pre-votes this member asked for",
        |g| g.status.counters.pre_votes,
    ),
    (
        "diwan_raft_step_downs_total",
        "counter",
        "Leaderships given up for want of a majority",
        |g| g.status.counters.step_downs_without_majority,
    ),
    (
        "diwan_raft_changes_total",
        "counter",
        "Membership changes begun",
        |g| g.status.counters.changes,
    ),
    (
        "diwan_raft_transfers_total",
        "counter",
        "Transfers of leadership begun",
        |g| g.status.counters.transfers,
    ),
    (
        "diwan_raft_commit_messages_total",
        "counter",
        "Empty messages sent to tell of a commit",
        |g| g.status.counters.commit_messages,
    ),
    (
        "diwan_raft_appends_rejected_total",
        "counter",
        "Requests for entries that did not fit this log",
        |g| g.status.counters.rejected_appends,
    ),
    (
        "diwan_raft_stale_terms_total",
        "counter",
        "Messages of an older term",
        |g| g.status.counters.stale_terms,
    ),
    (
        "diwan_raft_answers_without_request_total",
        "counter",
        "Answers nobody waited for",
        |g| g.status.counters.answers_without_request,
    ),
    (
        "diwan_raft_strangers_total",
        "counter",
        "Requests of candidates and readers that are no members",
        |g| g.status.counters.not_members,
    ),
    (
        "diwan_raft_malformed_total",
        "counter",
        "Requests with gaps or absurd numbers",
        |g| g.status.counters.malformed,
    ),
    (
        "diwan_raft_two_leaders_total",
        "counter",
        "Requests of a second leader in one term",
        |g| g.status.counters.two_leaders,
    ),
    (
        "diwan_raft_committed_conflicts_total",
        "counter",
        "Entries that contradicted a committed one",
        |g| g.status.counters.committed_conflicts,
    ),
    (
        "diwan_raft_followers_lost_log_total",
        "counter",
        "Followers that lost what they had acknowledged",
        |g| g.status.counters.followers_lost_log,
    ),
];

const ROLES: [(Role, &str); 4] = [
    (Role::Follower, "follower"),
    (Role::PreCandidate, "pre-candidate"),
    (Role::Candidate, "candidate"),
    (Role::Leader, "leader"),
];

/// A role in one word.
pub(crate) fn role_name(role: Role) -> &'static str {
    ROLES
        .iter()
        .find(|(known, _)| *known == role)
        .map_or("?", |(_, name)| name)
}

/// The connections of the node's port: open now, and the counters by name.
pub(crate) type Connections = (u64, Vec<(&'static str, u64)>);

pub(crate) fn text(node: &NodeMetrics, connections: Option<Connections>) -> String {
    let mut text = Text(String::new());
    let groups = &node.groups;
    for (name, kind, help, value) in PER_GROUP {
        let samples = groups
            .iter()
            .map(|group| (vec![("group", group.name.clone())], value(group) as f64));
        text.family((name, kind, help), samples);
    }
    let roles = groups.iter().flat_map(|group| {
        ROLES.iter().map(|(role, name)| {
            let labels = vec![("group", group.name.clone()), ("role", (*name).to_owned())];
            (labels, f64::from(u8::from(group.status.role == *role)))
        })
    });
    text.family(
        ("diwan_raft_role", "gauge", "1 for what the member is doing"),
        roles,
    );
    let refused = groups.iter().flat_map(|group| {
        let (not_leader, busy) = group.proposals_refused;
        [("not_leader", not_leader), ("busy", busy)].map(|(reason, value)| {
            (
                vec![("group", group.name.clone()), ("reason", reason.to_owned())],
                value as f64,
            )
        })
    });
    text.family(
        (
            "diwan_raft_proposals_refused_total",
            "counter",
            "Proposals that were not taken",
        ),
        refused,
    );
    let clocks = groups.iter().map(|group| {
        let labels = vec![("group", group.name.clone())];
        (labels, group.clock_ahead_us as f64 / 1e6)
    });
    text.family(
        (
            "diwan_log_clock_ahead_seconds",
            "gauge",
            "Of a leader: how far its wall clock is ahead of the log's time",
        ),
        clocks,
    );
    let followers = || {
        groups.iter().flat_map(|group| {
            group.status.peers.iter().map(move |peer| {
                let labels = vec![
                    ("group", group.name.clone()),
                    ("peer", peer.peer.to_string()),
                ];
                (labels, group, peer)
            })
        })
    };
    text.family(
        (
            "diwan_raft_peer_lag_entries",
            "gauge",
            "Of a leader: entries a member is not known to hold",
        ),
        followers().map(|(labels, group, peer)| {
            (
                labels,
                group.status.last.index.saturating_sub(peer.matched) as f64,
            )
        }),
    );
    text.family(
        (
            "diwan_raft_peer_silent_seconds",
            "gauge",
            "Of a leader: time since a member's last answer",
        ),
        followers().map(|(labels, _, peer)| (labels, peer.silent.as_secs_f64())),
    );
    text.family(
        (
            "diwan_raft_peer_inflight",
            "gauge",
            "Of a leader: requests for entries on their way to a member",
        ),
        followers().map(|(labels, _, peer)| (labels, peer.inflight as f64)),
    );
    disk(&mut text, &node.disk);
    let (batches, messages) = node.batches_sent;
    text.one(
        "diwan_node_batches_sent_total",
        "counter",
        "Frames with messages of many groups, to nodes of ours",
        batches,
    );
    text.one(
        "diwan_node_batched_messages_total",
        "counter",
        "Messages in those frames",
        messages,
    );
    text.one(
        "diwan_node_malformed_total",
        "counter",
        "Messages that could not be read",
        node.malformed,
    );
    text.one(
        "diwan_node_damaged_entries_total",
        "counter",
        "Requests refused because an entry in them does not have its checksum",
        node.damaged_entries,
    );
    text.one(
        "diwan_node_cache_bytes",
        "gauge",
        "Bytes of memory that entries of all groups take",
        node.held.cache_bytes as u64,
    );
    text.one(
        "diwan_node_cache_trims_total",
        "counter",
        "How often entries left memory because all groups together held too many",
        node.cache_trims,
    );
    text.one(
        "diwan_node_uncommitted_bytes",
        "gauge",
        "Bytes of entries proposed here and not committed, of all groups",
        node.held.uncommitted_bytes as u64,
    );
    text.one(
        "diwan_node_snapshots_damaged_total",
        "counter",
        "Snapshots that were fetched and do not have their checksum",
        node.snapshots_damaged,
    );
    text.one(
        "diwan_node_snapshot_pieces_delayed_total",
        "counter",
        "Pieces of snapshots for which another member was told to come again",
        node.pieces_delayed,
    );
    text.one(
        "diwan_node_unknown_groups_total",
        "counter",
        "Requests for groups or members that are not here",
        node.unknown_groups,
    );
    text.one(
        "diwan_node_refused_steps_total",
        "counter",
        "Requests of members that a group refused",
        node.refused_steps,
    );
    text.one(
        "diwan_node_untokened_total",
        "counter",
        "Requests refused because their connection had not proved that it knows the cluster token",
        node.untokened,
    );
    text.one(
        "diwan_node_hellos_refused_total",
        "counter",
        "Connections of others that tried to prove it and failed",
        node.hellos_refused,
    );
    text.one(
        "diwan_node_hellos_failed_total",
        "counter",
        "Connections to others that did not prove it, or refused this node's proof",
        node.hellos_failed,
    );
    if let Some((open, counters)) = connections {
        text.one(
            "diwan_net_connections",
            "gauge",
            "Connections open on the node's port",
            open,
        );
        for (name, value) in counters {
            let help = format!("{} (diwan_net::Stats)", name.replace('_', " "));
            text.one(&format!("diwan_net_{name}_total"), "counter", &help, value);
        }
    }
    text.0
}

fn disk(text: &mut Text, disk: &diwan_runtime::DiskMetrics) {
    text.histogram(
        "diwan_wal_sync_seconds",
        "Time of an fdatasync",
        &disk.sync_seconds,
    );
    text.histogram(
        "diwan_wal_batch_writes",
        "Writes of groups made durable by one fdatasync",
        &disk.batch_writes,
    );
    text.histogram(
        "diwan_wal_batch_bytes",
        "Bytes made durable by one fdatasync",
        &disk.batch_bytes,
    );
    let wal = &disk.wal;
    for (name, kind, help, value) in [
        ("live_bytes", "gauge", "Records that count", wal.live_bytes),
        (
            "disk_bytes",
            "gauge",
            "All files of the log",
            wal.disk_bytes,
        ),
        ("segments", "gauge", "Segments in use", wal.segments),
        (
            "spares",
            "gauge",
            "Files ready to be the next segment",
            wal.spares,
        ),
        (
            "full",
            "gauge",
            "1 while the disk has no room for a further file",
            wal.full.into(),
        ),
        (
            "batches_total",
            "counter",
            "Batches written, rewriting ones included",
            wal.batches,
        ),
        (
            "written_bytes_total",
            "counter",
            "Bytes written, padding included",
            wal.written_bytes,
        ),
        ("syncs_total", "counter", "Completed syncs", wal.syncs),
        (
            "rewrites_total",
            "counter",
            "Records rewritten forward",
            wal.rewrites,
        ),
        (
            "rewritten_bytes_total",
            "counter",
            "Bytes rewritten forward",
            wal.rewritten_bytes,
        ),
        (
            "segments_freed_total",
            "counter",
            "Segments that left the log",
            wal.segments_freed,
        ),
        ("files_made_total", "counter", "Files made", wal.files_made),
        (
            "files_removed_total",
            "counter",
            "Files given back",
            wal.files_removed,
        ),
        (
            "stalls_total",
            "counter",
            "Writes that waited for the next segment",
            wal.stalls,
        ),
        (
            "refused_full_total",
            "counter",
            "Batches refused because the disk was full",
            wal.refused_full,
        ),
        (
            "torn_batches_total",
            "counter",
            "Unsynced batches cut at the start",
            wal.torn_batches,
        ),
        (
            "torn_bytes_total",
            "counter",
            "Bytes of unsynced batches cut at the start",
            wal.torn_bytes,
        ),
    ] {
        text.one(&format!("diwan_wal_{name}"), kind, help, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_buckets_add_up() {
        let mut text = Text(String::new());
        text.sample("a", &[("b", "c\"\\\n")], 1.5);
        text.histogram(
            "h",
            "Help",
            &HistogramState {
                buckets: vec![(0.0001, 1), (1.0, 3)],
                count: 4,
                sum: 7.5,
            },
        );
        assert_eq!(
            text.0,
            "a{b=\"c\\\"\\\\\\n\"} 1.5\n# HELP h Help\n# TYPE h histogram\nh_bucket{le=\"0.0001\"} 1\nh_bucket{le=\"1\"} 3\n\
             h_bucket{le=\"+Inf\"} 4\nh_sum 7.5\nh_count 4\n"
        );
    }
}
