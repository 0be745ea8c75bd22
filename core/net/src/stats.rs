use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! stats {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of a server or client; every refusal has one. Read with [`snapshot`](Self::snapshot).
        #[derive(Debug, Default)]
        pub struct Stats {
            $($(#[$doc])* pub $name: AtomicU64,)*
        }

        impl Stats {
            /// Name and value of every counter.
            pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.load(Relaxed)),)*]
            }
        }
    };
}

stats! {
    /// Connections accepted or made.
    connections_opened,
    /// Connections ended.
    connections_closed,
    /// Connections refused because of the limit.
    connections_refused,
    /// Connections that could not be made.
    connect_failed,
    /// Connections accepted whose socket was broken before anything could be read.
    setup_failed,
    /// TLS handshakes that failed.
    tls_failed,
    /// Connections whose first bytes no protocol knows.
    protocol_unknown,
    /// Connections closed because framing was lost.
    framing_lost,
    /// Connections closed because a frame came too slowly.
    frame_slow,
    /// Connections closed because the peer did not read.
    reader_slow,
    /// Connections closed by the idle limit.
    idle_closed,
    /// Connections closed because heartbeats were not answered.
    heartbeat_lost,
    /// Frames received.
    frames_in,
    /// Bytes received.
    bytes_in,
    /// Bytes sent.
    bytes_out,
    /// Frames over the size limit, skipped.
    frames_too_large,
    /// Requests answered busy because too many were in flight.
    requests_busy,
    /// Requests answered busy because the server is stopping.
    requests_draining,
    /// Requests that nobody serves.
    requests_unserved,
    /// Answers whose request is unknown: late, or never sent.
    responses_unknown,
    /// Oneway requests lost because there was no connection or the peer did not read.
    oneways_dropped,
    /// Calls that got no answer in time.
    calls_timed_out,
}

impl Stats {
    /// Counts: what a protocol adds to the counters of its connections.
    pub fn add(counter: &AtomicU64, count: u64) {
        counter.fetch_add(count, Relaxed);
    }
}
