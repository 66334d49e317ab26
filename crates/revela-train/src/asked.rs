//! What is asked of the chunks of a batch, and by which texts.

use std::ops::Range;

use rand::RngExt;
use revela_base::seed::Seed;
use revela_text::ChunkGroup;
use revela_text::reader::{ChunkText, Reader, ReaderConfig, ReaderKind, keywords, reader};

use crate::choices::QueryText;

/// Texts that ask, and the passages among which their own one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What asks.
    pub queries: Vec<String>,
    /// What is asked for, group after group.
    pub passages: Vec<String>,
    /// Where each query was cut out: a row of `passages`.
    pub own: Vec<usize>,
    /// Which passages form a group.
    pub groups: Vec<Range<usize>>,
    /// What a language model sees before each query, so that it expects one.
    leads: Vec<&'static str>,
}

impl Asked {
    /// Every chunk as a passage, and every chunk that has something to ask as a query: with
    /// [`QueryText::Reader`] what its reader asks, which is cut out of its passage; else the chunk itself.
    pub fn of(groups: &[ChunkGroup], query: QueryText) -> Self {
        let (queries, passages, own, ranges, leads) = Default::default();
        let mut asked = Self { queries, passages, own, groups: ranges, leads };
        for group in groups {
            let first = asked.passages.len();
            for chunk in &group.chunks {
                let found = match query {
                    QueryText::Reader => reader(&ChunkText::from(chunk), &ReaderConfig::default()),
                    QueryText::FirstHalf | QueryText::Whole => None,
                };
                match found {
                    Some(Reader { kind, query, rest }) => asked.push(Some((query, lead(kind))), rest),
                    None if query == QueryText::Reader => asked.push(None, chunk.text.clone()),
                    None => asked.push(Some((chunk.text.clone(), "")), chunk.text.clone()),
                }
            }
            asked.groups.push(first..asked.passages.len());
        }
        asked
    }

    fn push(&mut self, question: Option<(String, &'static str)>, passage: String) {
        if let Some((question, lead)) = question {
            self.own.push(self.passages.len());
            self.queries.push(question);
            self.leads.push(lead);
        }
        self.passages.push(passage);
    }

    /// Leaves a share of what asks in its passage, of which `texts` are the whole ones, and lets about half of its
    /// words ask.
    #[must_use]
    pub fn keep_some(mut self, texts: &[&str], share: f64, seed: Seed) -> Self {
        let mut stream = seed.stream("which");
        for (number, (query, row)) in self.queries.iter_mut().zip(&self.own).enumerate() {
            if stream.random_bool(share) {
                texts[*row].clone_into(&mut self.passages[*row]);
                *query = keywords(query, seed.derive(&number.to_string()));
            }
        }
        self
    }

    /// The queries as a language model predicts them.
    pub fn readers(&self) -> Vec<String> {
        self.leads.iter().zip(&self.queries).map(|(lead, query)| format!("{lead}{query}")).collect()
    }

    /// A query for every passage: its own one, or the first of two crops of it, of which the second then stands for
    /// the passage.
    pub fn or_crops<'a>(
        &'a self,
        mut crops: impl FnMut(&'a str) -> [&'a str; 2],
    ) -> (Vec<&'a str>, Vec<&'a str>) {
        let mut asked = self.own.iter().zip(&self.queries).peekable();
        let pair = |(row, passage): (usize, &'a String)| match asked.next_if(|(own, _)| **own == row) {
            Some((_, query)) => (query.as_str(), passage.as_str()),
            None => {
                let [query, rest] = crops(passage);
                (query, rest)
            }
        };
        self.passages.iter().enumerate().map(pair).unzip()
    }

    /// Takes away what a chunk would say of itself, where chunks ask for themselves.
    pub fn hide_own(&self, query: QueryText, scores: &mut [Vec<f32>]) {
        if query != QueryText::Reader {
            for (row, own) in scores.iter_mut().zip(&self.own) {
                row[*own] = f32::NAN;
            }
        }
    }
}

/// What stands before such a text where people write it.
fn lead(kind: ReaderKind) -> &'static str {
    match kind {
        ReaderKind::DocComment | ReaderKind::ItemComment | ReaderKind::Name => "/// ",
        ReaderKind::Heading | ReaderKind::Title => "# ",
        ReaderKind::FirstSentence => "\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use revela_text::GroupChunk;

    fn groups() -> Vec<ChunkGroup> {
        let chunk = |id: &str, text: &str| GroupChunk {
            id: id.parse().unwrap(),
            title: String::new(),
            text: text.to_owned(),
            format: None,
        };
        let body = "let file = std::fs::File::open(path)?; let mut out = String::new(); \
                    std::io::Read::read_to_string(&mut file, &mut out)?; Ok(out)";
        let function = format!(
            "/// Reads a whole file into memory.\nfn load(path: &Path) -> Result<String> {{ {body} }}"
        );
        vec![
            ChunkGroup { chunks: vec![chunk("a.rs#0", &function), chunk("a.rs#1", "use std::fs;")] },
            ChunkGroup { chunks: vec![chunk("b.rs#0", "short"), chunk("c.rs#0", &function)] },
        ]
    }

    #[test]
    fn readers_ask_for_what_they_were_cut_out_of() {
        let asked = Asked::of(&groups(), QueryText::Reader);
        assert_eq!(asked.queries, ["Reads a whole file into memory"; 2]);
        assert_eq!(asked.own, [0, 3]);
        assert_eq!(asked.groups, [0..2, 2..4]);
        assert!(!asked.passages[0].contains("whole file") && asked.passages[0].contains("File::open"));
        assert_eq!(asked.passages[1], "use std::fs;", "what asks nothing can still be found");
    }

    #[test]
    fn some_readers_stay_where_they_are_and_ask_by_some_of_their_words() {
        let groups = groups();
        let texts: Vec<&str> = groups.iter().flat_map(|g| &g.chunks).map(|c| c.text.as_str()).collect();
        let plain = Asked::of(&groups, QueryText::Reader);
        assert_eq!(plain.clone().keep_some(&texts, 0.0, Seed(1)), plain);
        let kept = plain.clone().keep_some(&texts, 1.0, Seed(1));
        assert_eq!(kept.passages, texts);
        for query in &kept.queries {
            let mut words = "Reads a whole file into memory".split(' ');
            assert!(query.split(' ').all(|word| words.any(|w| w == word)), "{query}");
        }
        let counts = (0..100).map(|seed| {
            let some = plain.clone().keep_some(&texts, 0.5, Seed(seed));
            some.passages.iter().zip(&texts).filter(|(a, b)| a == *b).count() - 2
        });
        let all: usize = counts.sum();
        assert!((70..130).contains(&all), "{all} of 200");
    }

    #[test]
    fn chunks_that_ask_nothing_are_cropped() {
        let asked = Asked::of(&groups(), QueryText::Reader);
        let (queries, passages) = asked.or_crops(|text| [&text[..2], &text[2..]]);
        assert_eq!(queries, ["Reads a whole file into memory", "us", "sh", "Reads a whole file into memory"]);
        assert_eq!((passages[1], passages[2]), ("e std::fs;", "ort"));
        assert_eq!(passages[3], asked.passages[3]);
    }

    #[test]
    fn whole_chunks_ask_for_themselves() {
        let asked = Asked::of(&groups(), QueryText::Whole);
        assert_eq!(asked.queries, asked.passages);
        assert_eq!(asked.own, [0, 1, 2, 3]);
        let mut scores = vec![vec![1.0; 4]; 4];
        asked.hide_own(QueryText::Reader, &mut scores);
        assert!(scores.iter().flatten().all(|score| *score == 1.0));
        asked.hide_own(QueryText::Whole, &mut scores);
        assert!(scores[1][1].is_nan() && scores[1][2] == 1.0);
    }
}
