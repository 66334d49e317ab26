//! Threads to work on, by how many.
//!
//! They are not rayon's global ones: those are lost in a process that was forked, and whoever waited for them there
//! would wait for ever. A forked process makes its own.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::Failure;

/// Threads of a process.
struct Threads {
    process: u32,
    /// 0 for as many as there are cores.
    count: usize,
    pool: Arc<ThreadPool>,
}

static POOLS: Mutex<Vec<Threads>> = Mutex::new(Vec::new());

/// So many threads; 0 for one per core, or `RAYON_NUM_THREADS`.
///
/// # Errors
/// When the system gives no threads.
pub(crate) fn pool(count: usize) -> Result<Arc<ThreadPool>, Failure> {
    let process = std::process::id();
    let mut pools = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    if pools.iter().any(|threads| threads.process != process) {
        // The threads are not here, so their pool must not be waited for either.
        mem::forget(mem::take(&mut *pools));
    }
    if let Some(threads) = pools.iter().find(|threads| threads.count == count) {
        return Ok(threads.pool.clone());
    }
    let pool = ThreadPoolBuilder::new().num_threads(count).thread_name(|n| format!("revela-{n}")).build();
    let pool = pool.map_err(|e| Failure::Other(format!("cannot start {count} threads: {e}")))?;
    let pool = Arc::new(pool);
    pools.push(Threads { process, count, pool: pool.clone() });
    Ok(pool)
}
