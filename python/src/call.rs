//! Work that the calling thread waits for.
//!
//! Short work runs on the calling thread, which lets go of the interpreter meanwhile. Long work runs on threads of
//! its own; the calling thread waits, and does there what only Python can: it hands over documents, shows progress and
//! looks for Ctrl-C. So Python's objects are used by the thread that brought them, as some demand (SQLite's cursors).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use revela_base::interrupt::Interrupt;
use revela_base::progress::{Progress, Task};
use revela_train::log::Record;

use crate::document::{Document, Source};
use crate::error::Failure;
use crate::json;
use crate::pool::pool;

/// How long the calling thread waits between two looks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

/// How often progress is told.
const TELL: Duration = Duration::from_millis(100);

/// What the calling thread is asked for.
enum Request {
    Documents(Sender<Result<Vec<Document>, Failure>>),
    Begin {
        task: u64,
        name: String,
        unit: &'static str,
        total: Option<u64>,
    },
    Advance {
        task: u64,
        count: u64,
    },
    Remark {
        task: u64,
        text: String,
    },
    End {
        task: u64,
    },
    /// A record of a training log, as JSON.
    Record(serde_json::Value),
}

/// Where work asks for what the calling thread has.
pub(crate) struct Desk {
    requests: Sender<Request>,
    next_task: AtomicU64,
    shows_progress: bool,
    wants_records: bool,
    pub(crate) interrupt: Interrupt,
}

/// What the calling thread brings.
#[derive(Default)]
pub(crate) struct Caller {
    /// Documents to hand over.
    pub(crate) documents: Option<Source>,
    /// Makes a bar of a name, a unit and a total: an object with `update`, `remark` and `close`.
    pub(crate) progress: Option<Py<PyAny>>,
    /// Is given records of a training log, as dicts.
    pub(crate) on_record: Option<Py<PyAny>>,
}

/// Does something short, without the interpreter.
pub(crate) fn short<T: Send>(
    py: Python<'_>,
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> PyResult<T> {
    let done = py.detach(|| catch_unwind(AssertUnwindSafe(work)));
    Ok(done.unwrap_or_else(|panic| Err(Failure::of_panic(&*panic)))?)
}

/// Does something on so many threads (0: one per core), served by the calling one.
pub(crate) fn long<T: Send>(
    py: Python<'_>,
    threads: usize,
    caller: Caller,
    work: impl FnOnce(&Desk) -> Result<T, Failure> + Send,
) -> PyResult<T> {
    let pool = pool(threads)?;
    let interrupt = Interrupt::new();
    let done = py.detach(|| {
        std::thread::scope(|scope| {
            let (requests, asked) = mpsc::channel();
            let (shows_progress, wants_records) = (caller.progress.is_some(), caller.on_record.is_some());
            let (next_task, stop) = (AtomicU64::new(0), interrupt.clone());
            let desk = Desk { requests, next_task, shows_progress, wants_records, interrupt: stop };
            let worker = scope.spawn(move || pool.install(|| work(&desk)));
            let served = serve(&asked, caller, &interrupt);
            let done = worker.join().unwrap_or_else(|panic| Err(Failure::of_panic(&*panic)));
            served.map_err(Failure::Python).and(done)
        })
    });
    Ok(done?)
}

/// Answers requests until the work is done. After an error of Python's the work is asked to stop.
fn serve(asked: &Receiver<Request>, mut caller: Caller, interrupt: &Interrupt) -> PyResult<()> {
    let (mut outcome, mut bars) = (Ok(()), Vec::new());
    loop {
        let request = match asked.recv_timeout(LOOK) {
            Ok(request) => Some(request),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return outcome,
        };
        if outcome.is_err() {
            // Whoever asked is told by a channel that is closed.
            continue;
        }
        outcome = Python::attach(|py| {
            py.check_signals()?;
            request.map_or(Ok(()), |request| caller.answer(py, request, &mut bars))
        });
        if outcome.is_err() {
            interrupt.request();
        }
    }
}

impl Caller {
    fn answer(&mut self, py: Python<'_>, request: Request, bars: &mut Vec<(u64, Py<PyAny>)>) -> PyResult<()> {
        let bar = |task: u64| bars.iter().find(|(number, _)| *number == task).map(|(_, bar)| bar);
        match request {
            Request::Documents(answer) => {
                let documents = self.documents.as_mut().map_or(Ok(Vec::new()), |source| source.next(py));
                // Work that has stopped meanwhile wants none.
                let _ = answer.send(documents);
            }
            Request::Begin { task, name, unit, total } => {
                if let Some(progress) = &self.progress {
                    bars.push((task, progress.call1(py, (name, unit, total))?));
                }
            }
            Request::Advance { task, count } => {
                bar(task).map_or(Ok(()), |bar| bar.call_method1(py, "update", (count,)).map(drop))?;
            }
            Request::Remark { task, text } => {
                bar(task).map_or(Ok(()), |bar| bar.call_method1(py, "remark", (text,)).map(drop))?;
            }
            Request::End { task } => {
                bar(task).map_or(Ok(()), |bar| bar.call_method0(py, "close").map(drop))?;
                bars.retain(|(number, _)| *number != task);
            }
            Request::Record(record) => {
                if let Some(on_record) = &self.on_record {
                    on_record.call1(py, (json::to_python(py, &record)?,))?;
                }
            }
        }
        Ok(())
    }
}

impl Desk {
    /// Documents as an iterator that asks the calling thread for some at a time.
    pub(crate) fn documents(&self) -> impl Iterator<Item = Result<Document, Failure>> {
        let mut waiting = Vec::new().into_iter();
        std::iter::from_fn(move || {
            if let Some(document) = waiting.next() {
                return Some(Ok(document));
            }
            match self.more() {
                Ok(documents) => waiting = documents.into_iter(),
                Err(failure) => return Some(Err(failure)),
            }
            waiting.next().map(Ok)
        })
    }

    /// Hands over a record of a training log.
    pub(crate) fn record(&self, record: &Record) {
        if self.wants_records
            && let Ok(record) = serde_json::to_value(record)
        {
            // A calling thread that serves no more has asked the run to stop.
            let _ = self.requests.send(Request::Record(record));
        }
    }

    fn more(&self) -> Result<Vec<Document>, Failure> {
        let (answer, documents) = mpsc::channel();
        // A calling thread that serves no more has an error of its own to raise.
        self.requests.send(Request::Documents(answer)).map_err(|_| Failure::Interrupted)?;
        documents.recv().map_err(|_| Failure::Interrupted)?
    }
}

impl Progress for Desk {
    fn task(&self, name: &str, unit: &'static str, total: Option<u64>) -> Box<dyn Task> {
        if !self.shows_progress {
            return Box::new(revela_base::progress::Silent);
        }
        let task = self.next_task.fetch_add(1, Ordering::Relaxed);
        let requests = self.requests.clone();
        let _ = requests.send(Request::Begin { task, name: name.to_owned(), unit, total });
        Box::new(Bar { task, requests, waiting: AtomicU64::new(0), told: Mutex::new(Instant::now()) })
    }
}

/// A task that tells of itself now and then.
struct Bar {
    task: u64,
    requests: Sender<Request>,
    /// Units that are done and not told.
    waiting: AtomicU64,
    told: Mutex<Instant>,
}

impl Bar {
    // What cannot be told any more need not be.
    fn tell(&self) {
        let count = self.waiting.swap(0, Ordering::Relaxed);
        if count > 0 {
            let _ = self.requests.send(Request::Advance { task: self.task, count });
        }
    }
}

impl Task for Bar {
    fn advance(&self, count: u64) {
        self.waiting.fetch_add(count, Ordering::Relaxed);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= TELL {
            *told = Instant::now();
            self.tell();
        }
    }

    fn remark(&self, text: &str) {
        let _ = self.requests.send(Request::Remark { task: self.task, text: text.to_owned() });
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.tell();
        let _ = self.requests.send(Request::End { task: self.task });
    }
}
