//! What is wrong with a thing that was made: a collection, a model, a configuration.

use std::path::Path;

use anyhow::Result;
use revela_hub::Environment;
use revela_index::{Collection, Error};
use revela_model::device::DeviceChoice;
use revela_model::encoder::Encoder;
use revela_model::shipped::ENCODER_CODE;
use revela_model::weights::Precision;
use revela_sync::{Settings, folder_of};
use revela_train::config::RunConfig;
use revela_train::settings::{self, SettingsFile};

use super::super::place;
use super::{Findings, Problem};
use crate::Context;

/// Shards from which on searches are slow for their number.
const MANY_SHARDS: usize = 16;

pub(super) fn look(path: &Path, findings: &mut Findings, context: &Context) -> Result<()> {
    if let Some(collection) = place::collection_at(path) {
        return collection_folder(&collection, findings, context);
    }
    if path.is_dir() && (path.join("config.json").exists() || path.join("adapter_config.json").exists()) {
        model(path, findings)?;
    } else if path.extension().is_some_and(|extension| extension == "toml") {
        configuration(path, findings);
    } else {
        let what = format_args!("{} is no collection, model folder or configuration (.toml)", path.display());
        let remedy = "name the folder that holds manifest.jsonl or config.json; \
                      `revela sync FOLDER` makes a collection of a folder";
        findings.problem(Problem::new(what, remedy));
    }
    Ok(())
}

fn collection_folder(path: &Path, findings: &mut Findings, context: &Context) -> Result<()> {
    let collection = match Collection::open(path) {
        Ok(collection) => collection,
        Err(error) => {
            findings
                .problem(Problem::new(error, "make it again; `revela sync --fresh` does where sync made it"));
            return Ok(());
        }
    };
    let info = collection.info();
    findings.fact("collection", path.display());
    findings.fact(
        "passages",
        format_args!("{}, {} deleted, {} shards", info.passages, info.deleted, info.shards.len()),
    );
    findings.fact("size", format_args!("{} MiB", (info.vector_bytes + info.text_bytes) >> 20));
    let vectors = info.vectors.as_ref().map_or("none: words alone find".to_owned(), |space| {
        format!("{} numbers, {:?}", space.dim, space.metric)
    });
    findings.fact("vectors", vectors);
    match collection.verify(&context.progress, &context.interrupt) {
        Ok(()) => {}
        Err(Error::Interrupted(interrupted)) => return Err(interrupted.into()),
        Err(error) => {
            findings
                .problem(Problem::new(error, "make it again; `revela sync --fresh` does where sync made it"));
        }
    }
    if info.deleted > info.passages || info.shards.len() > MANY_SHARDS {
        let what = "deleted passages and small shards make searches slow";
        findings.problem(Problem::new(what, format_args!("revela index compact {}", path.display())));
    }
    if info.shards.iter().any(revela_index::info::ShardInfo::recall_is_stale) {
        let what = "passages were deleted since graphs were measured, which --recall goes by";
        findings.problem(Problem::new(what, format_args!("revela index measure {}", path.display())));
    }
    if let Some(settings) = Settings::of(&collection) {
        synced(&collection, &settings, findings);
    }
    Ok(())
}

/// What belongs to a collection that sync keeps.
fn synced(collection: &Collection, settings: &Settings, findings: &mut Findings) {
    if let Some(folder) = folder_of(collection) {
        findings.fact("folder", folder.display());
        if !folder.is_dir() {
            let what = format_args!("the folder {} that it holds is not there", folder.display());
            findings.problem(Problem::new(what, "bring it back, or sync from where it is now"));
        }
    }
    if let Some(encoder) = &settings.encoder {
        findings.fact("encoder", encoder);
        let is_there = encoder == ENCODER_CODE
            || Path::new(encoder).is_dir()
            || Environment::read().snapshot(encoder).is_some();
        if !is_there {
            let what = format_args!("the encoder {encoder} that made its vectors is not on this machine");
            findings
                .problem(Problem::new(what, "give it with --encoder, or let a search fetch it from the hub"));
        }
    }
}

fn model(path: &Path, findings: &mut Findings) -> Result<()> {
    let opened = Encoder::open(path, Precision::F32, &DeviceChoice::Cpu.open()?);
    match opened {
        Ok(encoder) => {
            use revela_base::embed::Embedder as _;
            findings.fact("encoder", format_args!("{}, {} numbers", path.display(), encoder.dimension()));
            let tried = encoder.embed(revela_base::embed::TextKind::Query, &["what does it say"]);
            match tried {
                Ok(numbers) if numbers.iter().all(|number| number.is_finite()) => {}
                Ok(_) => {
                    let remedy = "its weights are damaged: restore or train it again";
                    findings.problem(Problem::new("it embeds a text as numbers that are none", remedy));
                }
                Err(error) => findings.problem(Problem::said(error)),
            }
        }
        Err(error) => findings.problem(Problem::said(error)),
    }
    Ok(())
}

fn configuration(path: &Path, findings: &mut Findings) {
    let checked = SettingsFile::read(path)
        .and_then(|file| file.complete(&settings::Settings::default()))
        .and_then(|settings| RunConfig::check(&settings));
    match checked {
        Ok(_) => findings.fact("configuration", format_args!("{} can be run", path.display())),
        Err(error) => findings.problem(Problem::said(error)),
    }
}
