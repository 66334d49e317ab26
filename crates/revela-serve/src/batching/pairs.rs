//! The reranker, with its queue.

use std::sync::Arc;
use std::time::Instant;

use revela_base::rerank::Reranker;

use super::counted::LaneKind;
use super::{Answer, Core, Counted};
use crate::error::ApiError;
use crate::metrics::{Stage, lock};

/// The way to the reranker; its pairs wait beside the texts that are to be embedded, for the same thread.
pub(crate) struct PairBatcher {
    core: Arc<Core>,
    reranker: Arc<dyn Reranker>,
}

impl PairBatcher {
    pub(super) fn new(core: Arc<Core>, reranker: Arc<dyn Reranker>) -> Self {
        Self { core, reranker }
    }

    pub(crate) fn reranker(&self) -> &Arc<dyn Reranker> {
        &self.reranker
    }

    /// Pairs that wait.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.core.shared.lanes).lane(LaneKind::Pairs).texts
    }

    /// Refuses at once where nothing more can wait.
    pub(crate) fn check_room(&self) -> Result<(), ApiError> {
        self.core.shared.check_room(LaneKind::Pairs)
    }

    /// Scores pairs, one number each. Dropping the future takes them out of the queue.
    pub(crate) async fn scores(&self, counted: Counted, deadline: Instant) -> Answer {
        self.core.shared.answer(counted, deadline, [Stage::RerankWait, Stage::Rerank]).await
    }
}
