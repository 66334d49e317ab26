//! Texts wait a moment for each other and go through the encoder together.
//!
//! One thread owns the encoder and the reranker. There are three lanes: for queries, for which somebody waits, for
//! passages, which come in bulk, and for pairs to score; the worker takes a batch from each in turn, so that none
//! starves. A batch is bounded by tokens; a request with more texts than that goes through in several batches. A lane
//! that is full, or whose texts would wait too long at the pace measured so far, refuses at once.

mod counted;
mod lanes;
mod pairs;
mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use revela_base::checksum::Checksum;
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};
use revela_base::rerank::Reranker;
use tokio::sync::oneshot;

use crate::config::Batching;
use crate::encoder::TextEncoder;
use crate::error::{ApiError, ServeError};
use crate::load::{Pace, retry_after};
use crate::metrics::{Event, Metrics, Stage, lock};
use counted::LaneKind;
use lanes::{Job, Lane, Lanes};

pub(crate) use counted::Counted;
pub(crate) use pairs::PairBatcher;

/// How long a bulk writer sleeps before it looks for room again, should nobody wake it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Vectors or scores, and how long they took.
#[derive(Debug)]
pub(crate) struct Embedded {
    /// Row-major, a row per text; of pairs, a score each.
    pub(crate) rows: Vec<f32>,
    pub(crate) waited: Duration,
    pub(crate) embedded: Duration,
}

type Answer = Result<Embedded, ApiError>;

/// What the worker and its clients share.
struct Shared {
    models: Models,
    settings: Batching,
    metrics: Arc<Metrics>,
    lanes: Mutex<Lanes>,
    /// Work has come, or the end.
    work: Condvar,
    /// There is room again.
    room: Condvar,
    /// Of the encoder and of the reranker, whose tokens take other times.
    paces: [Pace; 2],
    ending: AtomicBool,
}

/// The models that one thread owns.
#[derive(Clone, Default)]
pub(crate) struct Models {
    pub(crate) encoder: Option<Arc<dyn TextEncoder>>,
    pub(crate) reranker: Option<Arc<dyn Reranker>>,
}

/// The models' thread, which ends with it.
struct Core {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

/// The encoder, with its queue.
pub(crate) struct Batcher {
    core: Arc<Core>,
    encoder: Arc<dyn TextEncoder>,
}

/// Starts the models' thread. Returns a way to each model that there is.
pub(crate) fn start(
    models: Models,
    settings: &Batching,
    metrics: Arc<Metrics>,
) -> Result<(Option<Batcher>, Option<PairBatcher>), ServeError> {
    let shared = Arc::new(Shared {
        models: models.clone(),
        settings: settings.clone(),
        metrics,
        lanes: Mutex::default(),
        work: Condvar::new(),
        room: Condvar::new(),
        paces: Default::default(),
        ending: AtomicBool::new(false),
    });
    let for_worker = shared.clone();
    let worker = std::thread::Builder::new()
        .name("revela-encoder".to_owned())
        .spawn(move || worker::run(&for_worker))
        .map_err(ServeError::system("start the encoder's thread"))?;
    let core = Arc::new(Core { shared, worker: Some(worker) });
    let texts = models.encoder.map(|encoder| Batcher { core: core.clone(), encoder });
    Ok((texts, models.reranker.map(|reranker| PairBatcher::new(core, reranker))))
}

impl Batcher {
    pub(crate) fn encoder(&self) -> &Arc<dyn TextEncoder> {
        &self.encoder
    }

    /// Texts that wait, queries and passages.
    pub(crate) fn waiting(&self) -> [usize; 2] {
        let [queries, passages, _] = lock(&self.core.shared.lanes).texts();
        [queries, passages]
    }

    /// Refuses at once where nothing more can wait; spares counting tokens for nothing.
    pub(crate) fn check_room(&self, kind: TextKind) -> Result<(), ApiError> {
        self.core.shared.check_room(kind.into())
    }

    /// The same while it is not known yet of which kind a text will be.
    pub(crate) fn check_any_room(&self) -> Result<(), ApiError> {
        self.check_room(TextKind::Passage).or_else(|_| self.check_room(TextKind::Query))
    }

    /// Embeds texts. Dropping the future takes them out of the queue.
    pub(crate) async fn embed(&self, counted: Counted, deadline: Instant) -> Answer {
        self.core.shared.answer(counted, deadline, [Stage::EmbedWait, Stage::Embed]).await
    }

    /// The same for threads that may block and have time: it waits for room. For whoever needs an
    /// [`Embedder`].
    pub(crate) fn blocking(&self) -> BlockingEmbedder {
        BlockingEmbedder { shared: self.core.shared.clone(), encoder: self.encoder.clone() }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.shared.ending.store(true, Ordering::Release);
        // Taken so that the worker is not between looking and sleeping.
        drop(lock(&self.shared.lanes));
        self.shared.work.notify_all();
        self.shared.room.notify_all();
        if let Some(worker) = self.worker.take() {
            // It cannot have panicked: it catches the encoder's panics.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn pace(&self, kind: LaneKind) -> &Pace {
        let [of_encoder, of_reranker] = &self.paces;
        match kind {
            LaneKind::Queries | LaneKind::Passages => of_encoder,
            LaneKind::Pairs => of_reranker,
        }
    }

    fn check_room(&self, kind: LaneKind) -> Result<(), ApiError> {
        self.admit(&lock(&self.lanes), kind, 1, 1)
    }

    /// Waits for a job's answer. Dropping the future takes it out of the queue.
    async fn answer(&self, counted: Counted, deadline: Instant, [wait, work]: [Stage; 2]) -> Answer {
        if counted.texts.is_empty() {
            return Ok(Embedded { rows: Vec::new(), waited: Duration::ZERO, embedded: Duration::ZERO });
        }
        let answer = self.enqueue(counted, Some(deadline))?;
        let dropped = |_| match Instant::now() < deadline {
            true => ApiError::unavailable("the server is shutting down"),
            false => ApiError::timeout("the model did not come to this in time; send it again later"),
        };
        let embedded = answer.await.map_err(dropped)??;
        self.metrics.stage(wait, embedded.waited);
        self.metrics.stage(work, embedded.embedded);
        Ok(embedded)
    }

    fn admit(&self, lanes: &Lanes, kind: LaneKind, texts: usize, tokens: usize) -> Result<(), ApiError> {
        let lane = lanes.lane(kind);
        // A request that is larger than the whole queue is let in where it need not wait.
        if lane.texts == 0 {
            return Ok(());
        }
        let expected = self.pace(kind).expected(lane.tokens + tokens);
        let longest = match kind {
            LaneKind::Queries => self.settings.max_wait_ms,
            LaneKind::Passages | LaneKind::Pairs => self.settings.max_bulk_wait_ms,
        };
        let late = self.pace(kind).expected(lane.tokens) > Duration::from_millis(longest);
        if lane.texts + texts > self.settings.queue || late {
            let (event, what) = match kind {
                LaneKind::Queries | LaneKind::Passages => (Event::EmbedRefused, "the encoder"),
                LaneKind::Pairs => (Event::RerankRefused, "the reranker"),
            };
            self.metrics.count(event);
            return Err(ApiError::overloaded(what, retry_after(expected)));
        }
        Ok(())
    }

    fn enqueue(
        &self,
        counted: Counted,
        deadline: Option<Instant>,
    ) -> Result<oneshot::Receiver<Answer>, ApiError> {
        let mut lanes = lock(&self.lanes);
        self.admit(&lanes, counted.kind, counted.texts.len(), counted.tokens())?;
        let (reply, answer) = oneshot::channel();
        lanes.push(Job::new(counted, deadline, reply));
        drop(lanes);
        self.work.notify_one();
        Ok(answer)
    }

    /// Waits until there is room, and then for the answer.
    fn embed_patiently(&self, counted: Counted) -> Answer {
        let mut lanes = lock(&self.lanes);
        let full = |lane: &Lane| lane.texts > 0 && lane.texts + counted.texts.len() > self.settings.queue;
        while full(lanes.lane(counted.kind)) && !self.ending.load(Ordering::Acquire) {
            let (again, _) =
                self.room.wait_timeout(lanes, LOOK_AGAIN).unwrap_or_else(std::sync::PoisonError::into_inner);
            lanes = again;
        }
        let (reply, answer) = oneshot::channel();
        lanes.push(Job::new(counted, None, reply));
        drop(lanes);
        self.work.notify_one();
        answer.blocking_recv().map_err(|_| ApiError::unavailable("the server is shutting down"))?
    }
}

/// The encoder behind its queue, as what collections want.
pub(crate) struct BlockingEmbedder {
    shared: Arc<Shared>,
    encoder: Arc<dyn TextEncoder>,
}

impl Embedder for BlockingEmbedder {
    fn dimension(&self) -> usize {
        self.encoder.dimension()
    }

    fn fingerprint(&self) -> Checksum {
        self.encoder.fingerprint()
    }

    fn metric(&self) -> Metric {
        self.encoder.metric()
    }

    fn embed(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        let counted = Counted::new(&*self.encoder, kind, texts)?;
        let embedded = self.shared.embed_patiently(counted).map_err(|error| EmbedError(Box::new(error)))?;
        Ok(embedded.rows)
    }
}

#[cfg(test)]
mod tests;
