//! The thread that owns the models.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use revela_base::rerank::Pair;

use super::counted::LaneKind;
use super::lanes::{Job, Lanes, Room, Taken};
use super::{Embedded, Shared};
use crate::config::Joining;
use crate::error::ApiError;
use crate::metrics::{Event, lock};

/// Takes batch after batch until the server ends; what waits then is dropped, which its clients notice.
pub(super) fn run(shared: &Shared) {
    while let Some((kind, taken)) = next(shared) {
        shared.room.notify_all();
        for _ in 0..taken.unwanted {
            shared.metrics.count(Event::Cancelled);
        }
        if taken.texts > 0 {
            work(shared, kind, taken);
        }
    }
}

/// The next batch, once there is one worth taking.
fn next(shared: &Shared) -> Option<(LaneKind, Taken)> {
    let one_job = shared.settings.join == Joining::Off;
    let room = Room { tokens: shared.settings.tokens, one_job };
    let mut lanes = lock(&shared.lanes);
    loop {
        if shared.ending.load(Ordering::Acquire) {
            *lanes = Lanes::default();
            return None;
        }
        lanes = match lanes.turn() {
            None => shared.work.wait(lanes).unwrap_or_else(PoisonError::into_inner),
            Some(kind) => match still_to_wait(shared, &lanes, kind) {
                Some(time) => wait(shared, lanes, time),
                None => return Some((kind, lanes.take(kind, room))),
            },
        };
    }
}

fn wait<'a>(shared: &Shared, lanes: MutexGuard<'a, Lanes>, time: Duration) -> MutexGuard<'a, Lanes> {
    shared.work.wait_timeout(lanes, time).unwrap_or_else(PoisonError::into_inner).0
}

/// How long the first of a lane may still wait for others; nothing when the batch is full, time is up, or
/// the last batch was one request's: then the next one is probably alone too, and if it is not, others
/// gather while it is embedded.
fn still_to_wait(shared: &Shared, lanes: &Lanes, kind: LaneKind) -> Option<Duration> {
    let full = lanes.lane(kind).tokens >= shared.settings.tokens;
    if shared.settings.join == Joining::Off || !lanes.had_company() || full {
        return None;
    }
    let waits = lanes.lane(kind).first_queued()?.elapsed();
    Duration::from_millis(shared.settings.wait_ms).checked_sub(waits).filter(|time| !time.is_zero())
}

/// Embeds or scores a batch and answers the jobs that are complete with it.
fn work(shared: &Shared, kind: LaneKind, taken: Taken) {
    let began = Instant::now();
    let result = call(shared, kind, &taken);
    let took = began.elapsed();
    tracing::debug!(
        ?kind,
        texts = taken.texts,
        tokens = taken.tokens,
        ms = took.as_secs_f64() * 1e3,
        "batch"
    );
    match result {
        Ok(rows) => {
            shared.pace(kind).measured(taken.tokens, took);
            shared.metrics.batch(taken.texts, taken.tokens);
            let width = width(shared, kind);
            let mut rest = rows.as_slice();
            for (job, range) in taken.parts {
                let (own, after) = rest.split_at_checked(range.len() * width).unwrap_or_default();
                rest = after;
                deliver(shared, job, own, began, took);
            }
        }
        // One text must not fail the others: each request gets a batch of its own.
        Err(_) if taken.parts.len() > 1 => {
            for (job, range) in taken.parts {
                let alone = Taken { texts: range.len(), parts: vec![(job, range)], ..Taken::default() };
                work(shared, kind, alone);
            }
        }
        Err(error) => {
            for (job, _) in taken.parts {
                // A client that has gone needs no answer.
                let _ = job.reply.send(Err(error.clone()));
            }
        }
    }
}

/// Numbers per text.
fn width(shared: &Shared, kind: LaneKind) -> usize {
    match kind {
        LaneKind::Pairs => 1,
        LaneKind::Queries | LaneKind::Passages => {
            shared.models.encoder.as_ref().map_or(0, |encoder| encoder.dimension())
        }
    }
}

/// Calls the model; a panic or a wrong number of numbers is an error.
fn call(shared: &Shared, kind: LaneKind, taken: &Taken) -> Result<Vec<f32>, ApiError> {
    let parts = || {
        taken.parts.iter().flat_map(|(job, range)| {
            let texts = job.counted.texts.get(range.clone()).unwrap_or_default();
            texts.iter().map(move |text| (job.counted.query.as_str(), text.as_str()))
        })
    };
    let none = || ApiError::internal("work of this kind came to a server without its model");
    let called = catch_unwind(AssertUnwindSafe(|| -> Result<Vec<f32>, ApiError> {
        match kind {
            LaneKind::Pairs => {
                let pairs: Vec<Pair<'_>> = parts().collect();
                Ok(shared.models.reranker.as_ref().ok_or_else(none)?.scores(&pairs)?)
            }
            LaneKind::Queries | LaneKind::Passages => {
                let texts: Vec<&str> = parts().map(|(_, text)| text).collect();
                Ok(shared.models.encoder.as_ref().ok_or_else(none)?.embed(kind.text_kind(), &texts)?)
            }
        }
    }));
    let rows = called.map_err(|_| ApiError::internal("the model panicked"))??;
    let expected = taken.parts.iter().map(|(_, range)| range.len()).sum::<usize>() * width(shared, kind);
    if rows.len() != expected {
        let detail = format!("the model gave {} numbers where {expected} were due", rows.len());
        return Err(ApiError::internal(detail));
    }
    Ok(rows)
}

/// Adds rows to a job, and answers it or puts it back.
fn deliver(shared: &Shared, mut job: Job, rows: &[f32], began: Instant, took: Duration) {
    job.waited.get_or_insert(began.saturating_duration_since(job.queued));
    job.embedded += took;
    job.rows.extend_from_slice(rows);
    if job.next < job.counted.texts.len() {
        return lock(&shared.lanes).give_back(job);
    }
    let answer = Embedded {
        rows: std::mem::take(&mut job.rows),
        waited: job.waited.unwrap_or_default(),
        embedded: job.embedded,
    };
    // A client that has gone needs no answer.
    let _ = job.reply.send(Ok(answer));
}
