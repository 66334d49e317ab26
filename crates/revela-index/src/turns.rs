//! Several pieces of work on one thread, in turns.
//!
//! A walk through a graph waits for memory most of the time, and what it waits for depends on what it has
//! just read. Others that take their turns meanwhile find what they asked for when they are next.

/// Pieces of work that take turns: more hide more of the waiting, until what they have fetched no longer fits
/// the second-level cache beside each other.
pub(crate) const LANES: usize = 4;

/// Does `jobs` pieces of work in as many lanes as there are. `begin` puts a piece into a lane; `step` takes
/// one turn of it and tells whether there is another. A lane that is done takes the next piece.
pub(crate) fn in_turns<L>(
    lanes: &mut [L],
    jobs: usize,
    mut begin: impl FnMut(&mut L, usize),
    mut step: impl FnMut(&mut L) -> bool,
) {
    let mut busy = lanes.len().min(jobs);
    let mut begun = busy;
    lanes[..busy].iter_mut().enumerate().for_each(|(job, lane)| begin(lane, job));
    while busy > 0 {
        let mut at = 0;
        while at < busy {
            if step(&mut lanes[at]) {
                at += 1;
            } else if begun < jobs {
                begin(&mut lanes[at], begun);
                (begun, at) = (begun + 1, at + 1);
            } else {
                busy -= 1;
                lanes.swap(at, busy);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_piece_gets_all_its_turns(
            turns in proptest::collection::vec(1usize..6, 0..20), lanes in 1usize..5,
        ) {
            let (mut lanes, mut taken) = (vec![(0, 0); lanes], vec![0; turns.len()]);
            let step = |(job, left): &mut (usize, usize)| {
                taken[*job] += 1;
                *left -= 1;
                *left > 0
            };
            in_turns(&mut lanes, turns.len(), |lane, job| *lane = (job, turns[job]), step);
            prop_assert_eq!(taken, turns);
        }
    }
}
