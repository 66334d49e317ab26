//! The options that say which part of a collection is searched.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use revela_search::{Filter, Predicate, QueryError};

use super::index::read_ids;

/// Which passages may be found; one of these at most.
#[derive(Args, Clone, Debug, Default)]
#[group(id = "narrow", multiple = false)]
pub(crate) struct Narrow {
    /// Only passages whose id begins so, such as a folder's path.
    #[arg(long, value_name = "START")]
    under: Option<String>,
    /// Only passages whose payload fits, as JSON: {"equals": {"field": "language", "value": "en"}}.
    #[arg(long = "where", value_name = "PREDICATE", value_parser = predicate)]
    predicate: Option<Predicate>,
    /// Only passages whose id is a line of this file.
    #[arg(long, value_name = "FILE")]
    ids_from: Option<PathBuf>,
}

fn predicate(text: &str) -> Result<Predicate, QueryError> {
    Predicate::from_json(text)
}

impl Narrow {
    /// What they mean; made once, as files are read and predicates understood only then.
    pub(crate) fn filter(&self) -> Result<Filter> {
        if let Some(path) = &self.ids_from {
            return Ok(Filter::ids(read_ids(path)?));
        }
        if let Some(predicate) = &self.predicate {
            return Ok(Filter::payload(predicate.clone()));
        }
        Ok(match self.under.clone() {
            Some(start) => Filter::prefix(start),
            None => Filter::All,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        narrow: Narrow,
    }

    fn filter(words: &[&str]) -> Result<Filter> {
        Line::try_parse_from(words)?.narrow.filter()
    }

    #[test]
    fn each_option_is_its_filter_and_two_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let ids = dir.path().join("ids");
        std::fs::write(&ids, "a\nb\n").unwrap();
        let ids = ids.to_str().unwrap();
        let condition = r#"{"equals": {"field": "x", "value": 1}}"#;
        let shown = |words: &[&str]| format!("{:?}", filter(words).unwrap());
        assert_eq!(shown(&["x"]), "All");
        assert_eq!(shown(&["x", "--under", "src/"]), r#"Prefix("src/")"#);
        assert_eq!(shown(&["x", "--ids-from", ids]), "Ids(2)");
        assert!(shown(&["x", "--where", condition]).contains("Equals"));
        assert!(filter(&["x", "--where", "{}"]).is_err() && filter(&["x", "--ids-from", "/absent"]).is_err());
        assert!(filter(&["x", "--under", "a", "--where", condition]).is_err());
    }
}
