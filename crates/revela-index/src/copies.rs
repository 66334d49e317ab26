//! Rows that are equal to others of their shard, to the last bit.
//!
//! Among many equal rows a walk learns nothing: they fill what it keeps, and link to each other instead of
//! to what is near. So a graph leads to one row of each kind only, and its *copies* lie at the places after it. Walks
//! keep and count kinds; what they have found is unfolded when it is compared in full.

use std::hash::{DefaultHasher, Hasher};

use rayon::prelude::*;

use crate::row_order::RowOrder;
use crate::vectors::Rows;

/// For each row the first row that equals it, which may be itself.
fn firsts(rows: Rows<'_>) -> Vec<u32> {
    let (data, dim) = (rows.data(), rows.dim());
    let row = |row: u32| -> &[u8] {
        bytemuck::cast_slice(data.get(row as usize * dim..(row as usize + 1) * dim).unwrap_or_default())
    };
    let hashed = |number: u32| {
        let mut hasher = DefaultHasher::new();
        hasher.write(row(number));
        (hasher.finish(), number)
    };
    let mut sorted: Vec<(u64, u32)> = (0..rows.len() as u32).into_par_iter().map(hashed).collect();
    sorted.par_sort_unstable();
    let mut firsts: Vec<u32> = (0..rows.len() as u32).collect();
    for alike in sorted.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
        let mut kinds: Vec<u32> = Vec::new();
        for &(_, number) in alike {
            match kinds.iter().find(|&&kind| row(kind) == row(number)) {
                Some(&kind) => firsts[number as usize] = kind,
                None => kinds.push(number),
            }
        }
    }
    firsts
}

/// Which places hold copies of the row at the place before them: a bit per place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copies {
    pub(crate) words: Vec<u64>,
    /// The places that hold none.
    pub(crate) originals: Vec<u32>,
}

/// Borrowed bits. Nothing in them is trusted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CopiesView<'a>(&'a [u64]);

/// Words of bits for this many places.
pub(crate) fn words(count: usize) -> usize {
    count.div_ceil(64)
}

impl Copies {
    /// Finds the copies among rows and changes their order so that they lie behind their originals, in the
    /// order of rows; nothing where all rows differ.
    pub(crate) fn gather(rows: Rows<'_>, order: &mut RowOrder) -> Option<Self> {
        let firsts = firsts(rows);
        if (0u32..).zip(&firsts).all(|(row, &first)| row == first) {
            return None;
        }
        *order = order.with_followers(&firsts);
        let mut copies = Self { words: vec![0; words(rows.len())], originals: Vec::new() };
        for (place, &row) in (0u32..).zip(order.places()) {
            match firsts[row as usize] == row {
                true => copies.originals.push(place),
                false => copies.words[place as usize / 64] |= 1 << (place % 64),
            }
        }
        Some(copies)
    }
}

impl<'a> CopiesView<'a> {
    pub(crate) fn new(words: &'a [u64]) -> Self {
        Self(words)
    }

    /// Whether a place holds a copy.
    #[inline]
    pub(crate) fn is_copy(self, place: u32) -> bool {
        self.0.get(place as usize / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    /// A place and those of its copies.
    #[inline]
    pub(crate) fn kind(self, original: u32) -> impl Iterator<Item = u32> + 'a {
        let copies = (original.saturating_add(1)..u32::MAX).take_while(move |&place| self.is_copy(place));
        std::iter::once(original).chain(copies)
    }

    /// Whether these can be the copies among `count` places. An error says what is wrong.
    pub(crate) fn check(self, count: u32) -> Result<(), String> {
        let beyond = (count..count.next_multiple_of(64)).any(|place| self.is_copy(place));
        match self.is_copy(0) || beyond {
            true => Err("its copies are at places that have no original".to_owned()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Codes;
    use crate::vectors::Vectors;
    use proptest::prelude::*;
    use revela_base::interrupt::Interrupt;
    use revela_base::progress::Silent;

    proptest! {
        /// Every row stands once, behind an original that equals it, and originals differ.
        #[test]
        fn kinds_are_the_equal_rows(kinds in proptest::collection::vec(0u8..40, 1..300), dim in 1usize..9) {
            let row = |kind: u8| (0..dim).map(move |at| (f32::from(kind) + 1.5).powi(at as i32));
            let data: Vec<f32> = kinds.iter().flat_map(|&kind| row(kind + u8::from(dim == 1))).collect();
            let vectors = Vectors::new("x", dim, data).unwrap();
            let codes = Codes::of(vectors.view());
            let mut order = RowOrder::local(codes.view(), &Silent, &Interrupt::new()).unwrap();
            let copies = Copies::gather(vectors.view(), &mut order);
            let equal = |a: u32, b: u32| vectors.view().get(a as usize) == vectors.view().get(b as usize);
            let Some(copies) = copies else {
                prop_assert!((0..kinds.len()).all(|a| (0..a).all(|b| !equal(a as u32, b as u32))));
                return Ok(());
            };
            let view = CopiesView::new(&copies.words);
            prop_assert_eq!(view.check(kinds.len() as u32), Ok(()));
            let mut seen = vec![false; kinds.len()];
            for &original in &copies.originals {
                let rows: Vec<u32> = view.kind(original).map(|place| order.places()[place as usize]).collect();
                prop_assert!(rows.is_sorted() && rows.iter().all(|&row| equal(row, rows[0])));
                for row in rows {
                    prop_assert!(!std::mem::replace(&mut seen[row as usize], true));
                }
            }
            prop_assert!(seen.iter().all(|&seen| seen));
            let mut distinct = kinds.clone();
            distinct.sort_unstable();
            distinct.dedup();
            prop_assert!(dim == 1 || distinct.len() == copies.originals.len());
        }
    }

    #[test]
    fn damaged_bits_are_told_and_do_no_harm() {
        assert!(CopiesView::new(&[1]).check(3).is_err());
        assert!(CopiesView::new(&[8]).check(3).is_err());
        assert_eq!(CopiesView::new(&[4]).check(3), Ok(()));
        assert_eq!(CopiesView::new(&[u64::MAX]).kind(60).count(), 4);
        assert_eq!(CopiesView::default().kind(7).collect::<Vec<_>>(), [7]);
        assert_eq!(CopiesView::new(&[0]).kind(u32::MAX).count(), 1);
    }
}
