//! What is measured on: a selection of a data set, with what the catalogue knows of it.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use revela_eval::SelfMatches;
use revela_eval::catalog::{self, Task};
use revela_eval::dataset::{self, Selection};
use revela_eval::metrics::Metric;
use revela_eval::mteb::MtebTask;
use revela_hub::Environment;

use super::DataArgs;
use crate::evaluation::HeldOut;

/// The split where neither flag nor catalogue names one.
const SPLIT: &str = "test";

/// The flags after a look into the catalogue.
pub(super) struct Target {
    pub(super) selection: Selection,
    pub(super) task: Option<Task>,
    pub(super) part: Option<String>,
}

impl Target {
    pub(super) fn new(args: &DataArgs) -> Result<Self> {
        let task = args.task.as_deref().map(catalog::task).transpose()?;
        if let (Some(task), Some(part)) = (&task, &args.part)
            && !task.parts.contains(part)
        {
            bail!("the task {} has no part {part}; it has {}", task.name, list(&task.parts));
        }
        let split = args.split.clone().or_else(|| Some(task.as_ref()?.split.clone()));
        let of_part = |task: &Task| task.hub.iter().find(|hub| hub.part == args.part)?.subset.clone();
        let selection = Selection {
            split: split.unwrap_or_else(|| SPLIT.to_owned()),
            subset: args.subset.clone().or_else(|| task.as_ref().and_then(of_part)),
            self_matches: args
                .self_matches
                .or(task.as_ref().map(|task| task.self_matches))
                .unwrap_or(SelfMatches::UNKNOWN_TASK),
        };
        Ok(Self { selection, task, part: args.part.clone() })
    }

    /// A prefix with the task's instruction in the place of {task}.
    pub(super) fn fill(&self, prefix: &str) -> Result<String> {
        const PLACE: &str = "{task}";
        if !prefix.contains(PLACE) {
            return Ok(prefix.to_owned());
        }
        let Some(task) = &self.task else { bail!("{PLACE} in a prefix needs --task") };
        match &task.query_prompt {
            Some(prompt) => Ok(prefix.replace(PLACE, prompt)),
            None => bail!("the catalogue has no instruction for {}; write it instead of {PLACE}", task.name),
        }
    }

    /// Whether the selected data are the whole task, so that the catalogue's counts hold.
    fn is_whole(&self, task: &Task) -> bool {
        self.part.is_none() && task.parts.is_empty() && self.selection.split == task.split
    }

    /// Where the data differ from what the catalogue says, in sentences.
    pub(super) fn differences(&self, held_out: &HeldOut) -> Vec<String> {
        let Some(task) = self.task.as_ref().filter(|task| self.is_whole(task)) else { return Vec::new() };
        let split = held_out.split();
        [
            ("documents", task.documents, split.documents),
            ("queries", task.queries, split.queries.len() as u64),
        ]
        .into_iter()
        .filter_map(|(what, stated, found)| {
            let stated = stated.filter(|&stated| stated != found)?;
            Some(format!("the data hold {found} {what}, but the catalogue says {stated} for {}", task.name))
        })
        .collect()
    }

    /// How MTEB calls this. `name` and `revision` stand where the catalogue does not tell.
    pub(super) fn mteb(&self, name: &str, revision: &str) -> MtebTask {
        let task = self.task.as_ref();
        let entry = task.and_then(|task| task.mteb.as_ref());
        let hub = task.and_then(|task| task.hub.iter().find(|hub| hub.part == self.part));
        let languages = match (&self.selection.subset, entry) {
            (Some(subset), Some(entry)) => {
                let of_subset = |language: &&String| language.split('-').next() == Some(subset.as_str());
                entry.languages.iter().filter(of_subset).cloned().collect()
            }
            (None, Some(entry)) => entry.languages.clone(),
            (_, None) => Vec::new(),
        };
        MtebTask {
            name: entry.map_or_else(|| name.to_owned(), |entry| entry.task.clone()),
            revision: hub.map_or_else(|| revision.to_owned(), |hub| hub.revision.clone()),
            subset: self.selection.subset.clone().unwrap_or_else(|| "default".to_owned()),
            languages,
            main: task.map_or(Metric::NDCG_10, |task| task.metric),
        }
    }
}

/// The folder that is meant: the path, or, where nothing stands there, the data set `org/name` in the hub's cache.
pub(super) fn folder(path: &Path) -> PathBuf {
    let name = path.to_str().filter(|name| name.split('/').filter(|part| !part.is_empty()).count() == 2);
    let cached = name.map(|name| dataset::in_hub_cache(&Environment::read().cache, name));
    match cached {
        Some(cached) if !path.exists() && cached.is_dir() => cached,
        _ => path.to_owned(),
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}
