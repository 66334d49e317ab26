//! `revela data fetch` and `revela data tasks`: public test collections.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use revela_base::artifact::{ArtifactWriter, IfExists};
use revela_base::file::create_dir;
use revela_base::progress::Progress;
use revela_eval::catalog::{self, HubSource, Task};
use revela_eval::dataset::{SNAPSHOT_FORMAT, SNAPSHOT_VERSION, SnapshotInfo};
use revela_eval::{Best, Cell, Column, Table};
use revela_hub::{Environment, Hub, RemoteFile, Repository, Watch};

use super::super::say;
use crate::Context;

/// Width of the table of tasks.
const WIDTH: u16 = 160;

#[derive(Args)]
pub(crate) struct Fetch {
    /// The task's name (`revela data tasks`).
    name: String,
    /// The part of a task that is measured in parts.
    #[arg(long)]
    part: Option<String>,
    /// The folder to write [default: data/NAME, or data/NAME-PART]
    #[arg(long)]
    out: Option<PathBuf>,
    /// The hub's address.
    #[arg(long, env = "HF_ENDPOINT", default_value = "https://huggingface.co")]
    hub: String,
}

pub(crate) fn fetch(args: &Fetch, context: &Context) -> Result<()> {
    let task = catalog::task(&args.name)?;
    let source = source(&task, args.part.as_deref())?;
    let name = match &args.part {
        Some(part) => format!("{}-{part}", task.name),
        None => task.name.clone(),
    };
    let out = args.out.clone().unwrap_or_else(|| Path::new("data").join(&name));
    if out.exists() {
        bail!("{} already exists; choose another folder with --out", out.display());
    }
    let endpoint = args.hub.trim_end_matches('/').to_owned();
    let hub = Hub::new(&Environment { endpoint, ..Environment::read() });
    let repository = Repository::DataSet(&source.repo);
    let files = wanted(hub.files(repository, &source.revision)?, &task, source);
    if files.is_empty() {
        bail!("{} at {} holds none of the files of {name}", source.repo, source.revision);
    }
    let partial = partial_folder(&out);
    let total: u64 = files.iter().filter_map(|file| file.size).sum();
    let progress = context.progress.task("fetching", "bytes", Some(total));
    for file in &files {
        let watch = Watch { progress: &*progress, interrupt: &context.interrupt };
        hub.fetch(repository, &source.revision, file, &partial.join(&file.path), watch)?;
    }
    drop(progress);
    keep(
        &out,
        &partial,
        &files,
        SnapshotInfo {
            repo: source.repo.clone(),
            revision: source.revision.clone(),
            task: task.name.clone(),
        },
    )?;
    say(format_args!("{} files, {total} bytes, in {}", files.len(), out.display()))?;
    let part = args.part.as_ref().map_or_else(String::new, |part| format!(" --part {part}"));
    say(format_args!(
        "measure: revela eval --data {} --task {}{part} --mode bm25",
        out.display(),
        task.name
    ))?;
    Ok(())
}

/// Where the part that is asked for lies.
fn source<'a>(task: &'a Task, part: Option<&str>) -> Result<&'a HubSource> {
    if task.hub.is_empty() {
        let origins = task.sources.join("; ");
        bail!("{} cannot be fetched: it is not public on the hub ({origins})", task.name);
    }
    let found = task.hub.iter().find(|hub| hub.part.as_deref() == part);
    found.with_context(|| match part {
        None => format!("{} comes in parts; choose one with --part: {}", task.name, task.parts.join(", ")),
        Some(part) => format!("{} has no part {part}; it has: {}", task.name, task.parts.join(", ")),
    })
}

/// The files of a repository that hold this task: data, and of several subsets or domains only its own.
fn wanted(files: Vec<RemoteFile>, task: &Task, source: &HubSource) -> Vec<RemoteFile> {
    let is_data =
        |path: &str| [".parquet", ".jsonl", ".jsonl.gz", ".tsv"].iter().any(|end| path.ends_with(end));
    let in_subset = |path: &str| match &source.subset {
        Some(subset) => path.starts_with(&format!("{subset}-")) || path.starts_with(&format!("{subset}/")),
        None => true,
    };
    let in_domain = |path: &str| {
        let Some((folder, name)) = path.rsplit_once('/') else { return false };
        let domain = name.strip_prefix(task.split.as_str());
        ["documents", "long_documents", "examples"].contains(&folder)
            && domain.is_some_and(|rest| rest.starts_with(['-', '.']))
    };
    let chosen = |file: &RemoteFile| {
        is_data(&file.path) && in_subset(&file.path) && (task.benchmark != "BRIGHT" || in_domain(&file.path))
    };
    files.into_iter().filter(chosen).collect()
}

/// What is under way stands beside the folder, so that a later call goes on with it.
fn partial_folder(out: &Path) -> PathBuf {
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    out.with_file_name(format!("{name}.partial"))
}

/// Gives verified files their folder, with a manifest of their checksums.
fn keep(out: &Path, partial: &Path, files: &[RemoteFile], info: SnapshotInfo) -> Result<()> {
    if let Some(parent) = out.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dir(parent)?;
    }
    let mut writer = ArtifactWriter::create(out, SNAPSHOT_FORMAT, SNAPSHOT_VERSION, IfExists::Refuse)?;
    for file in files {
        let path = partial.join(&file.path);
        let mut from =
            std::fs::File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        writer.file(&file.path, |to| std::io::copy(&mut from, to).map(drop))?;
    }
    writer.finish(&info)?;
    std::fs::remove_dir_all(partial).with_context(|| format!("cannot remove {}", partial.display()))
}

/// Prints the catalogue.
pub(crate) fn tasks() -> Result<()> {
    let heads = ["benchmark", "task", "split", "documents", "queries", "metric", "licence", "fetch"];
    let mut table = Table::new(heads.map(|head| Column::new(head, Best::NotMarked)));
    let number = |count: Option<u64>| match count {
        Some(count) => Cell::number(count as f64, count.to_string()),
        None => Cell::Empty,
    };
    for task in catalog::tasks()? {
        let fetch = match (task.hub.is_empty(), task.parts.len()) {
            (true, _) => "not public".to_owned(),
            (false, 0) => "yes".to_owned(),
            (false, parts) => format!("{parts} parts"),
        };
        let documents = match (&task.documents_about, task.documents) {
            (Some(about), None) => Cell::text(format!("about {about}")),
            (_, documents) => number(documents),
        };
        table.push([
            Cell::text(task.benchmark),
            Cell::text(task.name),
            Cell::text(task.split),
            documents,
            number(task.queries),
            Cell::text(task.metric.to_string()),
            task.licence.map_or(Cell::Empty, Cell::text),
            Cell::text(fetch),
        ]);
    }
    say(table.to_text(WIDTH))?;
    Ok(())
}
