use super::*;
use crate::inbatch::reading::ValueNorm;

fn settings() -> Settings {
    Settings {
        groups: Some("g.jsonl".into()),
        out: Some("run".into()),
        lm: Some("lm".into()),
        retriever: Some("encoder".into()),
        steps: Some(10),
        ..Settings::default()
    }
}

fn resolve(change: impl FnOnce(&mut Settings)) -> Result<RunConfig> {
    let mut settings = settings();
    change(&mut settings);
    RunConfig::check(&SettingsFile::default().complete(&settings).unwrap())
}

#[test]
fn joint_reading_is_the_default_and_the_published_recipe_can_be_had() {
    let config = resolve(|_| {}).unwrap();
    let stage = &config.stages[0];
    assert_eq!(stage.name, "revela");
    let ObjectiveConfig::Revela(RevelaConfig { tau, terms, read, query, .. }) = stage.objective else {
        panic!()
    };
    assert_eq!((tau.start, tau.end, terms, query), (0.05, 0.05, LossTerms::InBatch, QueryText::FirstHalf));
    assert_eq!(read, Reading::Joint.into());
    assert_eq!((stage.schedule.peak, stage.schedule.warmup), (1e-4, 100));
    assert_eq!(config.lora, None);
    let config = resolve(|s| s.reading = Some(ReadingKind::Published)).unwrap();
    let ObjectiveConfig::Revela(RevelaConfig { tau, read, .. }) = config.stages[0].objective else {
        panic!()
    };
    assert_eq!((tau.start, tau.end), (1e-4, 1e-4));
    assert_eq!(read, Reading::Published(ValueNorm::Mean).into());
}

#[test]
fn impossible_settings_are_named() {
    let message = |change: fn(&mut Settings)| resolve(change).unwrap_err().to_string();
    assert!(message(|s| s.groups = None).contains("setting groups"));
    assert!(message(|s| s.steps = None).contains("steps or minutes"));
    assert!(message(|s| s.minutes = Some(1.0)).contains("choose one"));
    assert!(message(|s| s.learning_rate = Some(-1.0)).contains("learning_rate"));
    assert!(message(|s| s.tau = Some(0.0)).contains("setting tau"));
    assert!(message(|s| s.batch_groups = Some(0)).contains("batch_groups"));
    assert!(message(|s| s.beta2 = Some(1.0)).contains("beta2"));
    assert!(message(|s| (s.adaptation, s.lora_r) = (Some(Adaptation::Lora), Some(0))).contains("lora"));
    assert!(message(|s| s.retriever = None).contains("retriever_start"));
    assert!(message(|s| (s.lm, s.objective) = (None, Some(ObjectiveKind::Lm))).contains("setting lm"));
    assert!(
        message(|s| (s.objective, s.crop_most) = (Some(ObjectiveKind::Contrastive), Some(0.1)))
            .contains("crop_most")
    );
}

#[test]
fn a_contrastive_stage_needs_no_language_model() {
    resolve(|s| (s.lm, s.objective) = (None, Some(ObjectiveKind::Contrastive))).unwrap();
}

#[test]
fn evaluations_are_spread_evenly() {
    let count = |inside: EvaluateInside, steps: u64| {
        let part = |step: u64| step as f64 / steps as f64;
        (1..steps).filter(|&step| inside.is_due(step, part(step - 1), part(step))).count()
    };
    assert_eq!(count(EvaluateInside::Every(10), 35), 3);
    assert_eq!(count(EvaluateInside::Times(3), 35), 3);
    assert_eq!(count(EvaluateInside::Times(0), 35), 0);
    let both = |s: &mut Settings| {
        (s.eval_data, s.eval_times, s.eval_every) = (Some("data".into()), Some(2), Some(100));
    };
    assert!(resolve(both).unwrap_err().to_string().contains("choose one"));
}

#[test]
fn annealing_is_geometric() {
    let tau = Annealed { start: 0.1, end: 0.001 };
    assert!((tau.at(0.5) - 0.01).abs() < 1e-12);
    assert_eq!((tau.at(-1.0), tau.at(2.0)), (0.1, tau.at(1.0)));
}
