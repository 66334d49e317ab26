//! Measuring what walks through a shard's graph find.
//!
//! Some rows are taken as queries, each as if it were not in the graph, and searched for exactly and by walks. That costs a
//! scan per query, a few hundredths of what building the graph costs, whatever the shard's size is.

use rayon::prelude::*;
use revela_base::interrupt::{Interrupt, Interrupted};
use revela_base::progress::{Progress, Task};

use crate::lane::{FEW, Parts, Scratch, Walked, exact_scores};
use crate::recall::{MeasuredWith, Recall, RecallCurve, RecallPoint};
use crate::vectors::Rows;

/// Rows that are taken as queries.
const QUERIES: u32 = 256;

/// Hits of which recall is measured.
const KS: [usize; 2] = [10, 100];

/// Candidates that walks keep, as far as the curve goes.
const EFS: [usize; 20] =
    [10, 13, 16, 20, 24, 32, 40, 48, 64, 80, 100, 128, 160, 200, 256, 320, 400, 512, 768, 1024];

/// A curve ends where this little is missed.
const MISSED: f64 = 0.0005;

/// A query with what exact search finds.
struct Asked {
    vector: Vec<f32>,
    /// Its node, which walks leave out.
    absent: Option<u32>,
    /// The rows of that node, in ascending order.
    own: Vec<u32>,
    /// Scores of the nearest, best first.
    nearest: Vec<f32>,
}

/// Queries whose true nearest rows are known.
pub(crate) struct Sample {
    with: MeasuredWith,
    asked: Vec<Asked>,
    rows: u32,
}

/// Rows of a shard that can be found: all of `count`, or those for which a condition is true.
#[derive(Clone, Copy)]
pub(crate) struct Live<'a> {
    pub(crate) count: u32,
    pub(crate) condition: Option<&'a (dyn Fn(u32) -> bool + Sync)>,
}

impl Live<'_> {
    fn has(self, row: u32) -> bool {
        self.condition.is_none_or(|condition| condition(row))
    }
}

impl Sample {
    /// Takes rows as queries.
    pub(crate) fn of_rows(
        parts: Parts<'_>,
        live: Live<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self, Interrupted> {
        let upper = parts.graph.upper_nodes;
        let fit = |place: &u32| {
            let on_lowest = upper.binary_search_by_key(place, |upper| upper.node).is_err();
            on_lowest && !parts.copies.is_copy(*place) && live.has(parts.order.row(*place))
        };
        let count = parts.graph.count;
        let mut places: Vec<u32> = (0..QUERIES.min(count))
            .filter_map(|number| {
                let first = (u64::from(number) * u64::from(count) / u64::from(QUERIES.min(count))) as u32;
                (first..count).find(fit)
            })
            .collect();
        places.dedup();
        let asked = places.into_iter().filter_map(|place| {
            let own = parts.copies.kind(place).map(|place| parts.order.row(place)).collect();
            let vector = parts.rows.get(parts.order.row(place))?;
            Some(Asked { vector, absent: Some(place), own, nearest: Vec::new() })
        });
        Self { with: MeasuredWith::Rows, asked: asked.collect(), rows: live.count }
            .found(parts, live, progress, interrupt)
    }

    /// Takes given queries, which are already as the metric wants them.
    pub(crate) fn of_queries(
        queries: Rows<'_>,
        parts: Parts<'_>,
        live: Live<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self, Interrupted> {
        let asked = |query: &[f32]| Asked {
            vector: query.to_vec(),
            absent: None,
            own: Vec::new(),
            nearest: Vec::new(),
        };
        Self { with: MeasuredWith::Queries, asked: queries.iter().map(asked).collect(), rows: live.count }
            .found(parts, live, progress, interrupt)
    }

    /// Finds what is true.
    fn found(
        mut self,
        parts: Parts<'_>,
        live: Live<'_>,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self, Interrupted> {
        let task = progress.task("recall", "queries", Some(self.asked.len() as u64));
        let task: &dyn Task = &*task;
        self.asked.par_iter_mut().for_each_init(Scratch::default, |scratch, asked| {
            if interrupt.requested() {
                return;
            }
            let Asked { vector, own, nearest, .. } = asked;
            let keep = |row: u32| live.has(row) && own.binary_search(&row).is_err();
            *nearest = exact_scores(parts, (vector, KS[KS.len() - 1]), &keep, scratch);
            task.advance(1);
        });
        interrupt.check().map(|()| self)
    }

    /// What walks that keep `ef` candidates find of the `k` nearest.
    pub(crate) fn measure(&self, parts: Parts<'_>, live: Live<'_>, k: usize, ef: usize) -> RecallPoint {
        let share = |scratch: &mut Scratch, asked: &Asked| {
            let nearest = asked.nearest.get(..k).unwrap_or(&asked.nearest);
            let Some(&least) = nearest.last() else { return 1.0 };
            let keep = |place: u32| live.has(parts.order.row(place));
            let keep: Option<&dyn Fn(u32) -> bool> =
                if live.condition.is_some() { Some(&keep) } else { None };
            let walked = Walked::through(parts, &asked.vector, ef.max(k));
            let scores = walked.scores((&asked.vector, k), asked.absent, keep, scratch);
            let hits = scores.into_iter().filter(|&score| score >= least).count();
            hits.min(nearest.len()) as f64 / nearest.len() as f64
        };
        let shares: Vec<f64> = self.asked.par_iter().map_init(Scratch::default, share).collect();
        let count = shares.len().max(1) as f64;
        let mean = shares.iter().sum::<f64>() / count;
        let variance = shares.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / count;
        let (recall, error) = (Recall::rounded(mean), Recall::rounded((variance / count).sqrt()));
        RecallPoint { k: k as u32, ef: ef as u32, recall, error }
    }

    /// The whole curve; nothing without queries.
    pub(crate) fn curve(
        &self,
        parts: Parts<'_>,
        live: Live<'_>,
        interrupt: &Interrupt,
    ) -> Result<Option<RecallCurve>, Interrupted> {
        if self.asked.is_empty() {
            return Ok(None);
        }
        let mut points = Vec::new();
        for k in KS {
            let most = (parts.graph.count / FEW) as usize;
            for ef in EFS.into_iter().filter(|ef| (k..most.max(k + 1)).contains(ef)) {
                interrupt.check()?;
                let point = self.measure(parts, live, k, ef);
                points.push(point);
                if point.recall.missed() <= MISSED {
                    break;
                }
            }
        }
        Ok(Some(RecallCurve { with: self.with, queries: self.asked.len() as u32, rows: self.rows, points }))
    }
}
