//! `revela` without a command: what could be done here.

use anyhow::Result;
use revela_index::Collection;
use revela_sync::{folder_of, survey};

use super::{place, say};
use crate::Context;

/// Files and folders that are looked at.
const MOST: usize = 50_000;

/// Languages that are named.
const NAMED: usize = 4;

pub(crate) fn run(context: &Context) -> Result<()> {
    match place::nearest() {
        Some(path) => {
            let collection = Collection::open(&path)?;
            let folder = folder_of(&collection).unwrap_or_default();
            say(format_args!(
                "{} is kept in a collection of {} chunks.",
                folder.display(),
                collection.len()
            ))?;
            say("Bring it up to date and search it:\n")?;
            say(format_args!(
                "    revela sync {:?} && revela search \"what you look for\"\n",
                folder.display().to_string()
            ))?;
        }
        None => propose(context)?,
    }
    say("All commands: revela --help. What this machine offers: revela doctor.")?;
    Ok(())
}

fn propose(context: &Context) -> Result<()> {
    let here = std::env::current_dir()?;
    let survey = survey(&here, MOST, &context.interrupt)?;
    if survey.count() == 0 {
        say(format_args!(
            "{} holds no documents that revela reads. Go to a folder of code, notes or documents, or name one:\n",
            here.display()
        ))?;
        say("    revela sync FOLDER && revela search FOLDER \"what you look for\"\n")?;
        return Ok(());
    }
    let mut languages: Vec<_> = survey.documents.iter().collect();
    languages.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let named = languages.iter().take(NAMED).map(|(language, count)| format!("{count} {language}"));
    let named = named.collect::<Vec<_>>().join(", ");
    let (least, more) = (if survey.is_partial { "at least " } else { "" }, languages.len() > NAMED);
    say(format_args!(
        "{} holds {least}{} documents ({named}{}) and has no collection yet.",
        here.display(),
        survey.count(),
        if more { ", ..." } else { "" }
    ))?;
    say("Make it searchable, in .revela, and search it:\n")?;
    say("    revela sync . && revela search \"what you look for\"\n")?;
    Ok(())
}
