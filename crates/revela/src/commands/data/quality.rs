//! Which text is worth learning from, as flags, and what was left out, as lines.

use anyhow::Result;
use clap::Args;
use revela_pipeline::prepare;
use revela_text::{QualityConfig, QualityReport, Reason};

use crate::Context;

/// What of a corpus is left out.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "What is worth learning from")]
pub(crate) struct QualityArgs {
    /// Keep what this reason would leave out: vendored, lock-file, log, machine-written, minified, licence,
    /// boilerplate, data-like, repetitive, fragment, near-copy, document-share, package-share; several with
    /// commas between.
    #[arg(long, value_name = "REASON", value_delimiter = ',')]
    keep: Vec<Reason>,
    /// Leave nothing out.
    #[arg(long, conflicts_with = "keep")]
    keep_all: bool,
    /// Fewest words of a chunk; fewer are a fragment.
    #[arg(long, value_name = "WORDS", default_value_t = QualityConfig::default().min_words)]
    min_words: usize,
    /// Share of three-word runs in both of two chunks, of those in either, from which on the second is a near-copy.
    #[arg(long, value_name = "SHARE", default_value_t = QualityConfig::default().near_copy)]
    near_copy: f32,
    /// Largest share of the chunks that one package, the first folder of a path, may have.
    #[arg(long, value_name = "SHARE", default_value_t = QualityConfig::default().package_share)]
    max_share: f64,
    /// Largest share of the chunks that one document may have.
    #[arg(long, value_name = "SHARE", default_value_t = QualityConfig::default().document_share)]
    max_document_share: f64,
}

impl QualityArgs {
    /// The settings, checked.
    pub(crate) fn config(&self) -> Result<QualityConfig> {
        let config = QualityConfig {
            keep: if self.keep_all { Reason::all().collect() } else { self.keep.iter().copied().collect() },
            min_words: self.min_words,
            near_copy: self.near_copy,
            package_share: self.max_share,
            document_share: self.max_document_share,
            ..QualityConfig::default()
        };
        config.check()?;
        Ok(config)
    }
}

/// Shows what was left out, reason by reason.
///
/// # Errors
/// When nothing was kept.
pub(crate) fn show(report: &QualityReport, context: &Context) -> Result<()> {
    show_lines(&prepare::left_out(report)?, context);
    Ok(())
}

/// Shows the lines of such a report, if there are any.
pub(super) fn show_lines(lines: &[String], context: &Context) {
    if !lines.is_empty() {
        context
            .progress
            .line("left out as not worth learning from (--keep REASON keeps it, --keep-all all):");
        lines.iter().for_each(|line| context.progress.line(&format!("  {line}")));
    }
}
