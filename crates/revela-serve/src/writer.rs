//! Changes of a collection: one thread per collection, each change on disk before it is acknowledged.
//!
//! What waits is made durable together, since every addition makes a shard and every publication a sync.
//! The collection's lock is held only while a change is made, so that other programs can change it too.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use revela_base::embed::Embedder;
use revela_base::interrupt::Interrupt;
use revela_base::progress::Silent;
use revela_index::CollectionWriter;
use revela_search::{Duplicates, Entry, StoreError};
use tokio::sync::oneshot;

use crate::batching::BlockingEmbedder;
use crate::collection::{Live, Opened, Origin};
use crate::config::Writing;
use crate::error::{ApiError, Code, ServeError};
use crate::load::{Pace, retry_after};
use crate::metrics::{Event, Metrics, Stage, lock};

/// What a client wants changed.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Passages to be added, no id twice.
    Add(Vec<Entry>, Duplicates),
    /// A passage to be deleted.
    Delete(String),
}

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Changed {
    pub(crate) added: usize,
    /// How many of them were there before under their ids.
    pub(crate) replaced: usize,
    pub(crate) deleted: usize,
}

type Answer = Result<Changed, ApiError>;

struct Job {
    change: Change,
    reply: oneshot::Sender<Answer>,
}

/// The writer of one collection.
pub(crate) struct Writer {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Stops compaction, which can be done another time; changes are finished.
    hurry: Interrupt,
    shared: Arc<Shared>,
}

struct Shared {
    live: Arc<Live>,
    embedder: Option<BlockingEmbedder>,
    settings: Writing,
    metrics: Arc<Metrics>,
    pace: Pace,
    waiting: Mutex<usize>,
}

impl Writer {
    pub(crate) fn start(
        live: Arc<Live>,
        embedder: Option<BlockingEmbedder>,
        settings: &Writing,
        metrics: Arc<Metrics>,
    ) -> Result<Self, ServeError> {
        let (jobs, receiver) = sync_channel(settings.queue);
        let (pace, waiting) = (Pace::default(), Mutex::new(0));
        let shared = Arc::new(Shared { live, embedder, settings: settings.clone(), metrics, pace, waiting });
        let hurry = Interrupt::new();
        let (for_thread, interrupt) = (shared.clone(), hurry.clone());
        let thread = std::thread::Builder::new()
            .name("revela-writer".to_owned())
            .spawn(move || for_thread.run(&receiver, &interrupt))
            .map_err(ServeError::system("start a writer's thread"))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), hurry, shared })
    }

    /// Makes a change; answers once it is durable and can be found. Dropping the future before the change
    /// has begun takes it out of the queue.
    pub(crate) async fn change(&self, change: Change) -> Answer {
        let (reply, answer) = oneshot::channel();
        let ending = || ApiError::unavailable("the server is shutting down");
        let jobs = self.jobs.as_ref().ok_or_else(ending)?;
        *lock(&self.shared.waiting) += 1;
        if let Err(refused) = jobs.try_send(Job { change, reply }) {
            *lock(&self.shared.waiting) -= 1;
            return Err(match refused {
                TrySendError::Full(_) => {
                    self.shared.metrics.count(Event::WriteRefused);
                    let expected = self.shared.pace.expected(*lock(&self.shared.waiting));
                    ApiError::overloaded("the writer", retry_after(expected))
                }
                TrySendError::Disconnected(_) => ending(),
            });
        }
        answer.await.map_err(|_| ending())?
    }

    /// Asks for what can be left for another time to be left.
    pub(crate) fn hurry(&self) {
        self.hurry.request();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it was reported when it happened.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self, jobs: &Receiver<Job>, hurry: &Interrupt) {
        while let Ok(first) = jobs.recv() {
            let more = std::iter::from_fn(|| jobs.try_recv().ok());
            let taken: Vec<Job> = std::iter::once(first).chain(more).take(self.settings.together).collect();
            let count = taken.len();
            *lock(&self.waiting) -= count;
            let wanted = taken.into_iter().filter(|job| !job.reply.is_closed());
            let began = Instant::now();
            for group in groups(wanted) {
                self.apply(group);
            }
            let took = began.elapsed();
            self.pace.measured(count, took);
            self.metrics.stage(Stage::Write, took);
            self.compact(hurry);
        }
    }

    /// Makes a group of changes at once; should that fail, each by itself, so that one that cannot be made
    /// fails alone.
    fn apply(&self, group: Vec<Job>) {
        let before = self.live.now();
        // Asked before the change, which a store that is no snapshot shows at once.
        let outcomes: Vec<Answer> = group.iter().map(|job| changed(&job.change, &before)).collect();
        match self.write(&group) {
            Ok(()) => {
                // What is on disk is acknowledged even if it cannot be opened, which the log tells.
                let _ = self.live.refresh();
                for (job, changed) in group.into_iter().zip(outcomes) {
                    // A client that has gone needs no answer.
                    let _ = job.reply.send(changed);
                }
            }
            Err(_) if group.len() > 1 => group.into_iter().for_each(|job| self.apply(vec![job])),
            Err(error) => {
                for job in group {
                    let _ = job.reply.send(Err(error.clone()));
                }
            }
        }
    }

    fn write(&self, group: &[Job]) -> Result<(), ApiError> {
        let opened = self.live.now();
        let only_read = || ApiError::new(Code::Unsupported, "this collection can only be read");
        let writer = opened.store.writer().ok_or_else(only_read)?;
        let Some(first) = group.first() else { return Ok(()) };
        if let Change::Add(_, duplicates) = first.change {
            let entries = group.iter().flat_map(|job| match &job.change {
                Change::Add(entries, _) => entries.as_slice(),
                Change::Delete(_) => &[],
            });
            let embedder = self.embedder.as_ref().map(|embedder| embedder as &dyn Embedder);
            let entries = entries.cloned().collect();
            return Ok(writer.add(entries, embedder, duplicates, &Silent, &Interrupt::new())?);
        }
        let ids = group.iter().filter_map(|job| match &job.change {
            Change::Add(..) => None,
            Change::Delete(id) => Some(id.as_str()),
        });
        writer.delete(&ids.collect::<Vec<_>>())?;
        Ok(())
    }

    /// Joins small shards once there are many, where that is worth its price: when they hold a good part of
    /// all passages, or are very many.
    fn compact(&self, hurry: &Interrupt) {
        let Origin::Folder(path) = &self.live.origin else { return };
        let (limit, shards) = (self.settings.compact_shards, self.live.now().shards());
        if limit == 0 || shards.len() < limit {
            return;
        }
        let rows: u64 = shards.iter().map(|shard| u64::from(shard.rows)).sum();
        let largest = shards.iter().map(|shard| u64::from(shard.rows)).max().unwrap_or(0);
        if (rows - largest) * 4 < rows && shards.len() < limit * 4 {
            return;
        }
        let compacted = CollectionWriter::open(path)
            .and_then(|mut writer| writer.compact(&Silent, hurry))
            .map_err(StoreError::from)
            .and_then(|_| self.live.refresh());
        if let Err(error) = compacted {
            tracing::warn!(collection = self.live.name, %error, "cannot compact the collection");
        }
    }
}

/// What a change that was made meant for the collection as it was before.
fn changed(change: &Change, before: &Opened) -> Answer {
    let there = |id: &str| before.store.has(&[id]).map(|found| found == [true]);
    match change {
        Change::Delete(id) => Ok(Changed { deleted: usize::from(there(id)?), ..Changed::default() }),
        Change::Add(entries, _) => {
            let mut replaced = 0;
            for entry in entries {
                replaced += usize::from(there(&entry.passage.id)?);
            }
            Ok(Changed { added: entries.len() - replaced, replaced, ..Changed::default() })
        }
    }
}

/// Cuts jobs into groups that can be made at once, in order: of one kind, no id twice.
fn groups(jobs: impl Iterator<Item = Job>) -> Vec<Vec<Job>> {
    let mut groups: Vec<Vec<Job>> = Vec::new();
    let mut ids: HashSet<String> = HashSet::new();
    for job in jobs {
        let own: Vec<String> = match &job.change {
            Change::Add(entries, _) => entries.iter().map(|entry| entry.passage.id.clone()).collect(),
            Change::Delete(id) => vec![id.clone()],
        };
        let fits = groups.last().and_then(|group| group.first()).is_some_and(|first| {
            let kind = match (&first.change, &job.change) {
                (Change::Add(_, one), Change::Add(_, other)) => one == other,
                (Change::Delete(_), Change::Delete(_)) => true,
                _ => false,
            };
            kind && own.iter().all(|id| !ids.contains(id))
        });
        if !fits {
            groups.push(Vec::new());
            ids.clear();
        }
        ids.extend(own);
        if let Some(group) = groups.last_mut() {
            group.push(job);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use revela_search::Passage;

    use super::*;

    fn add(ids: &[&str], duplicates: Duplicates) -> Job {
        let passage = |&id: &&str| Passage { id: id.into(), title: String::new(), text: "t".into() };
        let change = Change::Add(ids.iter().map(passage).map(Entry::from).collect(), duplicates);
        Job { change, reply: oneshot::channel().0 }
    }

    fn delete(id: &str) -> Job {
        Job { change: Change::Delete(id.into()), reply: oneshot::channel().0 }
    }

    #[test]
    fn groups_keep_the_order_and_never_hold_an_id_twice() {
        use Duplicates::{LastWins, Refuse};
        let jobs = vec![
            add(&["a", "b"], LastWins),
            add(&["c"], LastWins),
            add(&["b"], LastWins),
            add(&["d"], Refuse),
            delete("d"),
            delete("a"),
            delete("d"),
            add(&["d"], LastWins),
        ];
        let sizes: Vec<usize> = groups(jobs.into_iter()).iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 1, 1, 2, 1, 1]);
    }
}
