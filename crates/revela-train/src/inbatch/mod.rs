//! In-batch attention (Cai et al., arXiv:2506.16552, section 3): a language model whose layers read
//! the other chunks of the batch, as far as the retriever finds them similar.
//!
//! | module | step |
//! | --- | --- |
//! | [`weights`] | similarities of queries and passages to the weights W |
//! | [`attention`] | one layer's cross path, in three forms with one result |
//! | [`forward`] | both streams through all layers |

pub mod attention;
pub mod forward;
mod fused;
mod materialised;
pub mod weights;
