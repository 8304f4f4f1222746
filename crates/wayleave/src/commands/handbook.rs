//! `wayleave completions SHELL` and `wayleave man DIR`: what packages put beside the binary, made from the commands as they are.

use crate::Exit;
use clap_complete::Shell;
use std::io::Write;
use std::path::Path;

/// How the examples of a command's help begin in its page, and how a page should have them: as they are typed.
const EXAMPLES: [&str; 2] = [".SH EXTRA\nExamples:\n", ".SH EXTRA\nExample:\n"];
const AS_TYPED: &str = ".SH EXAMPLES\n.nf\n";

/// Completions of a shell, on standard output.
pub fn write_completions(mut command: clap::Command, shell: Shell) -> Result<(), Exit> {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    std::io::stdout().lock().write_all(&text).map_err(Exit::failed)
}

/// A page of section 1 for the program and for each subcommand: `wayleave.1`, `wayleave-key-rotate.1`, ...
pub fn write_man_pages(command: clap::Command, folder: &Path) -> Result<(), Exit> {
    write_pages(command, folder).map_err(|error| Exit::failed(format!("{}: {error}", folder.display())))
}

fn write_pages(command: clap::Command, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut command = command.disable_help_subcommand(true);
    // gives each subcommand its whole name, by which its page is called
    command.build();
    write_page(&command, folder)
}

fn write_page(command: &clap::Command, folder: &Path) -> std::io::Result<()> {
    let source = format!("wayleave {}", command.get_version().unwrap_or_default());
    let man = clap_mangen::Man::new(command.clone()).source(source).manual("Wayleave");
    let mut page = Vec::new();
    man.render(&mut page)?;
    let text = String::from_utf8_lossy(&page).into_owned();
    let text = EXAMPLES.iter().fold(text, |text, examples| text.replace(examples, AS_TYPED));
    std::fs::write(folder.join(man.get_filename()), text)?;
    let mut inner = command.get_subcommands().filter(|inner| !inner.is_hide_set());
    inner.try_for_each(|inner| write_page(inner, folder))
}
