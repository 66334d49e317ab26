//! Label-free contrastive learning: two texts of a chunk attract each other, the other chunks of the batch repel
//! (InfoNCE; cropping as in Contriever, Izacard et al. 2021, arXiv:2112.09118).

use burn::tensor::{Int, Tensor, TensorData, activation};
use rand::{Rng, RngExt};
use revela_model::decoder::TokenBatch;
use revela_model::embedding_model::EmbeddingModel;

use super::embedding::{EmbedOptions, Embeddings};
use super::{StepResult, scalar};
use crate::choices::Negatives;
use crate::schedule::Annealed;

/// Which texts attract and repel each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContrastiveConfig {
    /// Temperature.
    pub tau: Annealed,
    /// Who attracts whom.
    pub positives: Positives,
    /// Share of the readers that stay in their passage and ask by some of their words. Passages without what asks
    /// for them teach to look past it, where real passages have it (Lee et al. 2019, arXiv:1906.00300, section 4).
    pub keep_reader: f64,
    /// Who repels whom.
    pub negatives: Negatives,
}

/// The two texts of a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Positives {
    /// Two crops.
    Crops(CropOptions),
    /// What its reader asks, and the rest of it. Chunks without a reader only repel.
    Reader,
    /// The same, and two crops of chunks without a reader.
    ReaderOrCrops(CropOptions),
}

/// Queries, and the passages among which each finds its own.
#[derive(Debug, Clone)]
pub struct Pairs {
    /// What asks.
    pub query: TokenBatch,
    /// What can be found.
    pub passage: TokenBatch,
    /// Each query's own passage.
    pub own: Vec<usize>,
}

/// How a step is computed.
#[derive(Debug, Clone, Copy)]
pub struct ContrastiveOptions {
    /// Temperature of the softmax over the batch.
    pub tau: f64,
    /// The embeddings.
    pub embed: EmbedOptions,
}

/// Loss (nats per example, mean of both directions) and gradients of one batch.
pub fn step(retriever: &EmbeddingModel, pairs: &Pairs, options: &ContrastiveOptions) -> StepResult {
    let embeddings = Embeddings::new(retriever, [&pairs.query, &pairs.passage], options.embed);
    let [query, passage] = embeddings.vectors();
    let n = query.dims()[0];
    let scores = query.matmul(passage.transpose()).div_scalar(options.tau);
    let own = indices(&pairs.own, &scores);
    // The other way only passages with a query of their own ask.
    let back = scores.clone().transpose().select(0, own);
    let same: Vec<usize> = (0..n).collect();
    let loss = (pick_loss(scores.clone(), &pairs.own) + pick_loss(back, &same)).mul_scalar(0.5);
    let mut grads = loss.backward();
    StepResult {
        loss: scalar(loss),
        retriever: embeddings.backward(&mut grads),
        numbers: vec![("accuracy", hits(&scores.inner(), &pairs.own))],
        ..StepResult::default()
    }
}

fn indices(rows: &[usize], like: &Tensor<2>) -> Tensor<1, Int> {
    let rows: Vec<i32> = rows.iter().map(|row| *row as i32).collect();
    let n = rows.len();
    Tensor::from_data(TensorData::new(rows, [n]), &like.device())
}

/// Mean cross entropy of picking one column of each row.
pub(super) fn pick_loss(scores: Tensor<2>, picks: &[usize]) -> Tensor<1> {
    let picks = indices(picks, &scores).unsqueeze_dim::<2>(1);
    activation::log_softmax(scores, 1).gather(1, picks).mean().neg()
}

/// Share of the rows whose largest column is the right one.
pub(super) fn hits(scores: &Tensor<2>, picks: &[usize]) -> f64 {
    let best = scores.clone().argmax(1).into_data().convert::<i64>();
    let best = best.as_slice::<i64>().unwrap_or_default().iter();
    let right = best.zip(picks).filter(|(best, pick)| **best == **pick as i64).count();
    right as f64 / picks.len().max(1) as f64
}

/// How the two crops of a chunk are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CropOptions {
    /// Least share of the chunk's words in a crop.
    pub least: f64,
    /// Largest share.
    pub most: f64,
    /// Whether they may have words in common.
    pub overlap: Overlap,
}

/// Whether the two crops of a chunk may overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overlap {
    /// Both are drawn anywhere, each by itself (Contriever).
    #[default]
    Any,
    /// One ends before the other begins, so that no run of words can be recognised again.
    None,
}

/// Two runs of whole words of a text; the text itself, twice, where it has fewer than two words.
pub fn crops<'a>(text: &'a str, options: CropOptions, stream: &mut impl Rng) -> [&'a str; 2] {
    let words: Vec<(usize, usize)> = words(text).collect();
    if words.len() < 2 {
        return [text; 2];
    }
    let mut length = || {
        let part = options.least + (options.most - options.least) * stream.random::<f64>();
        ((words.len() as f64 * part).round() as usize).clamp(1, words.len())
    };
    let [mut a, mut b] = [length(), length()];
    let run = |first: usize, length: usize| &text[words[first].0..words[first + length - 1].1];
    if options.overlap == Overlap::Any {
        return [a, b].map(|length| run(stream.random_range(0..=words.len() - length), length));
    }
    if a + b > words.len() {
        // Both as much shorter as it takes.
        a = (a * words.len() / (a + b)).max(1);
        b = (words.len() - a).min(b);
    }
    let first = stream.random_range(0..=words.len() - a - b);
    let second = stream.random_range(first + a..=words.len() - b);
    let (left, right) = (run(first, a), run(second, b));
    if stream.random::<bool>() { [left, right] } else { [right, left] }
}

/// Byte ranges between white space.
fn words(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    text.split_whitespace().map(move |word| {
        let from = word.as_ptr() as usize - text.as_ptr() as usize;
        (from, from + word.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use revela_base::seed::Seed;

    #[test]
    fn crops_are_runs_of_words_of_the_wanted_length() {
        let mut stream = Seed(3).stream("crops");
        let text = "a bb  ccc\n dddd e f g h i j";
        for overlap in [Overlap::Any, Overlap::None] {
            let options = CropOptions { least: 0.3, most: 0.6, overlap };
            for _ in 0..200 {
                for crop in crops(text, options, &mut stream) {
                    assert!(text.contains(crop));
                    assert!((3..=6).contains(&crop.split_whitespace().count()), "{crop:?}");
                }
            }
            assert_eq!(crops("", options, &mut stream), [""; 2]);
            assert_eq!(crops(" word ", options, &mut stream), [" word "; 2]);
        }
        let whole = CropOptions { least: 1.0, most: 1.0, overlap: Overlap::Any };
        assert_eq!(crops("\u{a0}ä ö", whole, &mut stream), ["ä ö"; 2]);
    }

    #[test]
    fn crops_without_overlap_share_no_word() {
        let mut stream = Seed(4).stream("crops");
        let text = "a b c d e f g h i j k";
        for (least, most) in [(0.0, 0.3), (0.2, 0.9), (1.0, 1.0)] {
            let options = CropOptions { least, most, overlap: Overlap::None };
            let mut first_is_left = 0;
            for _ in 0..200 {
                let [x, y] = crops(text, options, &mut stream);
                assert!(!x.is_empty() && !y.is_empty());
                assert!(x.split(' ').all(|word| !y.contains(word)), "{x:?} {y:?}");
                first_is_left += u32::from(x < y);
            }
            assert!((50..150).contains(&first_is_left), "either may be the query");
        }
    }

    #[test]
    fn loss_is_what_it_should_be() {
        let device = Device::flex();
        let same = Tensor::<2>::zeros([4, 4], &device);
        assert!((scalar(pick_loss(same, &[0, 1, 2, 3])) - 4.0_f64.ln()).abs() < 1e-6);
        let sure = Tensor::<2>::eye(4, &device).mul_scalar(50.0);
        assert!(scalar(pick_loss(sure, &[0, 1, 2, 3])) < 1e-6);
    }
}
