//! `revela sync`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use revela_base::embed::Embedder;
use revela_index::Collection;
use revela_index::bm25::Analyser;
use revela_model::cpu::Matmul;
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::shipped::ENCODER_CODE;
use revela_model::weights::Precision;
use revela_sync::watch::{Notice, watch};
use revela_sync::{Folder, FolderSync, Report, Settings, default_collection};
use revela_text::Links;
use serde_json::json;

use super::data::parse_analyser;
use super::say;
use crate::Context;

/// What `--encoder` says where words alone are to find.
const NO_ENCODER: &str = "none";

/// Keep a folder of code, notes or documents searchable: make its collection, or bring it up to date.
///
/// Only what changed is read, cut and embedded; what is gone is taken out. Files and folders that .gitignore, .ignore or
/// .revelaignore name are left out, hidden ones too. Whatever stops it, a kill included: run it again.
/// Then: revela search FOLDER "what you look for", or without FOLDER inside of it.
#[derive(Args)]
pub(crate) struct Sync {
    /// The folder.
    folder: PathBuf,
    /// The collection's folder [default: FOLDER/.revela/collection]
    #[arg(long, value_name = "COLLECTION")]
    out: Option<PathBuf>,
    /// The folder or hub name of the encoder that embeds chunks; none lets words alone find, by BM25 [default: the one
    /// that the collection was made with, or encoder-code, which comes with the program]
    #[arg(long)]
    encoder: Option<PathBuf>,
    /// How the processor multiplies while it embeds: f32, or bf16, which is faster where it has AVX-512 BF16.
    #[arg(long, default_value = "f32")]
    matmul: Matmul,
    /// Go on as files change, until Ctrl-C.
    #[arg(long)]
    watch: bool,
    /// How texts are split into terms: code or prose [default: as most files are]
    #[arg(long, value_parser = parse_analyser)]
    analyser: Option<Analyser>,
    /// Most words of a chunk [default: 120]
    #[arg(long, value_name = "WORDS")]
    chunk_size: Option<usize>,
    /// The longest text that is taken, in bytes [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    max_bytes: Option<u64>,
    /// Follow symbolic links instead of leaving them out.
    #[arg(long)]
    follow_links: bool,
    /// Begin the collection anew, with other settings; the old one stays until the new one is whole.
    #[arg(long)]
    fresh: bool,
    /// Print a JSON object for every pass.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Sync, context: &Context) -> Result<()> {
    let collection = args.out.clone().unwrap_or_else(|| default_collection(&args.folder));
    let encoder = chosen_encoder(args, &collection);
    let embedder = encoder.as_deref().map(|dir| open(dir, args.matmul)).transpose()?;
    let folder = Folder {
        collection,
        chunk_size: args.chunk_size,
        max_bytes: args.max_bytes,
        links: args.follow_links.then_some(Links::Follow),
        analyser: args.analyser,
        encoder: encoder.as_deref().map(name_of),
        ..Folder::new(&args.folder)
    };
    let mut sync = FolderSync::new(folder, embedder);
    let speaker = Speaker { args, collection: sync.collection().to_owned(), context };
    if args.fresh || !args.watch {
        let pass = if args.fresh { FolderSync::sync_fresh } else { FolderSync::sync };
        let report = pass(&mut sync, &context.progress, &context.interrupt)?;
        speaker.report(&report, None)?;
        speaker.what_next(encoder.is_some())?;
    }
    if !args.watch {
        return Ok(());
    }
    let mut failed = None;
    watch(&mut sync, &context.progress, &context.interrupt, &mut |notice| {
        if let Err(error) = speaker.notice(&notice) {
            failed = Some(error);
            context.interrupt.request();
        }
    })?;
    failed.map_or(Ok(()), Err)
}

/// The encoder that is named, the one that a collection was made with, or the one that comes with the program.
fn chosen_encoder(args: &Sync, collection: &Path) -> Option<PathBuf> {
    match &args.encoder {
        Some(name) if name.as_os_str() == NO_ENCODER => return None,
        Some(name) => return Some(name.clone()),
        None => {}
    }
    let kept = (!args.fresh).then(|| Collection::open(collection).ok()).flatten();
    match kept.and_then(|collection| Settings::of(&collection)) {
        Some(settings) => settings.encoder.map(PathBuf::from),
        None => Some(PathBuf::from(ENCODER_CODE)),
    }
}

fn open(dir: &Path, matmul: Matmul) -> Result<Arc<dyn Embedder>> {
    let encoder = Encoder::open(dir, Precision::F32, &DeviceChoice::Cpu.open()?)?;
    Ok(Arc::new(encoder.with_matmul(matmul)))
}

/// A folder's whole path, which means the same from everywhere; a hub name as it is.
fn name_of(encoder: &Path) -> String {
    let whole = encoder.is_dir().then(|| std::fs::canonicalize(encoder).ok()).flatten();
    whole.unwrap_or_else(|| encoder.to_owned()).display().to_string()
}

/// Says what happened.
struct Speaker<'a> {
    args: &'a Sync,
    collection: PathBuf,
    context: &'a Context,
}

impl Speaker<'_> {
    fn notice(&self, notice: &Notice) -> Result<()> {
        match notice {
            Notice::Synced(report, after) => self.report(report, *after)?,
            Notice::Watching(folders) => {
                self.remark(&format!("watching {folders} folders; Ctrl-C ends it"));
            }
            Notice::Looking(why, every) => self.remark(&format!(
                "not all folders can be watched: {why}; the folder is looked at every {} s or so",
                every.as_secs()
            )),
            Notice::Trouble(error) => self.remark(&format!("{error}; trying again")),
            _ => {}
        }
        Ok(())
    }

    fn remark(&self, text: &str) {
        self.context.progress.line(text);
    }

    fn report(&self, report: &Report, after: Option<Duration>) -> Result<()> {
        if self.args.json {
            let mut object = serde_json::to_value(report)?;
            object["collection"] = json!(self.collection.display().to_string());
            if let Some(after) = after {
                object["seconds_after_change"] = json!(after.as_secs_f64());
            }
            say(object)?;
            return Ok(());
        }
        say(line(report, after))?;
        for (reason, left_out) in &report.left_out {
            if let Some(first) = &left_out.first {
                let others = match left_out.count {
                    1 => String::new(),
                    count => format!(" (and {} more)", count - 1),
                };
                self.remark(&format!("left out, {reason}: {first}{others}"));
            }
        }
        Ok(())
    }

    /// What can be done with the collection.
    fn what_next(&self, has_vectors: bool) -> Result<()> {
        if self.args.json {
            return Ok(());
        }
        let meant = self.args.out.as_ref().unwrap_or(&self.args.folder).display();
        if !has_vectors {
            self.remark("no encoder: words alone find (BM25); --encoder with --fresh adds vectors");
        }
        say(format_args!("search it with: revela search {meant} \"what you look for\""))?;
        Ok(())
    }
}

/// A pass in one line.
fn line(report: &Report, after: Option<Duration>) -> String {
    let (files, chunks) = (&report.files, &report.chunks);
    let mut parts = Vec::new();
    let mut part = |count: u64, what: &str| {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    };
    part(files.added, "added");
    part(files.changed, "changed");
    part(files.removed, "removed");
    part(files.unchanged, "unchanged");
    let left_out = report.left_out.values().map(|left_out| left_out.count).sum();
    part(left_out, "left out");
    let mut text =
        if parts.is_empty() { "no files".to_owned() } else { format!("files: {}", parts.join(", ")) };
    if files.moved > 0 {
        text.push_str(&format!(" ({} moved)", files.moved));
    }
    if report.changed_anything() {
        text.push_str(&format!("; chunks: {} written, {} removed", chunks.written, chunks.removed));
    }
    if chunks.embedded + chunks.reused > 0 {
        text.push_str(&format!(", {} embedded, {} had a vector", chunks.embedded, chunks.reused));
    }
    let took = match after {
        Some(after) => format!("{:.2} s after the change", after.as_secs_f64()),
        None => format!("{:.1} s", report.seconds),
    };
    format!("{text}; {} in all, {took}", report.passages)
}
