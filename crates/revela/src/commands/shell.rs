//! `revela completions` and `revela man`: what shells and readers of manuals need, made of the flags themselves.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Command};
use clap_complete::Shell;
use revela_base::file::{create_dir, write_atomic};

use super::say;

/// Print a shell's completions of this program's flags.
#[derive(Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

/// Write a manual page for every command.
#[derive(Args)]
pub(crate) struct Man {
    /// The folder to write into.
    #[arg(long)]
    out: PathBuf,
}

pub(crate) fn completions(args: &Completions, mut command: Command) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command, "revela", &mut text);
    std::io::stdout().write_all(&text)?;
    Ok(())
}

pub(crate) fn man(args: &Man, command: Command) -> Result<()> {
    create_dir(&args.out)?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut open = vec![(command.get_name().to_owned(), command)];
    let mut pages = 0;
    while let Some((name, command)) = open.pop() {
        let below = command.get_subcommands().map(|sub| (format!("{name}-{}", sub.get_name()), sub.clone()));
        open.extend(below.collect::<Vec<_>>());
        let mut page = Vec::new();
        clap_mangen::Man::new(command).title(name.to_uppercase()).render(&mut page)?;
        write_atomic(&args.out.join(format!("{name}.1")), |out| out.write_all(&page))?;
        pages += 1;
    }
    say(format_args!("{pages} pages in {}", args.out.display()))?;
    Ok(())
}
