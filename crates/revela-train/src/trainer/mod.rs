//! The training loop: stages, steps, evaluations, checkpoints.

mod outputs;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use revela_base::checksum::Checksum;
use revela_base::file::{DirLock, FileError, write_atomic};
use revela_base::interrupt::Interrupt;
use revela_base::progress::{Progress, Task};
use revela_model::encoder::Encoder;
use revela_text::{ChunkGroup, GroupFile};

use crate::checkpoint::{Best, Checkpoint, Optimizers, State};
use crate::config::{Budget, RunConfig, StageConfig};
use crate::error::{Result, TrainError};
use crate::gradients::GradientSet;
use crate::log::{Log, Record, StepRecord, finite, peak_memory};
use crate::models::{LanguageSide, Models, RetrieverSide};
use crate::objective::StepResult;
use crate::order::GroupOrder;
use crate::settings::SettingsFile;
use crate::step::{self, Step};
use crate::targets::Targets;

/// The checked configuration's name in a run's folder.
pub const CONFIG: &str = "config.toml";

/// Scores a retriever on held-out data; the larger the better.
pub trait Evaluator {
    /// The metric's name.
    fn metric(&self) -> String;

    /// The mean over the held-out queries.
    ///
    /// # Errors
    /// Whatever keeps it from being measured.
    fn score(&self, encoder: &Encoder) -> std::result::Result<f64, Box<dyn std::error::Error + Send + Sync>>;
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// All stages are done. The retriever that was kept is in `best` of the run's folder.
    Finished {
        /// The best retriever, where there was an evaluation.
        best: Option<Best>,
    },
    /// It was asked to stop; the checkpoint holds everything.
    Interrupted {
        /// The stage's name.
        stage: String,
        /// Steps of it that are done.
        step: u64,
    },
}

/// A run.
pub struct Trainer<'a> {
    config: Arc<RunConfig>,
    config_checksum: Checksum,
    models: Models,
    targets: Option<Targets>,
    groups: GroupFile,
    order: GroupOrder,
    log: Log,
    state: State,
    /// Restored from a checkpoint, for the stage that it interrupted.
    optimizers: Option<Optimizers>,
    evaluator: Option<&'a dyn Evaluator>,
    progress: &'a dyn Progress,
    interrupt: &'a Interrupt,
    on_record: Option<&'a dyn Fn(&Record)>,
    _lock: DirLock,
}

impl<'a> Trainer<'a> {
    /// Starts a run in a new folder.
    ///
    /// # Errors
    /// [`FileError::Exists`] when the folder holds a run; [`FileError::Locked`] while another process
    /// works there.
    pub fn start(
        settings: &SettingsFile,
        evaluator: Option<&'a dyn Evaluator>,
        progress: &'a dyn Progress,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        let config = Arc::new(RunConfig::check(settings)?);
        let lock = DirLock::acquire(&config.out)?;
        let path = config.out.join(CONFIG);
        if path.exists() {
            return Err(FileError::Exists { path: config.out.clone() }.into());
        }
        let models = Models::open(&config)?;
        let groups = GroupFile::open(&config.groups, progress, interrupt)?;
        let text = settings.to_toml()?;
        write_atomic(&path, |out| out.write_all(text.as_bytes()))?;
        let log = Log::create(&config.out)?;
        let state = State {
            stage: 0,
            stage_step: 0,
            step: 0,
            position: 0,
            seconds: 0.0,
            best: None,
            log_bytes: log.bytes(),
            optimizer_steps: [0, 0],
            contract: None,
            groups: groups.checksum(),
            config: Checksum::of(text.as_bytes()),
        };
        Self::new(config, models, groups, log, state, None, (evaluator, progress, interrupt), lock)
    }

    /// Goes on with a run from its newest checkpoint.
    ///
    /// # Errors
    /// [`TrainError::Resume`] when it has none, or when its configuration or groups are others.
    pub fn resume(
        run: &Path,
        evaluator: Option<&'a dyn Evaluator>,
        progress: &'a dyn Progress,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        let lock = DirLock::acquire(run)?;
        let path = run.join(CONFIG);
        let text = std::fs::read(&path).map_err(FileError::io("read", &path))?;
        let settings = SettingsFile::read(&path)?;
        let config = Arc::new(RunConfig::check(&settings)?);
        let checkpoint = Checkpoint::newest(run)?;
        let state = checkpoint.state().clone();
        let other = |detail: &str| TrainError::Resume { path: run.to_owned(), detail: detail.to_owned() };
        if state.config != Checksum::of(&text) {
            return Err(other("its config.toml was changed since its last checkpoint"));
        }
        let groups = GroupFile::open(&config.groups, progress, interrupt)?;
        if state.groups != groups.checksum() {
            return Err(other("its group file was changed since its last checkpoint"));
        }
        let mut models = Models::open(&config)?;
        let mut optimizers = None;
        if let Some(stage) = config.stages.get(state.stage) {
            if state.contract.is_some() && models.retriever.is_none() {
                // Only the shape matters here; the weights come from the checkpoint.
                models.begin(&StageConfig {
                    retriever_start: crate::choices::RetrieverStart::Lm,
                    ..stage.clone()
                })?;
            }
            optimizers = Some(checkpoint.restore(&mut models, stage.adamw)?);
        }
        let log = Log::resume(run, state.log_bytes)?;
        Self::new(config, models, groups, log, state, optimizers, (evaluator, progress, interrupt), lock)
    }

    #[allow(clippy::too_many_arguments)]
    fn new(
        config: Arc<RunConfig>,
        models: Models,
        groups: GroupFile,
        log: Log,
        state: State,
        optimizers: Option<Optimizers>,
        (evaluator, progress, interrupt): (Option<&'a dyn Evaluator>, &'a dyn Progress, &'a Interrupt),
        lock: DirLock,
    ) -> Result<Self> {
        if groups.is_empty() {
            return Err(TrainError::setting("groups", format!("{} holds no group", config.groups.display())));
        }
        let count = u32::try_from(groups.len()).unwrap_or(u32::MAX);
        let order = GroupOrder::new(count, config.seed.derive("data"));
        let config_checksum = state.config;
        let targets = config.targets.as_deref().map(Targets::open).transpose()?;
        Ok(Self {
            config,
            config_checksum,
            models,
            targets,
            groups,
            order,
            log,
            state,
            optimizers,
            evaluator,
            progress,
            interrupt,
            on_record: None,
            _lock: lock,
        })
    }

    /// Calls this with every record of the log when it is written.
    #[must_use]
    pub fn on_record(self, on_record: &'a dyn Fn(&Record)) -> Self {
        Self { on_record: Some(on_record), ..self }
    }

    fn push(&mut self, record: &Record) -> Result<()> {
        self.log.push(record)?;
        if let Some(on_record) = self.on_record {
            on_record(record);
        }
        Ok(())
    }

    /// Trains until all stages are done or a stop is asked for.
    pub fn run(mut self) -> Result<Outcome> {
        while let Some(stage) = self.config.stages.get(self.state.stage).cloned() {
            if !self.run_stage(&stage)? {
                return Ok(Outcome::Interrupted { stage: stage.name, step: self.state.stage_step });
            }
        }
        Ok(Outcome::Finished { best: self.state.best.clone() })
    }

    /// Whether the stage came to its end.
    fn run_stage(&mut self, stage: &StageConfig) -> Result<bool> {
        let mut optimizers = match self.optimizers.take() {
            Some(optimizers) if self.state.stage_step > 0 => optimizers,
            _ => {
                self.models.begin(stage)?;
                self.state.contract = self.models.retriever.as_ref().map(|side| side.contract.clone());
                Optimizers::new(stage.adamw)
            }
        };
        self.models.set_trained(stage);
        if self.state.stage_step == 0 && stage.objective.uses_retriever() {
            self.evaluate(stage, 0.0)?;
        }
        let task = stage_task(stage, self.progress);
        task.resume_at(match stage.budget {
            Budget::Steps(_) => self.state.stage_step,
            Budget::Minutes(_) => self.state.seconds as u64,
        });
        while self.part(stage) < 1.0 {
            let before = self.part(stage);
            self.train_step(stage, &mut optimizers, &*task)?;
            let part = self.part(stage);
            if part >= 1.0 {
                break;
            }
            let inside = self.config.evaluation.as_ref().map(|e| e.inside);
            if inside.is_some_and(|i| i.is_due(self.state.stage_step, before, part))
                && stage.objective.uses_retriever()
            {
                self.evaluate(stage, part)?;
            }
            if self.interrupt.requested() {
                self.save(&optimizers)?;
                return Ok(false);
            }
            if self.state.stage_step.is_multiple_of(self.config.checkpoint_every) {
                self.save(&optimizers)?;
            }
        }
        drop(task);
        self.finish_stage(stage)?;
        Ok(true)
    }

    /// Part of the stage that is done, 0 to 1.
    fn part(&self, stage: &StageConfig) -> f64 {
        match stage.budget {
            Budget::Steps(steps) => self.state.stage_step as f64 / steps as f64,
            Budget::Minutes(minutes) => self.state.seconds / (60.0 * minutes),
        }
        .min(1.0)
    }

    fn train_step(
        &mut self,
        stage: &StageConfig,
        optimizers: &mut Optimizers,
        task: &dyn Task,
    ) -> Result<()> {
        let start = Instant::now();
        let part = self.part(stage);
        let mut sum: Option<StepResult> = None;
        let (mut tokens, mut chunks) = (0, Vec::new());
        for _ in 0..stage.accumulate {
            let seed = self.config.seed.derive("batch").derive(&self.state.position.to_string());
            let size = self.groups.header().group_size;
            let groups = step::draw(stage, size, seed, |count| self.next_groups(count))?;
            let (models, targets) = (&self.models, self.targets.as_ref());
            let batch = Step { stage, models, targets, seed, part }.run(&groups)?;
            tokens += batch.tokens;
            chunks.extend(groups.into_iter().flat_map(|g| g.chunks).map(|c| c.id.to_string()));
            sum = Some(match sum {
                Some(mut sum) => {
                    sum.add(batch.result);
                    sum
                }
                None => batch.result,
            });
        }
        let Some(result) = sum else { return Ok(()) };
        let share = 1.0 / stage.accumulate as f64;
        let norms = [result.retriever.norm() * share, result.lm.norm() * share];
        let loss = result.loss * share;
        if let Some((what, value)) = step::diverged(loss, norms, &result.numbers) {
            let checkpoint = self.save(optimizers)?;
            let (stage, step) = (stage.name.clone(), self.state.stage_step + 1);
            let chunks = chunks.join(" ");
            return Err(TrainError::Diverged { stage, step, what, value, chunks, checkpoint });
        }
        let numbers: Vec<(&str, f64)> = result.numbers.iter().map(|(n, v)| (*n, v * share)).collect();
        let rate = stage.schedule.share(self.state.stage_step, part);
        self.update(stage, optimizers, [result.retriever, result.lm], norms, rate, share);
        self.state.stage_step += 1;
        self.state.step += 1;
        let seconds = start.elapsed().as_secs_f64();
        task.advance(match stage.budget {
            Budget::Steps(_) => 1,
            Budget::Minutes(_) => (self.state.seconds + seconds) as u64 - self.state.seconds as u64,
        });
        self.state.seconds += seconds;
        task.remark(&format!("loss {loss:.3}"));
        self.log_step(stage, loss, rate, &numbers, norms, tokens as f64 / seconds)
    }

    fn next_groups(&mut self, count: usize) -> Result<Vec<ChunkGroup>> {
        let groups = (0..count)
            .map(|_| {
                let group = self.order.at(self.state.position);
                self.state.position += 1;
                Ok(self.groups.get(group as usize)?)
            })
            .collect::<Result<_>>()?;
        Ok(groups)
    }

    /// Clips by the global norm and steps. `share` makes a mean of accumulated gradients.
    fn update(
        &mut self,
        stage: &StageConfig,
        optimizers: &mut Optimizers,
        [retriever, lm]: [GradientSet; 2],
        norms: [f64; 2],
        rate: f64,
        share: f64,
    ) {
        let factor = |norm: f64| share * stage.clip.map_or(1.0, |clip| (clip / norm.max(1e-12)).min(1.0));
        if let Some(side) = self.models.retriever.take() {
            let rate = stage.schedule.peak * rate;
            let model = optimizers.retriever.step(side.model, retriever, rate, factor(norms[0]));
            self.models.retriever = Some(RetrieverSide { model, ..side });
        }
        if let Some(side) = self.models.lm.take() {
            let model = optimizers.lm.step(side.lm, lm, stage.lm_rate * rate, factor(norms[1]));
            self.models.lm = Some(LanguageSide { lm: model, ..side });
        }
    }

    fn log_step(
        &mut self,
        stage: &StageConfig,
        loss: f64,
        rate: f64,
        numbers: &[(&str, f64)],
        norms: [f64; 2],
        tokens_per_second: f64,
    ) -> Result<()> {
        let gradient_norms = [("grad_norm_retriever", norms[0]), ("grad_norm_lm", norms[1])];
        let numbers = numbers.iter().chain(&gradient_norms).map(|(n, v)| ((*n).to_owned(), finite(*v)));
        self.push(&Record::Step(StepRecord {
            stage: stage.name.clone(),
            step: self.state.stage_step,
            part: self.part(stage),
            loss: finite(loss),
            learning_rate: stage.schedule.peak * rate,
            tokens_per_second,
            seconds: self.state.seconds,
            peak_memory: peak_memory(),
            numbers: numbers.collect(),
        }))
    }
}

fn stage_task(stage: &StageConfig, progress: &dyn Progress) -> Box<dyn Task> {
    match stage.budget {
        Budget::Steps(steps) => progress.task(&stage.name, "steps", Some(steps)),
        Budget::Minutes(minutes) => {
            progress.task(&stage.name, "seconds", Some((minutes * 60.0).ceil() as u64))
        }
    }
}
