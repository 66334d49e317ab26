//! Derived test collections on their way to disk, in BEIR's layout.

use std::path::Path;

use anyhow::Result;
use revela_base::artifact::IfExists;
use revela_eval::Qrels;
use revela_eval::dataset::{BeirWriter, CollectionInfo, Document, Query};
use revela_text::CodeSearch;

/// A passage, and the query that it alone answers, where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Judged {
    pub(crate) id: String,
    pub(crate) text: String,
    pub(crate) query: Option<String>,
}

/// Functions with the queries made of their doc comments.
pub(crate) fn of_code(search: CodeSearch) -> Vec<Judged> {
    let mut passages: Vec<Judged> = search
        .functions
        .into_iter()
        .map(|function| Judged { id: function.id, text: function.code, query: None })
        .collect();
    for query in search.queries {
        if let Some(passage) = passages.get_mut(query.function) {
            passage.query = Some(query.text);
        }
    }
    passages
}

/// How many queries there are.
pub(crate) fn queries(passages: &[Judged]) -> usize {
    passages.iter().filter(|passage| passage.query.is_some()).count()
}

/// Writes a collection with one split.
pub(crate) fn write(
    dir: &Path,
    split: &str,
    name: &str,
    description: &str,
    passages: &[Judged],
) -> Result<CollectionInfo> {
    let info =
        CollectionInfo { name: name.into(), description: description.into(), ..CollectionInfo::default() };
    let mut writer = BeirWriter::create(dir, IfExists::Refuse, info)?;
    writer.corpus(passages.iter().map(|passage| {
        Ok(Document { id: passage.id.clone(), title: String::new(), text: passage.text.clone() })
    }))?;
    let asked = || passages.iter().filter_map(|passage| Some((passage, passage.query.as_ref()?))).enumerate();
    writer.queries(asked().map(|(number, (_, text))| Query { id: query_id(number), text: text.clone() }))?;
    let mut qrels = Qrels::new();
    for (number, (passage, _)) in asked() {
        qrels.insert(&query_id(number), &passage.id, 1)?;
    }
    writer.qrels(split, &qrels)?;
    Ok(writer.finish()?)
}

fn query_id(number: usize) -> String {
    format!("q{number}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use revela_eval::dataset::{BeirFolder, Layout};

    #[test]
    fn what_is_written_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let passage = |id: &str, query: Option<&str>| Judged {
            id: id.into(),
            text: format!("text of {id}"),
            query: query.map(str::to_owned),
        };
        let passages = [passage("a", None), passage("b", Some("find b")), passage("c", Some("find c"))];
        let path = dir.path().join("collection");
        let info = write(&path, "test", "name", "what", &passages).unwrap();
        assert_eq!((info.documents, info.queries), (3, 2));
        let folder = BeirFolder::open(&path).unwrap();
        let queries = folder.queries().unwrap();
        assert_eq!(queries[1].text, "find c");
        assert_eq!(folder.qrels("test").unwrap().judgements(), 2);
        assert!(write(&path, "test", "name", "what", &passages).is_err(), "it must not be replaced");
    }
}
