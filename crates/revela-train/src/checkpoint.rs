//! Checkpoints: everything a run needs to go on as if it had never stopped.
//!
//! A checkpoint is a folder `checkpoints/STEP` with both models' weights, both optimisers' states and, in
//! its manifest, where the run stands. It appears under its name only when it is whole; a run goes on from
//! the newest that is.

use std::fs;
use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use revela_base::artifact::{Artifact, ArtifactWriter, IfExists};
use revela_base::checksum::Checksum;
use revela_base::file::{FileError, create_dir};
use revela_model::ModelError;
use revela_model::device;
use revela_model::params::{Parameter, named};
use revela_model::weights::{Precision, Weights, to_safetensors};
use serde::{Deserialize, Serialize};

use crate::error::{Result, TrainError};
use crate::models::{Models, RetrieverSide};
use crate::optim::{AdamW, AdamWConfig};

const FORMAT: &str = "revela.checkpoint";
const VERSION: u32 = 1;
/// Folder of the checkpoints in a run's folder.
pub const DIR: &str = "checkpoints";

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Index of the stage.
    pub stage: usize,
    /// Steps made in it.
    pub stage_step: u64,
    /// Steps made in all stages.
    pub step: u64,
    /// Groups trained on in all stages.
    pub position: u64,
    /// Seconds of training in the stage.
    pub seconds: f64,
    /// The best retriever so far.
    pub best: Option<Best>,
    /// Length of the log.
    pub log_bytes: u64,
    /// Steps of the retriever's and the language model's optimisers.
    pub optimizer_steps: [u64; 2],
    /// The retriever's contract, where there is a retriever.
    pub contract: Option<revela_model::contract::Contract>,
    /// Of the group file.
    pub groups: Checksum,
    /// Of the configuration.
    pub config: Checksum,
}

/// The retriever that is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its held-out score.
    pub score: f64,
    /// The stage it comes from.
    pub stage: String,
    /// The step of that stage; 0 is the stage's start.
    pub step: u64,
}

/// The two optimisers of a stage.
#[derive(Debug)]
pub struct Optimizers {
    /// The retriever's.
    pub retriever: AdamW,
    /// The language model's.
    pub lm: AdamW,
}

impl Optimizers {
    /// Optimisers that have made no step.
    pub fn new(config: AdamWConfig) -> Self {
        Self { retriever: AdamW::new(config), lm: AdamW::new(config) }
    }
}

/// The language model's weights in a checkpoint.
const LM_WEIGHTS: &str = "lm.safetensors";

/// Whether the language model is still what its folder holds, so that no checkpoint needs its weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LmWeights {
    /// It is.
    AsOpened,
    /// Some stage trained it.
    Trained,
}

/// Writes a checkpoint and removes all but the newest `keep`. Returns its folder.
pub fn save(
    run: &Path,
    models: &Models,
    optimizers: &Optimizers,
    state: &State,
    (keep, lm): (usize, LmWeights),
) -> Result<PathBuf> {
    let root = run.join(DIR);
    create_dir(&root)?;
    let dir = root.join(format!("{:010}", state.step));
    let mut writer = ArtifactWriter::create(&dir, FORMAT, VERSION, IfExists::Replace)?;
    let mut add = |name: &str, parameters: Vec<(String, Parameter)>, precision| -> Result<()> {
        let bytes = to_safetensors(parameters, precision)
            .map_err(|detail| ModelError::Weights { path: dir.join(name), detail })?;
        Ok(writer.file(name, |out| out.write_all(&bytes))?)
    };
    let adapters = models.lora().is_some();
    if let (Some(side), LmWeights::Trained) = (&models.lm, lm) {
        add(LM_WEIGHTS, kept(&side.lm, adapters), models.precision())?;
    }
    if let Some(side) = &models.retriever {
        add("retriever.safetensors", kept(&side.model, adapters), models.precision())?;
    }
    // Moments and master weights are f32 whatever the models are.
    add("lm-optimizer.safetensors", optimizers.lm.state(), Precision::F32)?;
    add("retriever-optimizer.safetensors", optimizers.retriever.state(), Precision::F32)?;
    writer.finish(state)?;
    prune(&root, keep)?;
    Ok(dir)
}

/// With adapters the frozen base is not stored again and again.
fn kept<M: Module>(module: &M, adapters: bool) -> Vec<(String, Parameter)> {
    named(module).into_iter().filter(|(name, _)| !adapters || name.contains(".lora.")).collect()
}

fn checkpoints(root: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(FileError::io("read", root)(e).into()),
    };
    let mut dirs = Vec::new();
    for entry in entries {
        let path = entry.map_err(FileError::io("read", root))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.len() == 10 && name.bytes().all(|b| b.is_ascii_digit()) {
            dirs.push(path);
        }
    }
    dirs.sort();
    Ok(dirs)
}

fn prune(root: &Path, keep: usize) -> Result<()> {
    let all = checkpoints(root)?;
    for dir in all.iter().take(all.len().saturating_sub(keep)) {
        fs::remove_dir_all(dir).map_err(FileError::io("remove", dir))?;
    }
    Ok(())
}

/// A checkpoint that was checked as a whole.
pub struct Checkpoint {
    artifact: Artifact<State>,
}

impl Checkpoint {
    /// The newest whole checkpoint of a run. Damaged ones are passed over in favour of older ones.
    ///
    /// # Errors
    /// [`TrainError::Resume`] when there is none.
    pub fn newest(run: &Path) -> Result<Self> {
        let mut damage = String::from("it has no checkpoint");
        for dir in checkpoints(&run.join(DIR))?.into_iter().rev() {
            match Artifact::open(&dir, FORMAT, 1..=VERSION).and_then(|a| a.verify().map(|()| a)) {
                Ok(artifact) => return Ok(Self { artifact }),
                Err(e) => damage = format!("no checkpoint is whole: {e}"),
            }
        }
        Err(TrainError::Resume { path: run.to_owned(), detail: damage })
    }

    /// Where the run stood.
    pub fn state(&self) -> &State {
        &self.artifact.body
    }

    /// Puts weights and optimiser states back.
    pub fn restore(&self, models: &mut Models, config: AdamWConfig) -> Result<Optimizers> {
        let (device, precision, adapters) =
            (models.device().clone(), models.precision(), models.lora().is_some());
        let read = |name: &str| -> Result<Weights> { Ok(Weights::read_file(&self.artifact.path(name)?)?) };
        if let Some(mut side) = models.lm.take() {
            // A language model that no stage trained is read from its folder alone.
            if self.artifact.has(LM_WEIGHTS) {
                side.lm = fill(read(LM_WEIGHTS)?, side.lm, adapters, precision, &device)?;
            }
            models.lm = Some(side);
        }
        if let Some(contract) = &self.state().contract {
            let side = models.retriever.take().ok_or_else(|| self.wrong("the run has no retriever"))?;
            let weights = read("retriever.safetensors")?;
            let model = fill(weights, side.model, adapters, precision, &device)?;
            models.retriever = Some(RetrieverSide { model, contract: contract.clone(), ..side });
        }
        let [retriever, lm] = self.state().optimizer_steps;
        Ok(Optimizers {
            retriever: self.optimizer("retriever-optimizer.safetensors", config, retriever, &device)?,
            lm: self.optimizer("lm-optimizer.safetensors", config, lm, &device)?,
        })
    }

    fn wrong(&self, detail: &str) -> TrainError {
        TrainError::Resume { path: self.artifact.dir().to_owned(), detail: detail.to_owned() }
    }

    fn optimizer(&self, name: &str, config: AdamWConfig, steps: u64, device: &Device) -> Result<AdamW> {
        let mut weights = Weights::read_file(&self.artifact.path(name)?)?;
        let names: Vec<String> = weights.names().map(str::to_owned).collect();
        let plain = device.clone().inner();
        let state = names.into_iter().filter_map(|name| {
            let stored = weights.take(&name)?;
            let n = stored.data.len();
            Some((name, device::tensor(stored.data, [n], Precision::F32, &plain)))
        });
        AdamW::restore(config, steps, state).map_err(|detail| self.wrong(&detail))
    }
}

fn fill<M: Module>(
    weights: Weights,
    module: M,
    adapters: bool,
    precision: Precision,
    device: &Device,
) -> Result<M> {
    if adapters {
        Ok(weights.fill_some(module, precision, device)?)
    } else {
        Ok(weights.fill(module, precision, device)?)
    }
}
