//! Where text, models, indexes and metrics meet, as functions on checked settings. Nothing here prints.
//!
//! | you have | use |
//! | --- | --- |
//! | a corpus that is to become chunks, or chunks that are to become training groups | [`prepare`] |
//! | groups and settings | [`train`] |
//! | a collection with judgements and a system | [`evaluation`] |

mod error;
pub mod evaluation;
pub mod prepare;
pub mod train;

pub use error::{PipelineError, Result};
