//! Whole runs of tiny models: the same seed gives the same bytes, stopping and resuming equals a straight
//! run, and what goes wrong is said and loses nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burn::tensor::Device;
use revela_base::artifact::IfExists;
use revela_base::checksum::Checksum;
use revela_base::embed::{Embedder, TextKind};
use revela_base::interrupt::Interrupt;
use revela_base::progress::{Progress, Silent, Task};
use revela_base::seed::Seed;
use revela_model::causal_lm::CausalLm;
use revela_model::config::DecoderConfig;
use revela_model::encoder::Encoder;
use revela_model::init::draw;
use revela_model::language_model::LanguageModel;
use revela_model::params::named;
use revela_model::testing::{tiny_config, tiny_encoder};
use revela_model::weights::{Precision, to_safetensors};
use revela_text::{ChunkGroup, ChunkId, ChunkerConfig, GroupChunk, GroupWriter, GroupsHeader};
use revela_train::log::{self, Record};
use revela_train::settings::{Settings, SettingsFile};
use revela_train::trainer::{Evaluator, Outcome, Trainer};
use revela_train::{Result, TrainError};

struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { root: tempfile::tempdir().unwrap() };
        let encoder = tiny_encoder();
        let config =
            DecoderConfig { vocab_size: encoder.tokenizer.vocabulary(), tied: true, ..tiny_config() };
        let lm = draw(CausalLm::zeros(Arc::new(config), &Device::flex()), Seed(3), &Device::flex());
        let lm = LanguageModel::new(lm, encoder.tokenizer.clone()).unwrap();
        lm.save(&place.path("lm"), Precision::F32, IfExists::Refuse).unwrap();
        encoder.save(&place.path("encoder"), Precision::F32, IfExists::Refuse).unwrap();
        place.write_groups(7);
        place
    }

    fn write_groups(&self, groups: u32) {
        let header = GroupsHeader {
            policy: "random".into(),
            settings: serde_json::Value::Null,
            seed: Seed(1),
            group_size: 3,
            chunker: ChunkerConfig::default(),
            sources: Vec::new(),
        };
        let mut writer = GroupWriter::create(&self.path("groups.jsonl"), header).unwrap();
        let words = ["fn", "text", "that", "is", "longer", "so", "batches", "are", "sorted", "by", "length"];
        for g in 0..groups {
            let chunk = |n: u32| {
                let text: Vec<&str> =
                    (0..12).map(|i| words[(g * 5 + n * 3 + i * (n + 1)) as usize % 11]).collect();
                GroupChunk {
                    id: ChunkId { document: format!("d{g}"), ordinal: n },
                    title: String::new(),
                    text: text.join(" "),
                    format: None,
                }
            };
            writer.push(&ChunkGroup { chunks: (0..3).map(chunk).collect() }).unwrap();
        }
        writer.finish().unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn settings(&self, out: &str, rest: &str) -> SettingsFile {
        let text = format!(
            "groups = {:?}\nlm = {:?}\nretriever = {:?}\nout = {:?}\ntau = 0.05\n\
             checkpoint_every = 2\nwarmup_steps = 2\n{rest}",
            self.path("groups.jsonl"),
            self.path("lm"),
            self.path("encoder"),
            self.path(out)
        );
        let file = SettingsFile::parse(&text, Path::new("test.toml")).unwrap();
        file.complete(&Default::default()).unwrap()
    }

    fn start(&self, out: &str, rest: &str) -> Result<Outcome> {
        Trainer::start(&self.settings(out, rest), None, &Silent, &Interrupt::new())?.run()
    }

    fn resume(&self, out: &str) -> Result<Outcome> {
        Trainer::resume(&self.path(out), None, &Silent, &Interrupt::new())?.run()
    }

    /// Of the models that a stage made.
    fn weights(&self, out: &str, stage: &str) -> Checksum {
        let dir = self.path(out).join("stages").join(stage);
        let mut bytes = Vec::new();
        for file in ["encoder/model.safetensors", "lm/model.safetensors"] {
            bytes.extend(std::fs::read(dir.join(file)).unwrap_or_default());
        }
        assert!(!bytes.is_empty());
        Checksum::of(&bytes)
    }
}

/// Asks for a stop when the work has advanced this far.
struct StopAfter {
    steps: AtomicU64,
    interrupt: Interrupt,
}

impl StopAfter {
    fn with_interrupt(steps: u64) -> (Stop, Interrupt) {
        let interrupt = Interrupt::new();
        (Stop(Arc::new(Self { steps: AtomicU64::new(steps), interrupt: interrupt.clone() })), interrupt)
    }
}

struct Stop(Arc<StopAfter>);

impl Progress for Stop {
    fn task(&self, _name: &str, unit: &'static str, _total: Option<u64>) -> Box<dyn Task> {
        if unit == "steps" { Box::new(StopTask(self.0.clone())) } else { Silent.task("", unit, None) }
    }
}

struct StopTask(Arc<StopAfter>);

impl Task for StopTask {
    fn advance(&self, count: u64) {
        let left = self.0.steps.load(Ordering::Relaxed);
        if count > 0 && left <= count {
            self.0.interrupt.request();
        }
        self.0.steps.store(left.saturating_sub(count), Ordering::Relaxed);
    }

    fn remark(&self, _text: &str) {}
}

const STAGES: &str = "
[[stage]]
name = \"warm\"
objective = \"lm\"
batch_groups = 2
steps = 3
[[stage]]
name = \"crops\"
objective = \"contrastive\"
retriever_start = \"lm\"
pooling = \"mean\"
batch_groups = 3
steps = 4
[[stage]]
name = \"joint\"
objective = \"revela\"
batch_groups = 2
accumulate = 2
tau_end = 0.02
steps = 5
";

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let place = Place::new();
    place.start("a", STAGES).unwrap();
    place.start("b", STAGES).unwrap();
    place.start("c", &format!("seed = 43\n{STAGES}")).unwrap();
    for stage in ["warm", "crops", "joint"] {
        assert_eq!(place.weights("a", stage), place.weights("b", stage), "{stage}");
        assert_ne!(place.weights("a", stage), place.weights("c", stage), "{stage}");
    }
    assert_ne!(place.weights("a", "crops"), place.weights("a", "joint"));
}

#[test]
fn stopping_and_resuming_equals_a_straight_run() {
    let place = Place::new();
    place.start("straight", STAGES).unwrap();
    for stop_after in 1..12 {
        let out = format!("stopped-{stop_after}");
        let (stop, interrupt) = StopAfter::with_interrupt(stop_after);
        let trainer = Trainer::start(&place.settings(&out, STAGES), None, &stop, &interrupt).unwrap();
        let outcome = trainer.run().unwrap();
        assert!(matches!(outcome, Outcome::Interrupted { .. }), "{stop_after}: {outcome:?}");
        assert_eq!(place.resume(&out).unwrap(), Outcome::Finished { best: None });
        for stage in ["warm", "crops", "joint"] {
            assert_eq!(place.weights(&out, stage), place.weights("straight", stage), "{stop_after}: {stage}");
        }
        let steps = |run: &str| {
            let records = log::read(&place.path(run)).unwrap();
            let step = |r: &Record| match r {
                Record::Step(s) => Some((s.stage.clone(), s.step, s.loss)),
                _ => None,
            };
            records.iter().filter_map(step).collect::<Vec<_>>()
        };
        assert_eq!(steps(&out), steps("straight"), "the log tells one story");
    }
}

#[test]
fn a_killed_run_goes_on_from_its_last_checkpoint() {
    let place = Place::new();
    place.start("straight", STAGES).unwrap();
    let (stop, interrupt) = StopAfter::with_interrupt(5);
    Trainer::start(&place.settings("killed", STAGES), None, &stop, &interrupt).unwrap().run().unwrap();
    // What a kill in the middle of writing leaves: a damaged newest checkpoint, a half-written log line.
    let checkpoints = place.path("killed").join("checkpoints");
    let mut dirs: Vec<PathBuf> =
        std::fs::read_dir(&checkpoints).unwrap().map(|e| e.unwrap().path()).collect();
    dirs.sort();
    let weights = dirs.last().unwrap().join("lm.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let log = place.path("killed").join(log::FILE);
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, format!("{text}{{\"record\":\"st")).unwrap();
    place.resume("killed").unwrap();
    assert_eq!(place.weights("killed", "joint"), place.weights("straight", "joint"));
    log::read(&place.path("killed")).unwrap();
}

#[test]
fn adapters_are_trained_saved_and_resumed_and_pieces_drop_the_same() {
    let place = Place::new();
    let lora = "adaptation = \"lora\"\nlora_r = 4\nlora_targets = [\"q_proj\", \"up_proj\"]\nsteps = 6\n";
    place.start("straight", lora).unwrap();
    let (stop, interrupt) = StopAfter::with_interrupt(3);
    Trainer::start(&place.settings("stopped", lora), None, &stop, &interrupt).unwrap().run().unwrap();
    place.resume("stopped").unwrap();
    assert_eq!(place.weights("stopped", "revela"), place.weights("straight", "revela"));
    place.start("pieces", &format!("{lora}recompute = 2\n")).unwrap();
    let loss = |run: &str| {
        let last = log::read(&place.path(run)).unwrap().pop();
        let Some(Record::Step(step)) = last else { panic!("{last:?}") };
        step.loss.unwrap()
    };
    assert!((loss("pieces") - loss("straight")).abs() < 1e-4, "{} {}", loss("pieces"), loss("straight"));
    let adapter = place.path("straight").join("stages/revela/adapter/adapter_config.json");
    assert!(std::fs::read_to_string(adapter).unwrap().contains("FEATURE_EXTRACTION"));
    let open = |dir: PathBuf| Encoder::open(&dir, Precision::F32, &Device::flex()).unwrap();
    let merged = open(place.path("straight").join("stages/revela/encoder"));
    let base = open(place.path("encoder"));
    let bytes = |e: &Encoder, wanted: &str| {
        let one = named(&e.model).into_iter().filter(|(name, _)| name.contains(wanted)).collect();
        Checksum::of(&to_safetensors(one, Precision::F32).unwrap())
    };
    assert_ne!(bytes(&merged, "q_proj"), bytes(&base, "q_proj"));
    assert_eq!(bytes(&merged, "k_proj"), bytes(&base, "k_proj"));
}

#[test]
fn a_retriever_of_any_family_learns_beside_another_language_model() {
    let place = Place::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../revela-model/tests/golden");
    let open = |dir: &Path| Encoder::open(dir, Precision::F32, &Device::flex()).unwrap();
    let vectors = |e: &Encoder| e.embed(TextKind::Passage, &["text that is longer", "batches"]).unwrap();
    for family in ["bert", "distilbert", "modernbert", "qwen3", "llama-adapter"] {
        let base = golden.join(family);
        for (kind, rest) in [("full", ""), ("lora", "adaptation = \"lora\"\nlora_r = 2\n")] {
            let run = format!("{family}-{kind}");
            let settings = place.settings(&run, &format!("{rest}steps = 2\n"));
            let flags = Settings { retriever: Some(base.clone()), ..Settings::default() };
            let settings = settings.complete(&flags).unwrap();
            Trainer::start(&settings, None, &Silent, &Interrupt::new()).unwrap().run().unwrap();
            let stage = place.path(&run).join("stages/revela");
            let trained = open(&stage.join("encoder"));
            assert_ne!(vectors(&trained), vectors(&open(&base)), "{run}");
            if kind == "lora" && family != "llama-adapter" {
                let adapted = vectors(&open(&stage.join("adapter")));
                let far =
                    adapted.iter().zip(vectors(&trained)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(far < 1e-5, "{run}: base and adapter differ from the merged encoder by {far}");
            }
        }
    }
}

/// Falls with every evaluation, so that the start is the best.
struct Falling(AtomicU64);

impl Evaluator for Falling {
    fn metric(&self) -> String {
        "ndcg@10".into()
    }

    fn score(&self, _: &Encoder) -> std::result::Result<f64, Box<dyn std::error::Error + Send + Sync>> {
        Ok(1.0 / (1.0 + self.0.fetch_add(1, Ordering::Relaxed) as f64))
    }
}

#[test]
fn the_held_out_score_decides_what_is_kept() {
    let place = Place::new();
    let evaluator = Falling(AtomicU64::new(0));
    let settings = place.settings("run", "steps = 4\neval_data = \"unused\"\neval_every = 2\n");
    let interrupt = Interrupt::new();
    let trainer = Trainer::start(&settings, Some(&evaluator), &Silent, &interrupt).unwrap();
    let Outcome::Finished { best: Some(best) } = trainer.run().unwrap() else { panic!("not finished") };
    assert_eq!((best.step, best.score), (0, 1.0), "nothing beat the start");
    let kept = Encoder::open(&place.path("run").join("best"), Precision::F32, &Device::flex()).unwrap();
    let start = Encoder::open(&place.path("encoder"), Precision::F32, &Device::flex()).unwrap();
    let bytes = |e: &Encoder| Checksum::of(&to_safetensors(named(&e.model), Precision::F32).unwrap());
    assert_eq!(bytes(&kept), bytes(&start));
    let evaluations = log::read(&place.path("run")).unwrap();
    let evaluations = evaluations.iter().filter(|r| matches!(r, Record::Evaluation(_))).count();
    assert_eq!(evaluations, 3, "start, step 2, end");
}

#[test]
fn gradient_reaches_the_retriever() {
    let place = Place::new();
    place.start("run", "steps = 2\nbatch_groups = 2\n").unwrap();
    for record in log::read(&place.path("run")).unwrap() {
        if let Record::Step(step) = record {
            assert!(step.numbers["grad_norm_retriever"].unwrap() > 0.0);
            assert!(step.numbers["grad_norm_lm"].unwrap() > 0.0);
            let entropy = step.numbers["weights_entropy"].unwrap();
            assert!(entropy > 0.0 && entropy <= 5.0_f64.ln() + 1e-6);
        }
    }
}

#[test]
fn half_precision_learns_what_single_precision_learns() {
    let place = Place::new();
    let losses = |run: &str, dtype: &str| {
        place.start(run, &format!("dtype = \"{dtype}\"\nsteps = 3\nbatch_groups = 2\n")).unwrap();
        let records = log::read(&place.path(run)).unwrap();
        let loss = |r: &Record| match r {
            Record::Step(step) => step.loss,
            _ => None,
        };
        records.iter().filter_map(loss).collect::<Vec<_>>()
    };
    let (single, half) = (losses("single", "f32"), losses("half", "bf16"));
    assert_eq!(half.len(), 3);
    for (half, single) in half.iter().zip(&single) {
        assert!((half - single).abs() < 0.02 * single, "{half} {single}");
    }
}

#[test]
fn frozen_models_stay() {
    let place = Place::new();
    let start = std::fs::read(place.path("lm/model.safetensors")).unwrap();
    place.start("run", "steps = 2\nfrozen = \"lm\"\n").unwrap();
    assert!(std::fs::read(place.path("lm/model.safetensors")).unwrap() == start);
    assert!(!place.path("run/stages/revela/lm").exists(), "what nothing trained is not written again");
    let encoder = std::fs::read(place.path("run/stages/revela/encoder/model.safetensors")).unwrap();
    assert!(encoder != std::fs::read(place.path("encoder/model.safetensors")).unwrap());
}

#[test]
fn divergence_stops_with_the_chunks_and_a_checkpoint() {
    let place = Place::new();
    let error = place.start("run", "steps = 50\nlearning_rate = 1e30\nclip = 0\n").unwrap_err();
    let TrainError::Diverged { step, what, chunks, checkpoint, .. } = &error else { panic!("{error}") };
    assert!(what.contains("loss") || what.contains("gradient"), "{what}");
    assert!(*step > 1 && chunks.contains("#0"), "{error}");
    assert!(checkpoint.join("retriever.safetensors").exists());
}

#[test]
fn bad_input_is_said_and_loses_nothing() {
    let place = Place::new();
    let message = |out: &str, rest: &str| place.start(out, rest).unwrap_err().to_string();

    place.start("done", "steps = 1\n").unwrap();
    assert!(message("done", "steps = 1\n").contains("already exists"));
    let lock = revela_base::file::DirLock::acquire(&place.path("busy")).unwrap();
    assert!(message("busy", "steps = 1\n").contains("in use by another process"));
    drop(lock);

    let resume = |run: &str| place.resume(run).unwrap_err().to_string();
    assert!(resume("nowhere").contains("config.toml"));
    place.write_groups(8);
    assert!(resume("done").contains("group file was changed"));
    place.write_groups(0);
    assert!(message("empty", "steps = 1\n").contains("no group"));
    place.write_groups(7);

    let lm = place.path("lm/model.safetensors");
    let whole = std::fs::read(&lm).unwrap();
    std::fs::write(&lm, &whole[..whole.len() / 2]).unwrap();
    assert!(message("cut", "steps = 1\n").contains("model.safetensors"));
    std::fs::write(&lm, &whole).unwrap();
    std::fs::remove_file(place.path("groups.jsonl")).unwrap();
    assert!(message("none", "steps = 1\n").contains("groups.jsonl"));
}
