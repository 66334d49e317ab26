//! Progress on the terminal: bars with rate and time left, or a line now and then where there is no
//! terminal.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use revela_base::progress::{Progress, Silent, Task};

/// Seconds between lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Draws on standard error, so that results on standard output stay clean.
#[derive(Clone)]
pub(crate) struct Terminal {
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Quiet,
    Lines,
    Bars(Arc<MultiProgress>),
}

impl Terminal {
    pub(crate) fn new(quiet: bool) -> Self {
        let kind = if quiet {
            Kind::Quiet
        } else if std::io::stderr().is_terminal() {
            Kind::Bars(Arc::new(MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(5))))
        } else {
            Kind::Lines
        };
        Self { kind }
    }

    /// Shows a line above the bars.
    pub(crate) fn line(&self, text: &str) {
        match &self.kind {
            Kind::Quiet => {}
            Kind::Lines => write_line(text),
            Kind::Bars(bars) => {
                // Nothing can be done about a terminal that cannot be written to.
                let _ = bars.println(text);
            }
        }
    }
}

fn write_line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl Progress for Terminal {
    fn task(&self, name: &str, unit: &'static str, total: Option<u64>) -> Box<dyn Task> {
        match &self.kind {
            Kind::Quiet => Box::new(Silent),
            Kind::Lines => Box::new(Lines::new(name, unit, total)),
            Kind::Bars(bars) => Box::new(Bar(bars.add(bar(name, unit, total)))),
        }
    }
}

fn bar(name: &str, unit: &'static str, total: Option<u64>) -> ProgressBar {
    let bar = match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::new_spinner(),
    };
    let template = match (total, unit) {
        // Seconds pass at one a second; a rate would say nothing.
        (Some(_), "seconds") => "{prefix:22} {bar:28} {percent:>3}%  {eta} left  {msg}".to_owned(),
        (Some(_), _) => format!(
            "{{prefix:22}} {{bar:28}} {{human_pos}}/{{human_len}} {unit}  {{per_sec}}  {{eta}} left  {{msg}}"
        ),
        (None, _) => {
            format!("{{prefix:22}} {{spinner}} {{human_pos}} {unit}  {{per_sec}}  {{elapsed}}  {{msg}}")
        }
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.set_prefix(name.to_owned());
    bar
}

struct Bar(ProgressBar);

impl Task for Bar {
    fn advance(&self, count: u64) {
        self.0.inc(count);
    }

    fn resume_at(&self, count: u64) {
        self.0.set_position(count);
        self.0.reset_eta();
    }

    fn remark(&self, text: &str) {
        self.0.set_message(text.to_owned());
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// A line at the start, one every few seconds, one at the end.
struct Lines {
    name: String,
    unit: &'static str,
    total: Option<u64>,
    done: AtomicU64,
    /// In an earlier run.
    before: AtomicU64,
    start: Instant,
    last: Mutex<(Instant, String)>,
}

impl Lines {
    fn new(name: &str, unit: &'static str, total: Option<u64>) -> Self {
        let now = Instant::now();
        Self {
            name: name.to_owned(),
            unit,
            total,
            done: AtomicU64::new(0),
            before: AtomicU64::new(0),
            start: now,
            last: Mutex::new((now, String::new())),
        }
    }

    fn show(&self, remark: &str) {
        let done = self.done.load(Ordering::Relaxed);
        let seconds = self.start.elapsed().as_secs_f64();
        let here = done.saturating_sub(self.before.load(Ordering::Relaxed));
        let rate = here as f64 / seconds.max(1e-9);
        let amount = match self.total {
            Some(total) => {
                let left = total.saturating_sub(done) as f64 / rate.max(1e-9);
                format!("{done}/{total} {} ({rate:.1}/s, {left:.0} s left)", self.unit)
            }
            None => format!("{done} {} ({rate:.1}/s)", self.unit),
        };
        write_line(format!("{}: {amount} {remark}", self.name).trim_end());
    }
}

impl Task for Lines {
    fn resume_at(&self, count: u64) {
        self.done.store(count, Ordering::Relaxed);
        self.before.store(count, Ordering::Relaxed);
    }

    fn advance(&self, count: u64) {
        self.done.fetch_add(count, Ordering::Relaxed);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0.elapsed() >= LINE_EVERY {
            last.0 = Instant::now();
            self.show(&last.1);
        }
    }

    fn remark(&self, text: &str) {
        text.clone_into(&mut self.last.lock().unwrap_or_else(PoisonError::into_inner).1);
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.done.load(Ordering::Relaxed);
        let seconds = self.start.elapsed().as_secs_f64();
        write_line(format!("{}: {done} {} in {seconds:.1} s {}", self.name, self.unit, last.1).trim_end());
    }
}
