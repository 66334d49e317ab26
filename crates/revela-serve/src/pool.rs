//! Where searches run: off the threads that serve connections, a bounded number at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::SearchConfig;
use crate::error::ApiError;
use crate::load::{Pace, retry_after};
use crate::metrics::{Event, Metrics, Stage};

/// Runs blocking work, some at once, some waiting, the rest refused.
#[derive(Debug)]
pub(crate) struct Pool {
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    pace: Arc<Pace>,
    settings: SearchConfig,
}

/// Counts one that waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(crate) fn new(settings: &SearchConfig) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(settings.threads)),
            waiting: AtomicUsize::new(0),
            pace: Arc::default(),
            settings: settings.clone(),
        }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Runs `work` on a thread of its own. Whoever drops this while it waits costs nothing more; work that
    /// has begun keeps its place until it ends.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        metrics: &Metrics,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let asked = Instant::now();
        let permit = self.permit(metrics).await?;
        metrics.stage(Stage::SearchWait, asked.elapsed());
        let pace = self.pace.clone();
        let run = move || {
            let _permit = permit;
            let began = Instant::now();
            let done = work();
            pace.measured(1, began.elapsed());
            done
        };
        tokio::task::spawn_blocking(run).await.map_err(ApiError::internal)
    }

    async fn permit(&self, metrics: &Metrics) -> Result<OwnedSemaphorePermit, ApiError> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let expected = self.pace.expected(before + 1) / self.settings.threads as u32;
        if before >= self.settings.queue || expected > Duration::from_millis(self.settings.max_wait_ms) {
            metrics.count(Event::SearchRefused);
            return Err(ApiError::overloaded("the search", retry_after(expected)));
        }
        self.permits.clone().acquire_owned().await.map_err(ApiError::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[tokio::test]
    async fn some_run_some_wait_and_the_rest_is_refused() {
        let pool = Arc::new(Pool::new(&SearchConfig { threads: 1, queue: 1, max_wait_ms: 60_000 }));
        let metrics = Arc::new(Metrics::default());
        let (release, held) = std::sync::mpsc::channel::<()>();
        let start = |work: Box<dyn FnOnce() + Send>| {
            let (pool, metrics) = (pool.clone(), metrics.clone());
            tokio::spawn(async move { pool.run(&metrics, work).await })
        };
        let running = start(Box::new(move || held.recv().unwrap()));
        while pool.permits.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let waits = start(Box::new(|| ()));
        while pool.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        let refused = start(Box::new(|| ())).await.unwrap().unwrap_err();
        assert_eq!((refused.code, refused.retry_after.is_some()), (Code::Overloaded, true));
        release.send(()).unwrap();
        running.await.unwrap().unwrap();
        waits.await.unwrap().unwrap();
        let panics = start(Box::new(|| panic!("broken"))).await.unwrap().unwrap_err();
        assert_eq!(panics.code, Code::Internal);
        start(Box::new(|| ())).await.unwrap().unwrap();
        assert_eq!(pool.waiting(), 0);
    }
}
