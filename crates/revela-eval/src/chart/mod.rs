//! Charts as SVG text: self-contained, sharp at any size, readable on light and dark pages.
//!
//! A chart is plain data with a `to_svg`. What it draws never fails: numbers that cannot be shown (not
//! finite, or not positive on a logarithmic axis) are left out and counted under the chart, and a chart
//! without any says so. Points and bars carry their values as tooltips.
//!
//! The drawing is ours because the crates for it do not fit: `plotters` places everything on whole
//! pixels with fixed colours, so its charts are ragged when scaled and unreadable on a dark page;
//! `charming` needs a JavaScript engine. The markup itself is made, and escaped, by `maud`.

mod bar;
mod frame;
mod line;
mod scale;
mod scatter;
mod theme;

use std::path::Path;

use revela_base::file::write_atomic;

use crate::error::EvalError;

pub use bar::{BarChart, BarSeries};
pub use line::{Level, LineChart, Point, Series};
pub use scale::{Axis, Scale};
pub use scatter::{QueryPoint, ScatterChart};

/// A chart's SVG text. Only charts make it, so that a page can hold it as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Svg(String);

impl Svg {
    /// The text of a file of its own.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Writes it as a file of its own; it appears under its name when it is whole.
    ///
    /// # Errors
    /// A file system error.
    pub fn write(&self, path: &Path) -> Result<(), EvalError> {
        Ok(write_atomic(path, |out| out.write_all(self.0.as_bytes()))?)
    }
}

#[cfg(test)]
mod tests;
