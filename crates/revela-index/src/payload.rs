//! What is known of a passage beside its text, as shards keep it.

pub use revela_search::{Payload, Predicate, Scalar};

use crate::error::Error;

/// The payloads of a shard's rows while it is filled: JSON texts one after the other, nothing for empty ones.
#[derive(Debug, Default)]
pub(crate) struct PayloadColumn {
    /// Where each row's text ends.
    ends: Vec<u32>,
    bytes: Vec<u8>,
}

impl PayloadColumn {
    pub(crate) fn push(&mut self, payload: Option<&Payload>) -> Result<(), Error> {
        let too_large = |detail: &str| Error::Shape { what: "a shard".to_owned(), detail: detail.to_owned() };
        if let Some(payload) = payload.filter(|payload| !payload.is_empty()) {
            serde_json::to_writer(&mut self.bytes, payload).map_err(|e| too_large(&e.to_string()))?;
        }
        let end = u32::try_from(self.bytes.len());
        self.ends.push(end.map_err(|_| too_large("its payloads have more than 4 GB; use smaller shards"))?);
        Ok(())
    }

    /// Offsets with the leading zero, and the texts; nothing where no row has a payload.
    pub(crate) fn sections(&self) -> Option<(Vec<u32>, &[u8])> {
        let offsets = || std::iter::once(0).chain(self.ends.iter().copied()).collect();
        (!self.bytes.is_empty()).then(|| (offsets(), self.bytes.as_slice()))
    }
}
