//! How many requests of a kind may be inside at once, by what the server has shown it can do.
//!
//! Two things are measured. `alone`: how much work a request is that meets no other (not how long it takes: a
//! server that is busy with receiving makes even that one wait). `pace`: how much time passes per request when
//! there is no lack of them. So `alone / pace` requests keep the server busy; with three times
//! as many inside, each takes about three times as long as alone (it waits for a batch that is under way, and
//! for its own), and any more would only wait. That is the steady limit. It follows the machine
//! and the encoder, and there is nothing to set: where many queries are embedded in hardly more time than one,
//! the pace quickens with the limit, and the limit grows with it.
//!
//! A crowd that comes at once is no overload: it may wait as long as patience allows, and is answered. Only
//! when the crowd does not go away within that time is the limit the steady one, until fewer come than can be
//! answered. While that lasts, the door closes for a moment now and then, so that one request is alone again.
//!
//! Whether there is room is asked twice: when a request's head has come, which spares reading the body of what
//! is refused, and when its body is there. Only then does it count, so that slow senders keep nobody out.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::error::ApiError;
use crate::metrics::{Event, Metrics, lock};

/// How much longer than alone a request may take while there are too many. With 2 there would be no joining:
/// a request that waits for one batch and goes with the next takes the time of two.
const STRETCH: f64 = 3.0;

/// What a new pace weighs.
const NEW_PACE: f64 = 0.3;

/// What a new time alone weighs; there may be few of them.
const NEW_ALONE: f64 = 0.5;

/// Shortest time over which requests are counted.
const WINDOW: Duration = Duration::from_millis(100);

/// A time over which requests are counted holds this many that take as long as one alone.
const WINDOW_OF: f64 = 8.0;

/// How old the time alone may get while there are too many, at least and in times alone: measuring it costs
/// a few of them.
const REMEMBER: (Duration, f64) = (Duration::from_secs(1), 100.0);

/// Too many come until they are fewer than this share of what can be served.
const RELIEF: f64 = 0.9;

/// What a client that is turned away is told to wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Bounds how many are inside.
pub(crate) struct Door {
    what: &'static str,
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

/// A request that is inside, until it is dropped.
pub(crate) struct Ticket {
    door: Arc<Door>,
    entry: Entry,
    work: Option<Duration>,
}

impl Door {
    /// A door for `what`, through which `least` may always go and never more than `most`; `patience` is how
    /// long a crowd may wait.
    pub(crate) fn new(
        what: &'static str,
        (least, most): (usize, usize),
        patience: Duration,
        metrics: Arc<Metrics>,
    ) -> Self {
        let state = Mutex::new(State::new((least, most), patience, Instant::now()));
        Self { what, state, metrics }
    }

    /// A request has come: whether there is room for it now.
    pub(crate) fn look(&self) -> Result<(), ApiError> {
        let fits = self.changed(|state, now| state.look(now));
        fits.then_some(()).ok_or_else(|| self.refuse())
    }

    /// Lets it in, now that all of it is here.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Ticket, ApiError> {
        let entry = self.changed(|state, now| state.enter(now)).ok_or_else(|| self.refuse())?;
        Ok(Ticket { door: self.clone(), entry, work: None })
    }

    /// How many are inside, and how many may be.
    pub(crate) fn inside(&self) -> (usize, usize) {
        let state = lock(&self.state);
        (state.inside, state.limit(Instant::now()))
    }

    fn refuse(&self) -> ApiError {
        self.metrics.count(Event::DoorRefused);
        ApiError::overloaded(self.what, RETRY_AFTER)
    }

    /// Changes the state, and logs once when an overload begins and ends: a line for every request that is
    /// refused would be a load of its own.
    fn changed<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = lock(&self.state);
        let before = state.overloaded;
        let result = change(&mut state, Instant::now());
        let (after, limit) = (state.overloaded, state.steady());
        drop(state);
        match (before, after) {
            (false, true) => {
                tracing::warn!(limit, "{} gets more than it can do: the rest is refused", self.what)
            }
            (true, false) => tracing::info!("{} can do again what it gets", self.what),
            _ => {}
        }
        result
    }
}

impl Ticket {
    /// The request was served by so much work; one that failed or went away says nothing about the server's pace.
    pub(crate) fn served(mut self, work: Duration) {
        self.work = Some(work);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.door.changed(|state, now| state.leave(now, &self.entry, self.work));
    }
}

/// How a request came in.
struct Entry {
    began: Instant,
    /// Its place in the order in which requests came in.
    number: u64,
    met_nobody: bool,
}

/// What was counted since a time.
struct Window {
    began: Instant,
    came: u32,
    served: u32,
    refused: u32,
    /// Seconds that the served were inside.
    took: f64,
    /// For how long anybody was inside.
    busy: Duration,
    /// Whether the door was nearly closed, so that the rest says nothing.
    closed: bool,
    /// Whether there were too many when it began.
    overloaded: bool,
}

impl Window {
    fn new(began: Instant, overloaded: bool) -> Self {
        let busy = Duration::ZERO;
        Self { began, came: 0, served: 0, refused: 0, took: 0.0, busy, closed: false, overloaded }
    }
}

/// What is known, as a function of times that are handed in.
struct State {
    least: usize,
    most: usize,
    patience: Duration,
    inside: usize,
    /// Since when anybody is inside, or since when that was last counted.
    busy: Option<Instant>,
    entered: u64,
    /// Seconds.
    alone: Option<f64>,
    measured_alone: Instant,
    /// Seconds.
    pace: Option<f64>,
    window: Window,
    /// Since when more are inside than the steady limit.
    crowded: Option<Instant>,
    overloaded: bool,
}

/// A mean in which what is new has this weight. It is the geometric one: requests of another kind may take a
/// hundredth or a hundred times as long, and either must be learned soon.
fn mean(old: Option<f64>, new: f64, weight: f64) -> Option<f64> {
    let new = new.max(1e-9);
    Some(old.map_or(new, |old| old * (new / old).powf(weight)))
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

impl State {
    fn new((least, most): (usize, usize), patience: Duration, now: Instant) -> Self {
        Self {
            least,
            most,
            patience,
            inside: 0,
            busy: None,
            entered: 0,
            alone: None,
            measured_alone: now,
            pace: None,
            window: Window::new(now, false),
            crowded: None,
            overloaded: false,
        }
    }

    fn look(&mut self, now: Instant) -> bool {
        self.count(now);
        self.window.came += 1;
        self.has_room(now)
    }

    fn enter(&mut self, now: Instant) -> Option<Entry> {
        if !self.has_room(now) {
            return None;
        }
        let met_nobody = self.inside == 0;
        self.busy.get_or_insert(now);
        self.inside += 1;
        self.entered += 1;
        if self.inside > self.steady() {
            let since = *self.crowded.get_or_insert(now);
            self.overloaded |= now.saturating_duration_since(since) >= self.patience;
        }
        Some(Entry { began: now, number: self.entered, met_nobody })
    }

    fn leave(&mut self, now: Instant, entry: &Entry, work: Option<Duration>) {
        self.inside = self.inside.saturating_sub(1);
        self.count_busy(now);
        if let Some(work) = work {
            self.window.served += 1;
            self.window.took += now.saturating_duration_since(entry.began).as_secs_f64();
            if entry.met_nobody && entry.number == self.entered {
                self.alone = mean(self.alone, work.as_secs_f64(), NEW_ALONE);
                self.measured_alone = now;
            }
        }
        if self.inside <= self.steady() {
            self.crowded = None;
        }
    }

    /// How many may be inside for long.
    fn steady(&self) -> usize {
        let busy = self.alone.zip(self.pace).map_or(0.0, |(alone, pace)| alone / pace);
        ((STRETCH * busy).ceil() as usize).clamp(self.least, self.most)
    }

    fn limit(&self, now: Instant) -> usize {
        match self.overloaded {
            true if self.wants_one_alone(now) => 1,
            true => self.steady(),
            false => {
                let crowd = self.pace.map_or(self.most as f64, |pace| self.patience.as_secs_f64() / pace);
                (crowd as usize).clamp(self.steady(), self.most)
            }
        }
    }

    fn wants_one_alone(&self, now: Instant) -> bool {
        let (least, alone) = (REMEMBER.0, duration(REMEMBER.1 * self.alone.unwrap_or(0.0)));
        self.overloaded && now.saturating_duration_since(self.measured_alone) > least.max(alone)
    }

    fn has_room(&mut self, now: Instant) -> bool {
        self.window.closed |= self.wants_one_alone(now);
        let room = self.inside < self.limit(now);
        self.window.refused += u32::from(!room);
        room
    }

    fn count_busy(&mut self, now: Instant) {
        if let Some(since) = self.busy {
            self.window.busy += now.saturating_duration_since(since);
        }
        self.busy = (self.inside > 0).then_some(now);
    }

    /// Closes the window when it is long enough.
    fn count(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.window.began);
        if elapsed < WINDOW.max(duration(self.alone.unwrap_or(0.0) * WINDOW_OF)) {
            return;
        }
        self.count_busy(now);
        let window = std::mem::replace(&mut self.window, Window::new(now, self.overloaded));
        if !window.closed && window.served > 0 {
            self.learn(&window, elapsed);
        }
        let due = f64::from(window.came) * self.pace.unwrap_or(f64::MAX);
        let relieved = window.refused == 0 || due < RELIEF * elapsed.as_secs_f64();
        if window.overloaded && relieved {
            (self.overloaded, self.crowded, self.window.overloaded) = (false, None, false);
        }
    }

    /// The time per request, of that in which anybody was inside, is the pace when some had to be refused or
    /// to wait for others; when not, the pace may be quicker. Little of that time says nothing, since what was
    /// served in it may have begun before.
    fn learn(&mut self, window: &Window, elapsed: Duration) {
        let served = f64::from(window.served);
        let pace = window.busy.as_secs_f64() / served;
        let waited = self.alone.is_some_and(|alone| window.took > STRETCH * alone * served);
        if window.refused > 0 || waited {
            self.pace = mean(self.pace, pace, NEW_PACE);
        } else if window.busy * 2 > elapsed {
            self.pace = Some(self.pace.map_or(pace, |known| known.min(pace)));
        }
    }
}
