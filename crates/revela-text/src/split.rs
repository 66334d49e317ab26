//! Which parts of a collection of sources are kept apart for tests.

use std::collections::{BTreeMap, BTreeSet};

use revela_base::seed::Seed;

use crate::error::TextError;

/// The first component of a path or of an id that begins with one; the whole where there is only one.
pub fn top_level(id: &str) -> &str {
    id.split_once('/').map_or(id, |(first, _)| first)
}

/// What siblings such as `serde`, `serde_derive` and `serde_json-1.0.1` share: the name up to its first
/// `-` or `_`, in lower case. A version comes after a `-` and so never belongs to it.
pub fn family(name: &str) -> String {
    let marks = name.len() - name.trim_start_matches(['-', '_']).len();
    let end = name[marks..].find(['-', '_']).map_or(name.len(), |at| marks + at);
    name[..end].to_lowercase()
}

/// Divides names into those to train on and those to hold out, `(train, held_out)`.
///
/// All names of one [`family`] land on the same side. Families are held out in the order of a hash of
/// the seed and their name, as long as `share` of the names (each weighing the same) is not exceeded;
/// then one more if that comes nearer. Neither side is ever empty.
///
/// # Errors
/// [`TextError::Setting`] when the share is not between 0 and 1; [`TextError::Families`] when there are
/// fewer than two families.
pub fn split_groups<'n>(
    names: impl IntoIterator<Item = &'n str>,
    seed: Seed,
    share: f64,
) -> Result<(BTreeSet<String>, BTreeSet<String>), TextError> {
    if !(share > 0.0 && share < 1.0) {
        return Err(TextError::setting("held-out share", format!("{share} is not above 0 and below 1")));
    }
    let mut families: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in names {
        families.entry(family(name)).or_default().insert(name.to_owned());
    }
    if families.len() < 2 {
        return Err(TextError::Families { found: families.len() });
    }
    let total: usize = families.values().map(BTreeSet::len).sum();
    let sizes: BTreeMap<&str, usize> =
        families.iter().map(|(family, names)| (family.as_str(), names.len())).collect();
    let held = held_families(&sizes, seed, share * total as f64);
    let is_held = |family: &str| held.contains(family);
    let side = |wanted: bool| {
        let those = families.iter().filter(|(family, _)| is_held(family) == wanted);
        those.flat_map(|(_, names)| names.iter().cloned()).collect()
    };
    Ok((side(false), side(true)))
}

/// At least one family and not all, with about `target` names together.
fn held_families<'f>(sizes: &BTreeMap<&'f str, usize>, seed: Seed, target: f64) -> BTreeSet<&'f str> {
    let mut order: Vec<(&str, usize)> = sizes.iter().map(|(family, size)| (*family, *size)).collect();
    order.sort_by_key(|(family, _)| (seed.derive("split").derive(family).0, *family));
    let mut held = BTreeSet::new();
    let mut count = 0;
    for (family, size) in &order {
        if held.len() + 1 < order.len() && (count + size) as f64 <= target {
            held.insert(*family);
            count += size;
        }
    }
    let rest = order.iter().filter(|(family, _)| !held.contains(family));
    let next = rest.min_by_key(|(_, size)| *size);
    if let Some((family, size)) = next {
        let nearer = ((count + size) as f64 - target).abs() < (count as f64 - target).abs();
        if held.is_empty() || (nearer && held.len() + 1 < order.len()) {
            held.insert(family);
        }
    }
    held
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_one_family() {
        for name in ["serde", "serde-1.0.1", "serde_derive", "serde_json-1.0.1+x", "Serde-Test"] {
            assert_eq!(family(name), "serde");
        }
        assert_eq!(family("_x_y"), "_x");
        assert_eq!(family("-"), "-");
        assert_eq!((top_level("a/b/c#d"), top_level("a#b"), top_level("")), ("a", "a#b", ""));
    }

    #[test]
    fn impossible_splits_are_refused() {
        let one = split_groups(["a-1", "a-2"], Seed(1), 0.5).unwrap_err();
        assert!(matches!(one, TextError::Families { found: 1 }));
        for share in [0.0, 1.0, -1.0, f64::NAN] {
            assert!(split_groups(["a", "b"], Seed(1), share).is_err());
        }
    }

    #[test]
    fn the_seed_decides() {
        let names: Vec<String> = (0..60).map(|n| format!("crate{n}")).collect();
        let held = |seed| split_groups(names.iter().map(String::as_str), Seed(seed), 0.15).unwrap().1;
        assert_eq!(held(1).len(), 9);
        assert_eq!(held(1), held(1));
        assert_ne!(held(1), held(2));
    }

    proptest! {
        #[test]
        fn sides_are_apart_whole_and_near_the_share(
            names in prop::collection::btree_set("[a-l](_[a-c]|-[0-9]){0,2}", 2..60), seed: u64, share in 0.01f64..0.99
        ) {
            let families: BTreeSet<String> = names.iter().map(|n| family(n)).collect();
            prop_assume!(families.len() > 1);
            let (train, held) = split_groups(names.iter().map(String::as_str), Seed(seed), share).unwrap();
            prop_assert!(!train.is_empty() && !held.is_empty());
            prop_assert_eq!(train.union(&held).cloned().collect::<BTreeSet<_>>(), names.clone());
            let of = |side: &BTreeSet<String>| side.iter().map(|n| family(n)).collect::<BTreeSet<_>>();
            prop_assert!(of(&train).is_disjoint(&of(&held)));
            let largest = families.iter().map(|f| names.iter().filter(|n| family(n) == *f).count()).max().unwrap();
            let off = (held.len() as f64 - share * names.len() as f64).abs();
            prop_assert!(off <= largest as f64, "off by {off}");
        }
    }
}
