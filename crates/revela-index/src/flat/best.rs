//! The best of many scores.

use crate::topk::Scored;

/// The `k` best of scores that come in the order of their rows.
///
/// Those that may be among them gather, and are cut back to `k` when they are twice as many: for large `k`
/// that is several times as quick as a heap, which is reordered for each.
pub(super) struct Best {
    k: usize,
    gathered: Vec<Scored<u32>>,
    threshold: f32,
}

impl Best {
    pub(super) fn new(k: usize) -> Self {
        let threshold = if k == 0 { f32::INFINITY } else { f32::NEG_INFINITY };
        Self { k, gathered: Vec::new(), threshold }
    }

    pub(super) fn offer(&mut self, scores: &[f32], first: u32, keep: &(dyn Fn(u32) -> bool + Sync)) {
        for (id, &score) in (first..).zip(scores) {
            // Rows ascend, so one whose score equals that of the last of the k loses the tie.
            if score > self.threshold && keep(id) {
                self.gathered.push(Scored { score, id });
                if self.gathered.len() >= self.k.saturating_mul(2) {
                    self.cut();
                }
            }
        }
    }

    fn cut(&mut self) {
        if self.gathered.len() > self.k {
            let (_, last, _) = self.gathered.select_nth_unstable(self.k - 1);
            self.threshold = last.score;
            self.gathered.truncate(self.k);
        }
    }

    pub(super) fn into_sorted(mut self) -> Vec<Scored<u32>> {
        self.cut();
        self.gathered.sort_unstable();
        self.gathered
    }
}
