//! When shards are joined: every change leaves one, and a search looks into all of them.

use revela_base::interrupt::Interrupt;
use revela_base::progress::Progress;
use revela_index::info::ShardInfo;
use revela_index::{Collection, CollectionWriter};

use crate::error::SyncError;

/// Shards that are left side by side.
const SIDE_BY_SIDE: usize = 8;

/// Rows that are written anew without looking twice.
const FEW: u64 = 1024;

/// Rows that may be written anew while somebody waits for the next change.
const QUICK: u64 = 20_000;

/// How much time there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    /// Enough.
    None,
    /// The next change should not wait.
    Quick,
}

/// What is to be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Nothing,
    /// So many of the last shards.
    Last(usize),
    All,
}

fn plan(shards: &[ShardInfo], haste: Haste) -> Plan {
    let live = |shard: &ShardInfo| u64::from(shard.rows - shard.deleted);
    let (all, dead) =
        shards.iter().fold((0, 0), |(all, dead), shard| (all + live(shard), dead + u64::from(shard.deleted)));
    let affordable = |rows: u64| haste == Haste::None || rows <= QUICK;
    if dead > all / 2 + FEW && affordable(all) {
        return Plan::All;
    }
    // From the newest on, as long as a shard is not much larger than all that came after it: so every row is written
    // anew about as often as the number of rows has digits.
    let (mut rows, mut count) = (0, 0);
    for shard in shards.iter().rev() {
        let here = live(shard);
        if count > 0 && here > FEW.max(2 * rows) || !affordable(rows + here) {
            break;
        }
        (rows, count) = (rows + here, count + 1);
    }
    if count >= SIDE_BY_SIDE { Plan::Last(count) } else { Plan::Nothing }
}

/// Joins what is worth it.
pub(crate) fn join(
    writer: &mut CollectionWriter,
    collection: Collection,
    haste: Haste,
    progress: &dyn Progress,
    interrupt: &Interrupt,
) -> Result<(), SyncError> {
    let plan = plan(&collection.shards(), haste);
    // What is open is not removed.
    drop(collection);
    match plan {
        Plan::Nothing => false,
        Plan::Last(count) => writer.compact_last(count, progress, interrupt)?,
        Plan::All => writer.compact(progress, interrupt)?,
    };
    Ok(())
}

/// Whether anything is worth joining.
pub(crate) fn is_due(collection: &Collection, haste: Haste) -> bool {
    plan(&collection.shards(), haste) != Plan::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FolderSync;

    #[test]
    fn many_small_changes_leave_few_shards() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.md"), "# A\n\nfirst words").unwrap();
        let mut sync = FolderSync::new(crate::Folder::new(dir.path()), None);
        for round in 0..40 {
            std::fs::write(dir.path().join("a.md"), format!("# A\n\nwords of round {round}")).unwrap();
            std::fs::write(dir.path().join(format!("{round}.md")), format!("# B\n\nnote {round}")).unwrap();
            sync.sync(&revela_base::progress::Silent, &Interrupt::new()).unwrap();
            let collection = Collection::open(sync.collection()).unwrap();
            assert!(collection.shards().len() <= SIDE_BY_SIDE, "round {round}");
            assert_eq!(collection.len(), round + 2);
        }
    }
}
