//! What a recipe says: how a corpus becomes a retriever, as shares of the time that it is given.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use revela_train::choices::QueryText;
use revela_train::settings::{Settings, SettingsFile, StageSettings};
use serde::{Deserialize, Serialize};

/// The recipes that come with the program, by name.
const BUILT_IN: [(&str, &str); 1] = [("adapt", include_str!("../../../../recipes/adapt.toml"))];

/// A recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// What it is for.
    pub(crate) about: String,
    /// How documents are cut.
    pub(crate) chunks: Chunks,
    /// Which chunks train together.
    pub(crate) groups: Groups,
    /// What is kept from training to choose by.
    pub(crate) held_out: HeldOutShare,
    /// What a language model is asked before training, where a stage needs that.
    pub(crate) teach: Option<Teach>,
    /// Settings of all stages.
    pub(crate) training: Settings,
    /// The stages.
    pub(crate) stage: Vec<Stage>,
    /// Weights of the trained retriever beside the one it began with, to choose from.
    pub(crate) blend: Vec<f64>,
}

/// See [`Recipe::chunks`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Chunks {
    /// Words, at most.
    pub(crate) size: usize,
}

/// See [`Recipe::groups`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Groups {
    /// Chunks.
    pub(crate) size: usize,
    /// How often the corpus is gone through.
    pub(crate) passes: usize,
}

/// See [`Recipe::held_out`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeldOutShare {
    /// Share of the documents.
    pub(crate) share: f64,
    /// Queries, at most.
    pub(crate) queries: usize,
    /// Passages, at most.
    pub(crate) passages: usize,
}

/// See [`Recipe::teach`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Teach {
    /// Share of the minutes.
    pub(crate) share: f64,
    /// Which texts are predicted.
    pub(crate) query_text: QueryText,
    /// Longest text in the language model's tokens.
    pub(crate) lm_max_length: usize,
}

/// A stage of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stage {
    /// Shown in logs and reports.
    pub(crate) name: String,
    /// Share of the minutes.
    pub(crate) share: f64,
    /// What it sets.
    pub(crate) settings: Settings,
}

impl Recipe {
    /// A recipe of the program by its name, or a file.
    pub(crate) fn read(name: &Path) -> Result<Self> {
        let known = BUILT_IN.iter().find(|(known, _)| name.as_os_str() == *known);
        let text = match known {
            Some((_, text)) => (*text).to_owned(),
            None => std::fs::read_to_string(name).with_context(|| {
                let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
                format!("cannot read the recipe {}; known by name: {}", name.display(), names.join(", "))
            })?,
        };
        let recipe: Self =
            toml::from_str(&text).with_context(|| format!("in the recipe {}", name.display()))?;
        recipe.check().with_context(|| format!("in the recipe {}", name.display()))?;
        Ok(recipe)
    }

    fn check(&self) -> Result<()> {
        let shares = self.stage.iter().map(|s| s.share).chain(self.teach.map(|t| t.share));
        let is_share = |share: f64| share > 0.0 && share <= 1.0;
        if self.stage.is_empty() || !shares.clone().all(is_share) || shares.sum::<f64>() > 1.0 {
            bail!("its stages and teach need shares above 0 that are 1 together at most");
        }
        if !(self.held_out.share > 0.0 && self.held_out.share < 1.0) {
            bail!("held_out.share {} is impossible; between 0 and 1", self.held_out.share);
        }
        if self.blend.is_empty() || self.blend.iter().any(|w| !(*w > 0.0 && *w <= 1.0)) {
            bail!("blend needs weights above 0 and at most 1");
        }
        Ok(())
    }

    /// The settings of training.
    pub(crate) fn settings(&self, minutes: f64, paths: &Settings) -> Result<SettingsFile> {
        let stages = self.stage.iter().map(|stage| StageSettings {
            name: stage.name.clone(),
            settings: Settings { minutes: Some(stage.share * minutes), ..stage.settings.clone() },
        });
        let file = SettingsFile { common: self.training.clone(), stages: stages.collect() };
        Ok(file.complete(paths)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipes_of_the_program_can_be_read() {
        for (name, _) in BUILT_IN {
            let recipe = Recipe::read(Path::new(name)).unwrap();
            let paths = Settings {
                groups: Some("g".into()),
                out: Some("o".into()),
                lm: Some("lm".into()),
                retriever: Some("r".into()),
                ..Settings::default()
            };
            let settings = recipe.settings(10.0, &paths).unwrap();
            revela_train::config::RunConfig::check(&settings).unwrap();
        }
    }

    #[test]
    fn what_no_recipe_can_be_is_said() {
        let (_, text) = BUILT_IN[0];
        let message = |from: &str, to: &str| {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("r.toml");
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            format!("{:#}", Recipe::read(&path).unwrap_err())
        };
        assert!(message("about", "abuot").contains("abuot"));
        assert!(message("blend = [", "blend = [0.0, ").contains("blend"));
        assert!(format!("{:#}", Recipe::read(Path::new("no-such")).unwrap_err()).contains("adapt"));
    }
}
