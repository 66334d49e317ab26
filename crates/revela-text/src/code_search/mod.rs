//! A test of code search made from source code: functions to find, and the first sentences of their doc
//! comments as queries.

use std::collections::{BTreeMap, HashMap, HashSet};

use rayon::prelude::*;
use revela_base::checksum::Checksum;
use revela_base::seed::Seed;

use crate::doc_query::{Unfit, doc_query};
use crate::document::Document;
use crate::error::TextError;
use crate::function::{Function, Role, functions};
use crate::language::Format;
use crate::sizer::{Sizer, Words};
use crate::split::top_level;

mod config;
mod ids;
mod select;
#[cfg(test)]
mod tests;

pub use config::{CodeSearchConfig, LeftOut, TestCode};

use ids::Ids;

/// A function to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeFunction {
    /// `PATH#NAME`, unique, without white space; the first path component is the document's.
    pub id: String,
    /// Its text without its doc comment.
    pub code: String,
}

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeQuery {
    /// The function's id with a `?` behind it. (Evaluation tools drop results that have their query's
    /// own id.)
    pub id: String,
    /// The first sentence of the function's doc comment, without the function's name at its beginning.
    pub text: String,
    /// The only relevant function, as an index into [`CodeSearch::functions`].
    pub function: usize,
}

/// A test collection with one relevant function per query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeSearch {
    /// The functions, in the order of their documents.
    pub functions: Vec<CodeFunction>,
    /// The queries, in the order of their functions.
    pub queries: Vec<CodeQuery>,
    /// What did not come in, and why.
    pub left_out: BTreeMap<LeftOut, u64>,
}

/// Collects functions from documents. Their texts are held in memory until the end.
pub struct CodeSearchBuilder {
    config: CodeSearchConfig,
    seed: Seed,
    ids: Ids,
    /// Checksums of the functions' texts without regard to white space.
    seen: HashSet<Checksum>,
    entries: Vec<Entry>,
    left_out: BTreeMap<LeftOut, u64>,
}

/// A function that was taken.
struct Entry {
    id: String,
    group: String,
    code: String,
    query: Option<String>,
}

impl From<Unfit> for LeftOut {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::NoSentence => Self::NoSentence,
            Unfit::Boilerplate => Self::Boilerplate,
        }
    }
}

impl CodeSearchBuilder {
    /// A builder that draws with this seed.
    ///
    /// # Errors
    /// [`TextError::Setting`] when the settings do not fit each other.
    pub fn new(config: CodeSearchConfig, seed: Seed) -> Result<Self, TextError> {
        config.check()?;
        Ok(Self {
            config,
            seed,
            ids: Ids::default(),
            seen: HashSet::new(),
            entries: Vec::new(),
            left_out: BTreeMap::new(),
        })
    }

    /// Takes the functions of a document of source code; others are passed over.
    pub fn push(&mut self, document: &Document) {
        let found = self.found(document);
        self.add(document, found);
    }

    /// The same as [`push`](Self::push) for one after the other, parsed by all threads.
    pub fn push_all(&mut self, documents: &[Document]) {
        let found: Vec<_> = documents.par_iter().map(|document| self.found(document)).collect();
        for (document, found) in documents.iter().zip(found) {
            self.add(document, found);
        }
    }

    fn found(&self, document: &Document) -> Result<Vec<Function>, LeftOut> {
        match document.format {
            Format::Code(_) if self.config.leaves_out_path(&document.id) => Err(LeftOut::TestFile),
            Format::Code(language) => Ok(functions(language, &document.text)),
            _ => Ok(Vec::new()),
        }
    }

    fn add(&mut self, document: &Document, found: Result<Vec<Function>, LeftOut>) {
        match found {
            Err(reason) => self.leave_out(reason),
            Ok(functions) => functions.into_iter().for_each(|function| self.add_function(document, function)),
        }
    }

    fn leave_out(&mut self, reason: LeftOut) {
        *self.left_out.entry(reason).or_default() += 1;
    }

    fn add_function(&mut self, document: &Document, function: Function) {
        if let Some(reason) = self.reason_against(&function) {
            return self.leave_out(reason);
        }
        let query = match self.query(document, &function) {
            Ok(query) => Some(query),
            Err(reason) => {
                self.leave_out(reason);
                None
            }
        };
        let id = self.ids.name(&document.id, &function.name);
        let group = top_level(&document.id).to_owned();
        self.entries.push(Entry { id, group, code: function.code, query });
    }

    fn reason_against(&mut self, function: &Function) -> Option<LeftOut> {
        let config = &self.config;
        let code = &function.code;
        if config.tests == TestCode::LeaveOut && function.role == Role::Test {
            Some(LeftOut::Test)
        } else if code.lines().count() < config.min_lines || Words.size(code) < config.min_words {
            Some(LeftOut::Short)
        } else if code.len() > config.max_bytes {
            Some(LeftOut::Long)
        } else {
            let normal = code.split_whitespace().collect::<Vec<_>>().join(" ");
            let is_new = self.seen.insert(Checksum::of(normal.as_bytes()));
            (!is_new).then_some(LeftOut::SameCode)
        }
    }

    /// The query that a doc comment gives, as far as it can be judged by itself.
    fn query(&self, document: &Document, function: &Function) -> Result<String, LeftOut> {
        let Format::Code(language) = document.format else { return Err(LeftOut::NoSentence) };
        let sentence = doc_query(&function.doc, &function.name, language)?;
        let words = sentence.split(' ').filter(|w| w.contains(char::is_alphanumeric)).count();
        if words < self.config.min_query_words {
            Err(LeftOut::ShortQuery)
        } else if words > self.config.max_query_words {
            Err(LeftOut::LongQuery)
        } else if !select::is_mostly_latin(&sentence) {
            Err(LeftOut::OtherScript)
        } else {
            Ok(sentence)
        }
    }

    /// Draws the queries and makes the collection.
    ///
    /// # Errors
    /// [`TextError::NoQueries`] when no function has a doc comment that gives a query.
    pub fn finish(mut self) -> Result<CodeSearch, TextError> {
        self.drop_ambiguous();
        self.draw_queries();
        if self.entries.iter().all(|entry| entry.query.is_none()) {
            return Err(TextError::NoQueries { functions: self.entries.len() });
        }
        self.draw_functions();
        let mut functions = Vec::with_capacity(self.entries.len());
        let mut queries = Vec::new();
        for (function, Entry { id, code, query, .. }) in self.entries.into_iter().enumerate() {
            queries.extend(query.map(|text| CodeQuery { id: format!("{id}?"), text, function }));
            functions.push(CodeFunction { id, code });
        }
        Ok(CodeSearch { functions, queries, left_out: self.left_out })
    }

    /// A query that several functions answer would count all but one of them as wrong.
    fn drop_ambiguous(&mut self) {
        let mut times: HashMap<String, u32> = HashMap::new();
        for query in self.entries.iter().filter_map(|entry| entry.query.as_deref()) {
            *times.entry(query.to_lowercase()).or_default() += 1;
        }
        for entry in &mut self.entries {
            let is_ambiguous = |query: &String| times.get(&query.to_lowercase()).is_some_and(|n| *n > 1);
            if entry.query.take_if(|query| is_ambiguous(query)).is_some() {
                *self.left_out.entry(LeftOut::Ambiguous).or_default() += 1;
            }
        }
    }

    fn draw_queries(&mut self) {
        let most = self.config.group_queries();
        let mut groups: HashMap<String, usize> = HashMap::new();
        let mut kept = 0;
        let asked = |entry: &Entry| entry.query.is_some();
        for index in select::drawn(&self.entries, self.seed.derive("queries"), asked) {
            let Some(entry) = self.entries.get_mut(index) else { continue };
            let group = groups.entry(entry.group.clone()).or_default();
            let reason = if kept == self.config.queries {
                LeftOut::SurplusQuery
            } else if *group == most {
                LeftOut::GroupQuery
            } else {
                *group += 1;
                kept += 1;
                continue;
            };
            entry.query = None;
            *self.left_out.entry(reason).or_default() += 1;
        }
    }

    fn draw_functions(&mut self) {
        let unasked = |entry: &Entry| entry.query.is_none();
        let rest = select::drawn(&self.entries, self.seed.derive("functions"), unasked);
        let room = self.config.functions.saturating_sub(self.entries.len() - rest.len());
        let surplus: HashSet<usize> = rest.into_iter().skip(room).collect();
        if surplus.is_empty() {
            return;
        }
        self.left_out.insert(LeftOut::SurplusFunction, surplus.len() as u64);
        let mut index = 0..;
        self.entries.retain(|_| index.next().is_none_or(|n| !surplus.contains(&n)));
    }
}
