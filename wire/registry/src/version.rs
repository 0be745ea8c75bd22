//! The version of a list of instances.

use std::fmt;

/// Milliseconds since 2019-01-01 in China (49 bits) and a sequence within the millisecond (15 bits): clients take only pushes with
/// a higher version than the one they hold.
/// Form: sofastack/sofa-registry:server/common/util/.../util/DatumVersionUtil.java.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub i64);

/// 2019-01-01T00:00:00+08:00 in milliseconds since 1970.
const EPOCH_MS: i64 = 1_546_272_000_000;
const SEQUENCE_BITS: u32 = 15;

impl Version {
    /// Of a list that nobody has published to (`ValueConstants.DEFAULT_NO_DATUM_VERSION`).
    pub const NO_DATUM: Self = Self(1);

    /// The first version of a millisecond since 1970. Before 2019 it is 0.
    pub fn at(unix_ms: u64) -> Self {
        let since = i64::try_from(unix_ms)
            .unwrap_or(i64::MAX)
            .saturating_sub(EPOCH_MS);
        Self(since.clamp(0, i64::MAX >> SEQUENCE_BITS) << SEQUENCE_BITS)
    }

    /// The milliseconds since 1970 in it.
    pub fn unix_ms(self) -> i64 {
        (self.0 >> SEQUENCE_BITS) + EPOCH_MS
    }

    /// The next higher one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_originals_form() {
        let version = Version::at(1_609_459_200_000);
        assert_eq!(version.0, 63_187_200_000 << 15);
        assert_eq!(version.unix_ms(), 1_609_459_200_000);
        assert!(version.next() > version && Version::at(1_609_459_200_001) > version.next());
        assert_eq!(Version::at(0), Version(0));
        assert!(Version::at(u64::MAX).0 > 0);
    }
}
