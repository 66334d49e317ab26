//! How libraries report long work: they count, the program draws.

/// Receives the progress of long work. Libraries take `&dyn Progress`; programs decide what to show.
pub trait Progress: Send + Sync {
    /// A task begins. `total` is in `unit`s (plural, such as "chunks") where it is known.
    fn task(&self, name: &str, unit: &'static str, total: Option<u64>) -> Box<dyn Task>;
}

/// One task under way; dropping it ends it.
pub trait Task: Send + Sync {
    /// `count` more units are done.
    fn advance(&self, count: u64);

    /// `count` units were done before, in an earlier run: they count, but not for the rate.
    fn resume_at(&self, count: u64) {
        self.advance(count);
    }

    /// A short remark on the current state, such as a loss; replaces the one before.
    fn remark(&self, text: &str);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn task(&self, _name: &str, _unit: &'static str, _total: Option<u64>) -> Box<dyn Task> {
        Box::new(Silent)
    }
}

impl Task for Silent {
    fn advance(&self, _count: u64) {}

    fn remark(&self, _text: &str) {}
}
