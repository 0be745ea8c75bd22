//! What the log counts.

/// Counts since the log was opened, and sizes of now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Records that count: live entries, hard states, compaction points, with their record headers.
    pub live_bytes: u64,
    /// All files of the directory.
    pub disk_bytes: u64,
    /// Segments that the log occupies.
    pub segments: u64,
    /// Files that are ready to be the next segment. One is a reserve for batches without entries.
    pub spares: u64,
    /// Batches that were written, rewriting ones included.
    pub batches: u64,
    /// What they took on disk, padding included.
    pub written_bytes: u64,
    /// Completed syncs.
    pub syncs: u64,
    /// Records that were rewritten forward.
    pub rewrites: u64,
    /// What they took.
    pub rewritten_bytes: u64,
    /// Segments that left the log.
    pub segments_freed: u64,
    /// Files that were made.
    pub files_made: u64,
    /// Files that were given back.
    pub files_removed: u64,
    /// How often a write had to wait for the next segment to be made or headed.
    pub stalls: u64,
    /// Batches that were refused because the disk was full.
    pub refused_full: u64,
    /// Whether room for a further file is missing.
    pub full: bool,
    /// Batches that opening cut from the end.
    pub torn_batches: u64,
    /// What they took.
    pub torn_bytes: u64,
}
