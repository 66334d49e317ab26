//! A glance at a folder, before anything is made of it.

use std::collections::BTreeMap;
use std::path::Path;

use revela_base::interrupt::Interrupt;
use revela_text::Links;

use crate::config::default_collection;
use crate::error::SyncError;
use crate::form::Form;
use crate::scan::{self, Ground, Scope};

/// What a folder holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// Documents, by language.
    pub documents: BTreeMap<&'static str, u64>,
    /// Whether there is more that was not looked at.
    pub is_partial: bool,
}

impl Survey {
    /// All documents.
    pub fn count(&self) -> u64 {
        self.documents.values().sum()
    }
}

/// Counts the documents of a folder by their names, and stops after this many files and folders.
///
/// # Errors
/// [`SyncError::Folder`] when it cannot be looked at, [`SyncError::Interrupted`].
pub fn survey(folder: &Path, most: usize, interrupt: &Interrupt) -> Result<Survey, SyncError> {
    let root = std::fs::canonicalize(folder)
        .map_err(|source| SyncError::Folder { path: folder.to_owned(), source })?;
    let ground = Ground { without: default_collection(&root), root, links: Links::Ignore };
    let mut survey = Survey::default();
    for (count, entry) in scan::walk(&ground, &Scope::All).enumerate() {
        interrupt.check()?;
        if count >= most {
            survey.is_partial = true;
            break;
        }
        let Ok(entry) = entry else { continue };
        let is_file = entry.file_type().is_some_and(|kind| kind.is_file());
        if let Some(form) = Form::of_path(entry.path()).filter(|_| is_file) {
            *survey.documents.entry(form.language()).or_default() += 1;
        }
    }
    Ok(survey)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_counted_as_far_as_it_was_looked() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.md", "b.rs", "c.rs", "d.png", "e.ipynb"] {
            std::fs::write(dir.path().join(name), "x").unwrap();
        }
        let all = survey(dir.path(), 100, &Interrupt::new()).unwrap();
        assert_eq!(all.documents, [("markdown", 1), ("notebook", 1), ("rust", 2)].into());
        assert!(!all.is_partial && all.count() == 4);
        assert!(survey(dir.path(), 2, &Interrupt::new()).unwrap().is_partial);
    }
}
