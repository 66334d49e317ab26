//! How documents are read: the same flags for every command that does.

use std::path::Path;

use clap::Args;
use revela_text::{BadInput, Documents, Links, SourceConfig, SourceKind};

use crate::Context;

/// How documents are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct Reading {
    /// Count and skip what cannot be read instead of stopping.
    #[arg(long)]
    skip_bad: bool,
    /// The longest file of a folder, or line of JSON lines, that is read, in bytes; k, M or G may follow
    /// [default: 1M for files, 64M for lines]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    max_bytes: Option<u64>,
    /// Follow symbolic links in folders instead of leaving them out.
    #[arg(long)]
    follow_links: bool,
}

impl Reading {
    /// The input of this kind, read so.
    pub(crate) fn source(&self, path: &Path, kind: SourceKind) -> SourceConfig {
        SourceConfig {
            max_bytes: self.max_bytes,
            bad_input: self.bad_input(),
            links: if self.follow_links { Links::Follow } else { Links::Ignore },
            ..SourceConfig::new(path, kind)
        }
    }

    /// What happens to what cannot be read.
    pub(crate) fn bad_input(&self) -> BadInput {
        if self.skip_bad { BadInput::Skip } else { BadInput::Fail }
    }

    /// The longest line that is read, where that is said.
    pub(crate) fn longest(&self) -> Option<u64> {
        self.max_bytes
    }
}

/// Says what was left out of a corpus, if anything was.
pub(crate) fn say_left_out(documents: &Documents, context: &Context) {
    let left_out = documents.counts().left_out();
    if !left_out.is_empty() {
        context.progress.line(&left_out);
    }
}

/// A number of bytes, such as 4096 or 16M.
fn bytes(text: &str) -> Result<u64, String> {
    let (number, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (text.get(..at), 10),
        Some((at, 'm' | 'M')) => (text.get(..at), 20),
        Some((at, 'g' | 'G')) => (text.get(..at), 30),
        _ => (Some(text), 0),
    };
    let number: Option<u64> = number.and_then(|number| number.parse().ok());
    match number.and_then(|number| number.checked_mul(1 << shift)) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("give a number of bytes above 0, such as 4096, 512k or 16M".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_with_a_unit_or_without() {
        assert_eq!(
            [bytes("1"), bytes("2k"), bytes("16M"), bytes("3g")].map(Result::unwrap),
            [1, 2 << 10, 16 << 20, 3 << 30]
        );
        for wrong in ["", "0", "k", "-1", "1T", "1.5M", "99999999999G", "é"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
