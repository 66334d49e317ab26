//! One file's bytes as a document.

use std::path::Path;

use super::{Bad, Ignored, notebook};
use crate::document::Document;
use crate::error::TextError;
use crate::language::Format;

/// A notebook may be this many times as long as the text in it.
const NOTEBOOK: u64 = 32;

/// Why a file is no document.
#[derive(Debug)]
pub enum NoDocument {
    /// It is simply none.
    Ignored(Ignored),
    /// It should be one and cannot be used.
    Bad(Bad, TextError),
}

impl NoDocument {
    /// A file that cannot be used, and why in words.
    pub fn bad(path: &Path, reason: Bad, detail: &str) -> Self {
        let error = TextError::BadFile { path: path.to_owned(), reason, detail: detail.to_owned() };
        Self::Bad(reason, error)
    }

    /// A file that is longer than the text of a document may be.
    pub fn too_long(path: &Path, longest: u64) -> Self {
        Self::bad(path, Bad::TooLong, &format!("it is longer than the limit of {longest} bytes"))
    }
}

/// How many bytes of a file are read where a document may have `longest`: most of a notebook may be pictures
/// that came out of it.
pub fn longest_file(path: &Path, longest: u64) -> u64 {
    longest.saturating_mul(if is_notebook(path) { NOTEBOOK } else { 1 })
}

/// Whether a file is read as the text that was written in it, not as it stands there.
pub fn is_notebook(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("ipynb"))
}

/// The document that a file holds: `bytes` are all of it, `longest` is what its text may have.
///
/// # Errors
/// What it is instead.
pub fn document_of(
    path: &Path,
    id: String,
    bytes: Vec<u8>,
    format: Format,
    longest: u64,
) -> Result<Document, NoDocument> {
    if bytes.contains(&0) {
        return Err(match format {
            Format::Code(_) => NoDocument::Ignored(Ignored::BinarySource),
            _ => NoDocument::bad(path, Bad::Binary, "it is binary (it holds NUL bytes)"),
        });
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        NoDocument::bad(path, Bad::NotUtf8, &format!("it is not UTF-8 (first at byte {at})"))
    })?;
    if !is_notebook(path) {
        return document(id, text, format);
    }
    match notebook::as_markdown(&text) {
        Ok(text) if text.len() as u64 > longest => Err(NoDocument::too_long(path, longest)),
        Ok(text) => document(id, text, format),
        Err(detail) => Err(NoDocument::bad(path, Bad::Malformed, &detail)),
    }
}

fn document(id: String, mut text: String, format: Format) -> Result<Document, NoDocument> {
    if text.starts_with('\u{FEFF}') {
        text.drain(..'\u{FEFF}'.len_utf8());
    }
    if text.trim().is_empty() {
        return Err(NoDocument::Ignored(Ignored::Blank));
    }
    let title = if format == Format::Markdown { first_heading(&text) } else { String::new() };
    Ok(Document { id, title, text, format })
}

/// The first heading of Markdown in `#` style.
fn first_heading(text: &str) -> String {
    let heading = text.lines().find(|line| {
        let rest = line.trim_start_matches('#');
        rest.len() < line.len() && rest.starts_with(' ')
    });
    heading.map(|line| line.trim_matches(['#', ' ', '\t']).to_owned()).unwrap_or_default()
}
