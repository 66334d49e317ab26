//! `revela model`: make models, look at them, run them.

mod embed;
mod info;
mod merge;
mod new;

use anyhow::Result;
use clap::Subcommand;

use crate::Context;

pub(crate) use new::{Shape, fresh, fresh_static, train_tokenizer};

/// The subcommands.
#[derive(Subcommand)]
pub(crate) enum Model {
    New(new::New),
    Info(info::Info),
    Embed(embed::Embed),
    Merge(merge::Merge),
}

pub(crate) fn run(command: Model, context: &Context) -> Result<()> {
    match command {
        Model::New(command) => new::run(&command, context),
        Model::Info(command) => info::run(&command),
        Model::Embed(command) => embed::run(&command, context),
        Model::Merge(command) => merge::run(&command),
    }
}
