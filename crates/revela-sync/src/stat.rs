//! What the system says of a file, by which it is known to be the same.

use std::fs::Metadata;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The coarsest steps in which file systems count times.
const COARSEST: Duration = Duration::from_secs(2);

/// Size, time of the last change of the content, inode, time of the last change of anything (0 where the system has
/// none). Times are nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stat(u64, i64, u64, i64);

impl Stat {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let (inode, changed) = system(metadata);
        let modified = metadata.modified().map_or(0, since_1970);
        Self(metadata.len(), modified, inode, changed)
    }

    pub(crate) fn bytes(self) -> u64 {
        self.0
    }

    /// Whether a file that was read at this time could be changed after that and look the same: its times are so late that
    /// the next change may get the same ones.
    pub(crate) fn could_hide_a_change(self, read_at: SystemTime) -> bool {
        let safe = since_1970(read_at).saturating_sub(COARSEST.as_nanos() as i64);
        self.1.max(self.3) >= safe
    }
}

fn since_1970(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |nanos| -nanos),
    }
}

#[cfg(unix)]
fn system(metadata: &Metadata) -> (u64, i64) {
    use std::os::unix::fs::MetadataExt;
    let changed = metadata.ctime().saturating_mul(1_000_000_000).saturating_add(metadata.ctime_nsec());
    (metadata.ino(), changed)
}

#[cfg(not(unix))]
fn system(_metadata: &Metadata) -> (u64, i64) {
    (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_times_could_hide_a_change_and_old_ones_cannot() {
        let now = SystemTime::now();
        let at = |seconds: u64| since_1970(now - Duration::from_secs(seconds));
        assert!(Stat(1, at(0), 1, at(0)).could_hide_a_change(now));
        assert!(Stat(1, at(9), 1, at(1)).could_hide_a_change(now));
        assert!(!Stat(1, at(9), 1, at(9)).could_hide_a_change(now));
        // A time in the future cannot be trusted either.
        assert!(Stat(1, at(0) + 1_000_000_000_000, 1, at(9)).could_hide_a_change(now));
    }
}
