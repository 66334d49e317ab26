//! Texts wait a moment for each other and go through the encoder together.
//!
//! One thread owns the encoder. There are two lanes, one for queries, for which somebody waits, and one for
//! passages, which come in bulk; the worker takes a batch from each in turn, so that neither starves. A batch
//! is bounded by tokens; a request with more texts than that goes through in several batches. A lane that is
//! full, or whose texts would wait too long at the pace measured so far, refuses at once.

mod lanes;
mod worker;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use revela_base::checksum::Checksum;
use revela_base::embed::{EmbedError, Embedder, Metric, TextKind};
use tokio::sync::oneshot;

use crate::config::Batching;
use crate::encoder::TextEncoder;
use crate::error::{ApiError, ServeError};
use crate::load::{Pace, retry_after};
use crate::metrics::{Event, Metrics, Stage, lock};
use lanes::{Job, Lane, Lanes};

/// How long a bulk writer sleeps before it looks for room again, should nobody wake it.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Texts with what the encoder said they cost.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    kind: TextKind,
    texts: Vec<String>,
    tokens: Vec<usize>,
}

impl Counted {
    /// Counts the tokens of texts, which takes about as long as tokenizing them.
    pub(crate) fn new(
        encoder: &dyn TextEncoder,
        kind: TextKind,
        texts: Vec<String>,
    ) -> Result<Self, EmbedError> {
        let tokens = texts.iter().map(|text| encoder.tokens(kind, text)).collect::<Result<_, _>>()?;
        Ok(Self { kind, texts, tokens })
    }

    pub(crate) fn tokens(&self) -> usize {
        self.tokens.iter().sum()
    }
}

/// Vectors, and how long they took.
#[derive(Debug)]
pub(crate) struct Embedded {
    /// Row-major, a row per text.
    pub(crate) rows: Vec<f32>,
    pub(crate) waited: Duration,
    pub(crate) embedded: Duration,
}

type Answer = Result<Embedded, ApiError>;

/// What the worker and its clients share.
struct Shared {
    encoder: Arc<dyn TextEncoder>,
    settings: Batching,
    metrics: Arc<Metrics>,
    lanes: Mutex<Lanes>,
    /// Work has come, or the end.
    work: Condvar,
    /// There is room again.
    room: Condvar,
    pace: Pace,
    ending: AtomicBool,
}

/// The encoder, with its queue and its thread.
pub(crate) struct Batcher {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
}

impl Batcher {
    pub(crate) fn start(
        encoder: Arc<dyn TextEncoder>,
        settings: &Batching,
        metrics: Arc<Metrics>,
    ) -> Result<Self, ServeError> {
        let shared = Arc::new(Shared {
            encoder,
            settings: settings.clone(),
            metrics,
            lanes: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            pace: Pace::default(),
            ending: AtomicBool::new(false),
        });
        let for_worker = shared.clone();
        let worker = std::thread::Builder::new()
            .name("revela-encoder".to_owned())
            .spawn(move || worker::run(&for_worker))
            .map_err(ServeError::system("start the encoder's thread"))?;
        Ok(Self { shared, worker: Some(worker) })
    }

    pub(crate) fn encoder(&self) -> &Arc<dyn TextEncoder> {
        &self.shared.encoder
    }

    /// Texts that wait, queries and passages.
    pub(crate) fn waiting(&self) -> [usize; 2] {
        lock(&self.shared.lanes).texts()
    }

    /// Refuses at once where nothing more can wait; spares counting tokens for nothing.
    pub(crate) fn check_room(&self, kind: TextKind) -> Result<(), ApiError> {
        self.shared.admit(&lock(&self.shared.lanes), kind, 1, 1)
    }

    /// The same while it is not known yet of which kind a text will be.
    pub(crate) fn check_any_room(&self) -> Result<(), ApiError> {
        self.check_room(TextKind::Passage).or_else(|_| self.check_room(TextKind::Query))
    }

    /// Embeds texts. Dropping the future takes them out of the queue.
    pub(crate) async fn embed(&self, counted: Counted, deadline: Instant) -> Answer {
        if counted.texts.is_empty() {
            return Ok(Embedded { rows: Vec::new(), waited: Duration::ZERO, embedded: Duration::ZERO });
        }
        let answer = self.shared.enqueue(counted, Some(deadline))?;
        let dropped = |_| match Instant::now() < deadline {
            true => ApiError::unavailable("the server is shutting down"),
            false => ApiError::timeout("the encoder did not come to this in time; send it again later"),
        };
        let embedded = answer.await.map_err(dropped)??;
        self.shared.metrics.stage(Stage::EmbedWait, embedded.waited);
        self.shared.metrics.stage(Stage::Embed, embedded.embedded);
        Ok(embedded)
    }

    /// The same for threads that may block and have time: it waits for room. For whoever needs an
    /// [`Embedder`].
    pub(crate) fn blocking(&self) -> BlockingEmbedder {
        BlockingEmbedder { shared: self.shared.clone() }
    }
}

impl Drop for Batcher {
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
    fn admit(&self, lanes: &Lanes, kind: TextKind, texts: usize, tokens: usize) -> Result<(), ApiError> {
        let lane = lanes.lane(kind);
        // A request that is larger than the whole queue is let in where it need not wait.
        if lane.texts == 0 {
            return Ok(());
        }
        let expected = self.pace.expected(lane.tokens + tokens);
        let longest = match kind {
            TextKind::Query => self.settings.max_wait_ms,
            TextKind::Passage => self.settings.max_bulk_wait_ms,
        };
        let late = self.pace.expected(lane.tokens) > Duration::from_millis(longest);
        if lane.texts + texts > self.settings.queue || late {
            self.metrics.count(Event::EmbedRefused);
            return Err(ApiError::overloaded("the encoder", retry_after(expected)));
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
}

impl Embedder for BlockingEmbedder {
    fn dimension(&self) -> usize {
        self.shared.encoder.dimension()
    }

    fn fingerprint(&self) -> Checksum {
        self.shared.encoder.fingerprint()
    }

    fn metric(&self) -> Metric {
        self.shared.encoder.metric()
    }

    fn embed(&self, kind: TextKind, texts: &[&str]) -> Result<Vec<f32>, EmbedError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        let counted = Counted::new(&*self.shared.encoder, kind, texts)?;
        let embedded = self.shared.embed_patiently(counted).map_err(|error| EmbedError(Box::new(error)))?;
        Ok(embedded.rows)
    }
}

#[cfg(test)]
mod tests;
