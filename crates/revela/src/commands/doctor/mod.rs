//! `revela doctor`: what this machine offers, and what is wrong with a thing that was made.

mod machine;
mod thing;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};

use super::say;
use crate::Context;

/// Say what this machine offers, and what is wrong with a collection, a model's folder or a configuration.
///
/// Exit status 1 when something is wrong.
#[derive(Args)]
pub(crate) struct Doctor {
    /// A collection, a folder that sync keeps, a model's folder, or a configuration file of `revela train`.
    path: Option<PathBuf>,
    /// Ask the hub whether it answers; nothing else here uses the network.
    #[arg(long)]
    online: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Something that is wrong, and what to do.
pub(super) struct Problem {
    what: String,
    remedy: String,
}

impl Problem {
    pub(super) fn new(what: impl std::fmt::Display, remedy: impl std::fmt::Display) -> Self {
        Self { what: what.to_string(), remedy: remedy.to_string() }
    }

    /// One whose words say what to do.
    pub(super) fn said(error: impl std::fmt::Display) -> Self {
        Self::new(error, "")
    }
}

/// What was found: facts in order, and problems.
#[derive(Default)]
pub(super) struct Findings {
    facts: Vec<(&'static str, String)>,
    problems: Vec<Problem>,
}

impl Findings {
    pub(super) fn fact(&mut self, name: &'static str, value: impl std::fmt::Display) {
        self.facts.push((name, value.to_string()));
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }
}

pub(crate) fn run(args: &Doctor, context: &Context) -> Result<()> {
    let mut findings = Findings::default();
    machine::look(&mut findings, args.online);
    if let Some(path) = &args.path {
        thing::look(path, &mut findings, context)?;
    }
    if args.json {
        say(as_json(&findings))?;
    } else {
        for (name, value) in &findings.facts {
            say(format_args!("{name:<16}{value}"))?;
        }
        for problem in &findings.problems {
            say(format_args!("problem: {}", problem.what))?;
            if !problem.remedy.is_empty() {
                say(format_args!("  do: {}", problem.remedy))?;
            }
        }
    }
    match findings.problems.len() {
        0 => Ok(()),
        1 => bail!("1 problem was found"),
        count => bail!("{count} problems were found"),
    }
}

fn as_json(findings: &Findings) -> Value {
    let facts: Map<String, Value> =
        findings.facts.iter().map(|(name, value)| ((*name).to_owned(), value.as_str().into())).collect();
    let problem = |problem: &Problem| json!({"problem": problem.what, "remedy": problem.remedy});
    json!({"facts": facts, "problems": findings.problems.iter().map(problem).collect::<Vec<_>>()})
}
