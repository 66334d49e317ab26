//! In-batch attention: a language model whose layers read the other chunks of the batch, as far as the retriever
//! finds them similar.
//!
//! | module | step |
//! | --- | --- |
//! | [`weights`] | similarities of queries and passages to the weights W |
//! | [`reading`] | what can be chosen: joint reading, or the published cross path |
//! | [`joint`] | one layer's attention by joint reading |
//! | [`published`] | one layer's cross path as published (Cai et al., arXiv:2506.16552, section 3) |
//! | [`forward`] | both streams through all layers |

pub mod forward;
pub mod joint;
pub mod published;
pub mod reading;
#[cfg(test)]
mod testing;
pub mod weights;
