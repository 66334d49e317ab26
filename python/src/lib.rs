//! `_revela`: the library crates as Python sees them. `python/revela` is what people use.
//!
//! Numbers cross the border as bytes, and Python makes arrays of them, so that numpy is needed by Python alone. No
//! call holds the interpreter while it works, and no Python code runs on a thread that Revela made.

mod call;
mod collection;
mod document;
mod encoder;
mod error;
mod evaluation;
mod hit;
mod json;
mod numbers;
mod options;
mod pipeline;
mod pool;
mod query;

use pyo3::prelude::*;

/// Revela's compiled part; use the package `revela`.
#[pymodule]
fn _revela(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("RevelaError", module.py().get_type::<error::RevelaError>())?;
    module.add_class::<encoder::PyEncoder>()?;
    module.add_class::<collection::PyCollection>()?;
    module.add_class::<hit::PyHit>()?;
    module.add_class::<evaluation::PyTestCollection>()?;
    module.add_class::<evaluation::PyReport>()?;
    module.add_function(wrap_pyfunction!(evaluation::compare, module)?)?;
    module.add_function(wrap_pyfunction!(pipeline::chunk, module)?)?;
    module.add_function(wrap_pyfunction!(pipeline::group, module)?)?;
    module.add_function(wrap_pyfunction!(pipeline::train_run, module)?)?;
    Ok(())
}
