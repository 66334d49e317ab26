//! Readers of source code.

use std::ops::Range;

use super::{Names, Reader, ReaderConfig, ReaderKind, name};
use crate::doc_query::doc_query;
use crate::function::{Function, definitions_of_piece, text_without};
use crate::language::Language;

/// The first doc comment of a function that asks for something, else of anything, else the first name that does.
pub(super) fn reader(text: &str, language: Language, config: &ReaderConfig) -> Option<Reader> {
    let found = definitions_of_piece(language, text);
    let by_doc = |kind, doc: &str, name: &str, docs: &[Range<usize>]| {
        let query = doc_query(doc, name, language).ok()?;
        config.accept(kind, query, text_without(text, docs))
    };
    let mut functions = found.functions.iter();
    let mut items = found.items.iter();
    functions
        .find_map(|function| by_doc(ReaderKind::DocComment, &function.doc, &function.name, &function.docs))
        .or_else(|| items.find_map(|item| by_doc(ReaderKind::ItemComment, &item.doc, &item.name, &item.docs)))
        .or_else(|| match config.names {
            Names::Never => None,
            Names::WhereUndocumented => {
                found.functions.iter().find_map(|function| by_name(text, function, config))
            }
        })
}

fn by_name(text: &str, function: &Function, config: &ReaderConfig) -> Option<Reader> {
    if !function.docs.is_empty() {
        return None;
    }
    let name = name::own_part(&function.name);
    config.accept(ReaderKind::Name, name::words(name), name::masked(&text_without(text, &[]), name))
}
