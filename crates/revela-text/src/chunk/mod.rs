//! Documents cut into chunks of bounded size, where their structure allows.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::document::{Chunk, ChunkId, Document};
use crate::error::TextError;
use crate::language::Format;
use crate::sizer::{Measured, Sizer, Words};

mod border;
mod code;
mod heading;
mod prose;
mod small;
#[cfg(test)]
mod tests;

/// What sizes are counted in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// [`Words`].
    #[default]
    Words,
    /// The tokens of a tokenizer that the caller supplies.
    Tokens,
}

/// What happens to chunks below the minimum size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Small {
    /// They are joined with a neighbour. Room is kept for that: other chunks are filled to
    /// `size - min_size`. Only a document that is small as a whole stays small.
    #[default]
    Merge,
    /// They are left out.
    Drop,
}

/// How documents are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChunkerConfig {
    /// What the sizes below are counted in.
    pub unit: Unit,
    /// The most units of a chunk.
    pub size: usize,
    /// The most units that a chunk repeats from the end of the one before it.
    pub overlap: usize,
    /// Chunks with fewer units are `small`; 0 keeps every visible character.
    pub min_size: usize,
    /// What happens to those.
    pub small: Small,
}

impl Default for ChunkerConfig {
    fn default() -> Self {
        Self { unit: Unit::Words, size: 120, overlap: 0, min_size: 8, small: Small::Merge }
    }
}

impl ChunkerConfig {
    /// Checks that the sizes fit each other.
    ///
    /// # Errors
    /// [`TextError::Setting`] when `size` is 0, or leaves no room for `overlap` and `min_size`.
    pub fn check(&self) -> Result<(), TextError> {
        if self.size == 0 {
            return Err(TextError::setting("chunk size", "0 units make no chunk; give 1 or more"));
        }
        if self.overlap.saturating_add(self.min_size) >= self.size {
            let detail = format!(
                "{} units leave no room for an overlap of {} and a minimum size of {}; together they \
                 must stay below the size",
                self.size, self.overlap, self.min_size
            );
            return Err(TextError::setting("chunk size", detail));
        }
        Ok(())
    }

    /// What a chunk is filled to before small ones are joined to it.
    fn capacity(&self) -> usize {
        match self.small {
            Small::Merge => self.size - self.min_size,
            Small::Drop => self.size,
        }
    }
}

/// Cuts documents; can be shared between threads.
pub struct Chunker<'s> {
    config: ChunkerConfig,
    sizer: &'s dyn Sizer,
}

impl<'s> Chunker<'s> {
    /// A chunker with these settings. `tokens` measures texts when the unit is [`Unit::Tokens`] and is
    /// not used otherwise.
    ///
    /// # Errors
    /// [`TextError::Setting`] when the settings do not fit each other, or tokens are asked for without
    /// anything that counts them.
    pub fn new(config: ChunkerConfig, tokens: Option<&'s dyn Sizer>) -> Result<Self, TextError> {
        config.check()?;
        let sizer = match (config.unit, tokens) {
            (Unit::Words, _) => &Words,
            (Unit::Tokens, Some(sizer)) => sizer,
            (Unit::Tokens, None) => {
                let detail = "tokens need a tokenizer; give one or count in words";
                return Err(TextError::setting("chunk unit", detail));
            }
        };
        Ok(Self { config, sizer })
    }

    /// The settings.
    pub fn config(&self) -> &ChunkerConfig {
        &self.config
    }

    /// The chunks of one document, in order.
    ///
    /// Sizes hold within the document: a tokenizer that sees a chunk alone may find a token more where a
    /// word had to be cut.
    pub fn chunk(&self, document: &Document) -> Vec<Chunk> {
        self.chunk_from(document, 0)
    }

    /// The chunks of what a document holds from a byte on; none where no character starts there.
    pub fn chunk_from(&self, document: &Document, start: usize) -> Vec<Chunk> {
        let ranges = self.ranges(document.text.get(start..).unwrap_or_default(), document.format);
        let cut = |(ordinal, range): (u32, Range<usize>)| {
            let range = start + range.start..start + range.end;
            let text = document.text.get(range.clone())?.to_owned();
            let id = ChunkId { document: document.id.clone(), ordinal };
            Some(Chunk { id, range, title: document.title.clone(), text, format: document.format })
        };
        (0..).zip(ranges).filter_map(cut).collect()
    }

    /// Where the chunks of a text are, in bytes and in order.
    pub fn ranges(&self, text: &str, format: Format) -> Vec<Range<usize>> {
        let measured = Measured::new(text, self.sizer);
        let (capacity, overlap) = (self.config.capacity(), self.config.overlap);
        let ranges = match format {
            Format::Code(language) => code::ranges(&measured, language, capacity, overlap),
            Format::Markdown => {
                let ranges = prose::markdown(&measured, capacity, overlap);
                heading::mend(&measured, ranges, format, self.config.size)
            }
            Format::Text => {
                let ranges = prose::plain(&measured, capacity, overlap);
                heading::mend(&measured, ranges, format, self.config.size)
            }
        };
        small::mend(&measured, ranges, &self.config)
    }
}
