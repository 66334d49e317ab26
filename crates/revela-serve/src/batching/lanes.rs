//! What waits for the encoder.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::counted::LaneKind;
use super::{Answer, Counted};

/// The texts of one request, some of them perhaps embedded already.
pub(super) struct Job {
    pub(super) counted: Counted,
    pub(super) queued: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) reply: oneshot::Sender<Answer>,
    /// The first text that no batch has taken yet.
    pub(super) next: usize,
    pub(super) rows: Vec<f32>,
    /// How long it waited for its first batch.
    pub(super) waited: Option<Duration>,
    /// Time in the encoder.
    pub(super) embedded: Duration,
}

impl Job {
    pub(super) fn new(counted: Counted, deadline: Option<Instant>, reply: oneshot::Sender<Answer>) -> Self {
        Self {
            counted,
            queued: Instant::now(),
            deadline,
            reply,
            next: 0,
            rows: Vec::new(),
            waited: None,
            embedded: Duration::ZERO,
        }
    }

    /// Whether somebody still wants the answer.
    fn is_wanted(&self, now: Instant) -> bool {
        !self.reply.is_closed() && self.deadline.is_none_or(|deadline| now < deadline)
    }

    fn remaining(&self) -> usize {
        self.counted.texts.len() - self.next
    }

    fn remaining_tokens(&self) -> usize {
        self.counted.tokens.iter().skip(self.next).sum()
    }
}

/// Texts of one kind, in the order in which they came.
#[derive(Default)]
pub(super) struct Lane {
    jobs: VecDeque<Job>,
    /// Texts that wait.
    pub(super) texts: usize,
    /// Their tokens.
    pub(super) tokens: usize,
}

impl Lane {
    pub(super) fn first_queued(&self) -> Option<Instant> {
        self.jobs.front().map(|job| job.queued)
    }

    fn push_back(&mut self, job: Job) {
        self.texts += job.remaining();
        self.tokens += job.remaining_tokens();
        self.jobs.push_back(job);
    }

    fn push_front(&mut self, job: Job) {
        self.texts += job.remaining();
        self.tokens += job.remaining_tokens();
        self.jobs.push_front(job);
    }

    fn pop(&mut self) -> Option<Job> {
        let job = self.jobs.pop_front()?;
        self.texts -= job.remaining();
        self.tokens -= job.remaining_tokens();
        Some(job)
    }

    /// Takes texts for one batch: whole jobs while there is room, then a part of one; at least one text.
    fn take(&mut self, room: Room, now: Instant) -> Taken {
        let mut taken = Taken::default();
        while let Some(mut job) = self.pop() {
            if !job.is_wanted(now) {
                taken.unwanted += 1;
                continue;
            }
            let first = job.next;
            let left = room.tokens.saturating_sub(taken.tokens);
            let (mut tokens, mut count) = (0, 0);
            for &cost in job.counted.tokens.iter().skip(first) {
                if tokens + cost > left && taken.texts + count > 0 {
                    break;
                }
                tokens += cost;
                count += 1;
            }
            if count == 0 {
                self.push_front(job);
                return taken;
            }
            job.next = first + count;
            taken.tokens += tokens;
            taken.texts += count;
            taken.parts.push((job, first..first + count));
            let complete = taken.parts.last().is_some_and(|(job, _)| job.remaining() == 0);
            if !complete || room.one_job {
                return taken;
            }
        }
        taken
    }
}

/// What a batch has room for.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) tokens: usize,
    /// Whether texts of several requests may not meet.
    pub(super) one_job: bool,
}

/// A batch: jobs with the texts of each that belong to it.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) parts: Vec<(Job, Range<usize>)>,
    pub(super) texts: usize,
    pub(super) tokens: usize,
    /// Jobs that were dropped because nobody waits for them any more.
    pub(super) unwanted: usize,
}

/// All that waits.
#[derive(Default)]
pub(super) struct Lanes {
    lanes: [Lane; LaneKind::ALL.len()],
    /// Which lane had the last batch.
    last: Option<LaneKind>,
    /// Whether requests met in it.
    company: bool,
}

impl Lanes {
    pub(super) fn lane(&self, kind: LaneKind) -> &Lane {
        let [queries, passages, pairs] = &self.lanes;
        match kind {
            LaneKind::Queries => queries,
            LaneKind::Passages => passages,
            LaneKind::Pairs => pairs,
        }
    }

    fn lane_mut(&mut self, kind: LaneKind) -> &mut Lane {
        let [queries, passages, pairs] = &mut self.lanes;
        match kind {
            LaneKind::Queries => queries,
            LaneKind::Passages => passages,
            LaneKind::Pairs => pairs,
        }
    }

    /// How many wait of each kind.
    pub(super) fn texts(&self) -> [usize; LaneKind::ALL.len()] {
        LaneKind::ALL.map(|kind| self.lane(kind).texts)
    }

    pub(super) fn push(&mut self, job: Job) {
        self.lane_mut(job.counted.kind).push_back(job);
    }

    /// Gives back a job of which a batch took only a part; it is the next of its lane.
    pub(super) fn give_back(&mut self, job: Job) {
        self.lane_mut(job.counted.kind).push_front(job);
    }

    /// The lane whose turn it is: the next after the one that had the last batch, of those where somebody waits.
    pub(super) fn turn(&self) -> Option<LaneKind> {
        let next = self.last.map_or(0, |last| last.place() + 1);
        let mut turns = LaneKind::ALL.into_iter().cycle().skip(next).take(LaneKind::ALL.len());
        turns.find(|kind| !self.lane(*kind).jobs.is_empty())
    }

    pub(super) fn take(&mut self, kind: LaneKind, room: Room) -> Taken {
        let taken = self.lane_mut(kind).take(room, Instant::now());
        (self.last, self.company) = (Some(kind), taken.parts.len() > 1);
        taken
    }

    pub(super) fn had_company(&self) -> bool {
        self.company
    }
}
