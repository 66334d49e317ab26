//! What counts as worth learning from.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::reason::Reason;
use crate::error::TextError;

/// Which texts are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QualityConfig {
    /// Reasons that do not count.
    pub keep: BTreeSet<Reason>,
    /// Chunks with fewer [`Words`](crate::Words) are fragments.
    pub min_words: usize,
    /// From this estimated resemblance on (the share of three-word runs in either that are in both), a chunk is
    /// a near-copy of one before it.
    pub near_copy: f32,
    /// The largest share of all chunks that one document may have; not bounded where there are fewer than
    /// twice as many documents as could have it.
    pub document_share: f64,
    /// The largest share of all chunks that one package may have; not bounded where there are fewer than twice
    /// as many packages as could have it, as where the folders of one project look like packages.
    pub package_share: f64,
    /// No document or package is bounded below this many chunks: small corpora need all they have.
    pub share_floor: usize,
}

impl Default for QualityConfig {
    fn default() -> Self {
        Self {
            keep: BTreeSet::new(),
            min_words: 15,
            near_copy: 0.7,
            document_share: 0.005,
            package_share: 0.03,
            share_floor: 500,
        }
    }
}

impl QualityConfig {
    /// The settings under which nothing is left out.
    pub fn keep_all() -> Self {
        Self { keep: Reason::all().collect(), ..Self::default() }
    }

    /// Whether a reason counts.
    pub fn counts(&self, reason: Reason) -> bool {
        !self.keep.contains(&reason)
    }

    /// Whether nothing is left out.
    pub fn keeps_all(&self) -> bool {
        Reason::all().all(|reason| !self.counts(reason))
    }

    /// Checks that the values can work.
    ///
    /// # Errors
    /// [`TextError::Setting`] for the first that cannot.
    pub fn check(&self) -> Result<(), TextError> {
        // Below a half, hashes meet too seldom for near-copies to be found.
        if !(0.5..=1.0).contains(&self.near_copy) {
            let detail = format!("{} is not from 0.5 to 1", self.near_copy);
            return Err(TextError::setting("resemblance of near-copies", detail));
        }
        for (what, share) in
            [("share of a document", self.document_share), ("share of a package", self.package_share)]
        {
            if !(share > 0.0 && share <= 1.0) {
                return Err(TextError::setting(what, format!("{share} is not above 0 and at most 1")));
            }
        }
        if self.share_floor == 0 {
            let detail = "0 chunks could leave nothing; give 1 or more";
            return Err(TextError::setting("chunks that shares leave", detail));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_settings_are_refused() {
        let good = QualityConfig::default();
        good.check().unwrap();
        for wrong in [
            QualityConfig { near_copy: 0.4, ..good.clone() },
            QualityConfig { near_copy: f32::NAN, ..good.clone() },
            QualityConfig { document_share: 0.0, ..good.clone() },
            QualityConfig { package_share: 1.1, ..good.clone() },
            QualityConfig { share_floor: 0, ..good.clone() },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        assert!(serde_json::from_str::<QualityConfig>("{\"min_word\": 3}").is_err());
        let text = serde_json::to_string(&QualityConfig::keep_all()).unwrap();
        assert!(serde_json::from_str::<QualityConfig>(&text).unwrap().keeps_all());
        assert!(!good.keeps_all());
    }
}
