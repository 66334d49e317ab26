//! The door in simulated time: a simulated server works off what is let in.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

const MILLI: f64 = 1e-3;

/// A server of workers that each take what waits, up to a number, in a time of `fixed + each * number`.
#[derive(Debug, Clone, Copy)]
struct Model {
    workers: usize,
    fixed: f64,
    each: f64,
    together: usize,
}

impl Model {
    fn alone(self) -> f64 {
        self.fixed + self.each
    }

    /// What it does per second when everything waits.
    fn capacity(self) -> f64 {
        (self.workers * self.together) as f64 / (self.fixed + self.each * self.together as f64)
    }
}

/// When requests were let in and how long they took; how many were refused.
#[derive(Default)]
struct Seen {
    served: Vec<(f64, f64)>,
    refused: usize,
}

impl Seen {
    /// Times of those that came after a moment, ascending.
    fn times_after(&self, moment: f64) -> Vec<f64> {
        let after = self.served.iter().filter(|(came, _)| *came > moment);
        let mut times: Vec<f64> = after.map(|(_, took)| *took).collect();
        times.sort_by(f64::total_cmp);
        times
    }
}

/// Requests that are worked off together, each with when it came.
struct Batch {
    end: f64,
    takes: f64,
    requests: Vec<(f64, Entry)>,
}

struct Simulation {
    model: Model,
    state: State,
    start: Instant,
    waiting: VecDeque<(f64, Entry)>,
    working: Vec<Batch>,
    seen: Seen,
}

impl Simulation {
    fn new(model: Model) -> Self {
        let start = Instant::now();
        let state = State::new((2, 256), Duration::from_millis(100), start);
        Self { model, state, start, waiting: VecDeque::new(), working: Vec::new(), seen: Seen::default() }
    }

    fn at(&self, seconds: f64) -> Instant {
        self.start + Duration::from_secs_f64(seconds)
    }

    fn work(&mut self, now: f64) {
        while self.working.len() < self.model.workers && !self.waiting.is_empty() {
            let count = self.waiting.len().min(self.model.together);
            let requests = self.waiting.drain(..count).collect();
            let takes = self.model.fixed + self.model.each * count as f64;
            self.working.push(Batch { end: now + takes, takes, requests });
        }
    }

    /// Ends every batch that ends until then.
    fn run_until(&mut self, moment: f64) {
        loop {
            let ends = self.working.iter().map(|batch| batch.end).enumerate();
            let Some((number, end)) = ends.min_by(|one, other| one.1.total_cmp(&other.1)) else { return };
            if end > moment {
                return;
            }
            let now = self.at(end);
            let Batch { takes, requests, .. } = self.working.swap_remove(number);
            for (came, entry) in requests {
                self.state.leave(now, &entry, Some(Duration::from_secs_f64(takes)));
                self.seen.served.push((came, end - came));
            }
            self.work(end);
        }
    }

    fn come(&mut self, moment: f64) {
        self.run_until(moment);
        let now = self.at(moment);
        let entry = if self.state.look(now) { self.state.enter(now) } else { None };
        match entry {
            Some(entry) => self.waiting.push_back((moment, entry)),
            None => self.seen.refused += 1,
        }
        self.work(moment);
    }

    /// Requests come at random, this many per second, from one moment to another.
    fn load(&mut self, rate: f64, from: f64, until: f64) {
        let (mut moment, mut random) = (from, 0x9e37_79b9_7f4a_7c15_u64);
        loop {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let uniform = ((random >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
            moment -= uniform.ln() / rate;
            if moment >= until {
                return self.run_until(until);
            }
            self.come(moment);
        }
    }
}

const SERIAL: Model = Model { workers: 1, fixed: 0.0, each: 5.0 * MILLI, together: 1 };
const JOINING: Model = Model { workers: 1, fixed: 5.0 * MILLI, each: 0.1 * MILLI, together: 64 };

#[test]
fn at_three_times_the_capacity_the_served_keep_their_time() {
    for model in [SERIAL, Model { workers: 8, ..SERIAL }, Model { each: 0.1 * MILLI, ..SERIAL }] {
        let mut simulation = Simulation::new(model);
        simulation.load(model.capacity() * 0.5, 0.0, 2.0);
        assert_eq!(simulation.seen.refused, 0, "{model:?}");
        simulation.load(model.capacity() * 3.0, 2.0, 12.0);
        let times = simulation.seen.times_after(3.0);
        let (half, most) =
            (times[times.len() / 2] / model.alone(), times[times.len() * 99 / 100] / model.alone());
        assert!(half < 3.5 && most < 5.0, "{model:?}: {half} {most} times as long as alone");
        let rate = times.len() as f64 / 9.0;
        assert!(rate > 0.9 * model.capacity(), "{model:?}: {rate}");
        assert!(simulation.seen.refused as f64 > 10.0 * 1.9 * model.capacity());
    }
}

#[test]
fn clients_that_ask_again_at_once_do_not_make_each_other_wait() {
    // As many as wait no longer than is allowed for a crowd, for ever.
    let model = Model { each: 0.3 * MILLI, ..SERIAL };
    let mut simulation = Simulation::new(model);
    simulation.load(1000.0, 0.0, 1.0);
    (0..200).for_each(|_| simulation.come(1.0));
    let (mut seen, mut refused) = (simulation.seen.served.len(), 0);
    for step in 1..20_000 {
        let moment = 1.0 + f64::from(step) * 0.1 * MILLI;
        simulation.run_until(moment);
        // Who was answered comes again at once, who was refused a millisecond later.
        let again = simulation.seen.served.len() - seen;
        seen += again;
        let before = simulation.seen.refused;
        let retrying = if step % 10 == 0 { std::mem::take(&mut refused) } else { 0 };
        (0..again + retrying).for_each(|_| simulation.come(moment));
        refused += simulation.seen.refused - before;
    }
    let times = simulation.seen.times_after(1.5);
    let most = times[times.len() * 99 / 100] / model.alone();
    assert!(most < 5.0, "{most} times as long as alone");
    assert!(times.len() as f64 > 0.8 * 1.5 * model.capacity(), "{}", times.len());
}

#[test]
fn what_is_joined_is_let_in_together() {
    let mut simulation = Simulation::new(JOINING);
    simulation.load(JOINING.capacity() * 3.0, 0.0, 10.0);
    let times = simulation.seen.times_after(2.0);
    // One by one it would do 196 in a second.
    let rate = times.len() as f64 / 8.0;
    assert!(rate > 1500.0, "{rate}");
    let most = times[times.len() * 99 / 100] / JOINING.alone();
    assert!(most < 5.0, "{most} times as long as alone");
}

#[test]
fn a_crowd_is_no_overload_and_overload_ends() {
    let mut simulation = Simulation::new(SERIAL);
    simulation.load(100.0, 0.0, 2.0);
    // 15 at once, of which the last waits 75 milliseconds; again after a rest.
    for moment in [2.0, 2.5, 3.0] {
        (0..15).for_each(|_| simulation.come(moment));
    }
    simulation.run_until(3.5);
    assert_eq!(simulation.seen.refused, 0);
    simulation.load(600.0, 3.5, 8.0);
    assert!(simulation.state.overloaded);
    let refused = simulation.seen.refused;
    // Within a second of the end of the flood, everything is let in again.
    simulation.load(100.0, 8.0, 9.0);
    let after = simulation.seen.refused;
    simulation.load(100.0, 9.0, 20.0);
    assert!(!simulation.state.overloaded);
    assert!(after - refused < 50, "{}", after - refused);
    assert_eq!(simulation.seen.refused, after);
}

#[test]
fn a_server_that_became_slower_lets_fewer_in() {
    let mut simulation = Simulation::new(Model { workers: 4, ..SERIAL });
    simulation.load(2400.0, 0.0, 5.0);
    let before = simulation.state.steady();
    // Half of its workers are gone.
    simulation.model.workers = 2;
    simulation.load(2400.0, 5.0, 15.0);
    let after = simulation.state.steady();
    assert!(before >= 10 && after <= before * 6 / 10, "{before} {after}");
}

#[test]
fn other_requests_are_learned_in_time() {
    // Half a millisecond each, then forty, then half a one again.
    let quick = Model { each: 0.5 * MILLI, ..SERIAL };
    let slow = Model { each: 40.0 * MILLI, ..SERIAL };
    let mut simulation = Simulation::new(quick);
    simulation.load(1800.0, 0.0, 3.0);
    simulation.model = slow;
    simulation.load(75.0, 3.0, 40.0);
    let times = simulation.seen.times_after(15.0);
    let most = times[times.len() * 99 / 100] / slow.alone();
    assert!(most < 5.0, "{most} times as long as alone");
    simulation.model = quick;
    simulation.load(6000.0, 40.0, 60.0);
    let times = simulation.seen.times_after(50.0);
    let most = times[times.len() * 99 / 100] / quick.alone();
    assert!(most < 5.0, "{most} times as long as alone");
    assert!(times.len() as f64 > 0.9 * 10.0 * quick.capacity());
}

#[test]
fn it_starts_with_an_overload_and_nothing_served_is_no_end() {
    // The encoder hangs for 3 seconds, then is as quick as ever.
    let mut simulation = Simulation::new(SERIAL);
    simulation.model.workers = 0;
    simulation.load(600.0, 0.0, 3.0);
    assert!(simulation.seen.served.is_empty() && simulation.seen.refused > 1000);
    simulation.model.workers = 1;
    simulation.load(600.0, 3.0, 10.0);
    let times = simulation.seen.times_after(5.0);
    assert!(times.len() as f64 > 0.9 * 5.0 * SERIAL.capacity(), "{}", times.len());
    simulation.load(50.0, 10.0, 12.0);
    let refused = simulation.seen.refused;
    simulation.load(50.0, 12.0, 20.0);
    assert_eq!(simulation.seen.refused, refused);
}

#[test]
fn whoever_leaves_unserved_makes_room_and_counts_for_nothing() {
    let metrics = Arc::new(Metrics::default());
    let door = Arc::new(Door::new("it", (1, 2), Duration::from_secs(3600), metrics.clone()));
    let held = [door.enter().ok().unwrap(), door.enter().ok().unwrap()];
    assert_eq!(door.inside(), (2, 2));
    let refused = door.enter().err().unwrap();
    assert_eq!((refused.code.status().as_u16(), refused.retry_after), (429, Some(RETRY_AFTER)));
    assert!(door.look().is_err());
    drop(held);
    assert_eq!(lock(&door.state).window.served, 0);
    door.enter().ok().unwrap().served(Duration::ZERO);
    assert_eq!((door.inside().0, lock(&door.state).window.served), (0, 1));
    assert!(metrics.text(&[]).contains("revela_refused_total{queue=\"door\"} 2\n"));
}

proptest! {
    #[test]
    fn counts_return_to_nothing_and_limits_hold(
        steps in proptest::collection::vec((0u8..3, 0u64..200_000, any::<bool>()), 1..300),
        least in 1usize..4,
    ) {
        let mut now = Instant::now();
        let mut state = State::new((least, 20), Duration::from_millis(50), now);
        let mut inside = VecDeque::new();
        for (what, micros, served) in steps {
            now += Duration::from_micros(micros);
            let work = served.then(|| Duration::from_micros(micros));
            match what {
                0 => drop(state.look(now)),
                1 => inside.extend(state.enter(now)),
                _ => inside.pop_front().into_iter().for_each(|entry| state.leave(now, &entry, work)),
            }
            prop_assert_eq!(state.inside, inside.len());
            prop_assert!(inside.len() <= 20 && state.limit(now) >= 1 && state.steady() >= least);
            prop_assert_eq!(state.busy.is_some(), !inside.is_empty());
        }
    }
}
