//! The order in which groups are trained on: shuffled anew each epoch, known for any position.

use rand::RngExt;
use revela_base::seed::Seed;

/// Gives the group at any position of training, without a past.
#[derive(Debug)]
pub struct GroupOrder {
    groups: u32,
    seed: Seed,
    epoch: Option<(u64, Vec<u32>)>,
}

impl GroupOrder {
    /// The order of this many groups.
    pub fn new(groups: u32, seed: Seed) -> Self {
        Self { groups, seed, epoch: None }
    }

    /// The group at a position, which counts all groups trained on before, over all epochs.
    pub fn at(&mut self, position: u64) -> u32 {
        let n = u64::from(self.groups.max(1));
        let (epoch, within) = (position / n, (position % n) as usize);
        let order = match self.epoch.take() {
            Some((known, order)) if known == epoch => order,
            _ => shuffled(self.groups, self.seed.derive(&format!("epoch {epoch}"))),
        };
        let group = order.get(within).copied().unwrap_or(0);
        self.epoch = Some((epoch, order));
        group
    }
}

/// Fisher and Yates.
fn shuffled(n: u32, seed: Seed) -> Vec<u32> {
    let mut stream = seed.stream("order");
    let mut order: Vec<u32> = (0..n).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, stream.random_range(0..=i));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_has_every_group_once_in_another_order() {
        let mut order = GroupOrder::new(50, Seed(1));
        let epochs: Vec<Vec<u32>> = (0..3).map(|e| (0..50).map(|i| order.at(e * 50 + i)).collect()).collect();
        for epoch in &epochs {
            let mut sorted = epoch.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..50).collect::<Vec<_>>());
        }
        assert_ne!(epochs[0], epochs[1]);
        assert_eq!(GroupOrder::new(50, Seed(1)).at(117), epochs[2][17], "no past is needed");
        assert_ne!(GroupOrder::new(50, Seed(2)).at(0), GroupOrder::new(50, Seed(2)).at(50));
    }
}
