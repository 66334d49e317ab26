//! Readers of source code.

use super::{Names, Reader, ReaderConfig, ReaderKind, name};
use crate::doc_query::doc_query;
use crate::function::{Function, functions_of_piece, text_without};
use crate::language::Language;

/// The first doc comment that asks for something, else the first name that does.
pub(super) fn reader(text: &str, language: Language, config: &ReaderConfig) -> Option<Reader> {
    let functions = functions_of_piece(language, text);
    let documented = |function| by_doc(text, language, function, config);
    functions.iter().find_map(documented).or_else(|| match config.names {
        Names::Never => None,
        Names::WhereUndocumented => functions.iter().find_map(|function| by_name(text, function, config)),
    })
}

fn by_doc(text: &str, language: Language, function: &Function, config: &ReaderConfig) -> Option<Reader> {
    let query = doc_query(function, language).ok()?;
    config.accept(ReaderKind::DocComment, query, text_without(text, &function.docs))
}

fn by_name(text: &str, function: &Function, config: &ReaderConfig) -> Option<Reader> {
    if !function.docs.is_empty() {
        return None;
    }
    let name = name::own_part(&function.name);
    config.accept(ReaderKind::Name, name::words(name), name::masked(&text_without(text, &[]), name))
}
