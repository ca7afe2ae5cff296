//! `music-insights man`: the manual pages of the program and of each command.

use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::cli::args::{Cli, ManArgs};
use crate::cli::commands::print::print_bytes;
use crate::model::error::Error;
use crate::storage::real::RealDisk;
use crate::storage::staged_file::StagedFile;
use crate::storage::{append, create_folder};

/// Prints a page, or writes all pages into a folder.
///
/// # Errors
/// An unknown command, or a page that cannot be written.
pub fn run(args: &ManArgs) -> Result<(), Error> {
    let pages = pages()?;
    if let Some(folder) = &args.out {
        return write(folder, &pages);
    }
    let program = env!("CARGO_PKG_NAME");
    let wanted = args.page.as_ref().map_or(format!("{program}.1"), |page| format!("{program}-{page}.1"));
    let page = pages.iter().find(|page| page.file == wanted).ok_or_else(|| {
        let page = args.page.as_deref().unwrap_or_default();
        Error::Usage(format!("there is no command `{page}`; run `{program} help` for a list of commands"))
    })?;
    print_bytes(&page.text)
}

/// A manual page.
struct Page {
    file: String,
    /// The roff source.
    text: Vec<u8>,
}

fn pages() -> Result<Vec<Page>, Error> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let commands = program.get_subcommands().cloned();
    let commands: Vec<clap::Command> = [program.clone()].into_iter().chain(commands).collect();
    let page = |command: clap::Command| {
        let more = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        // The library would join the lines of the examples into paragraphs, so the examples are added
        // separately.
        let man = Man::new(command.after_help(None::<&str>));
        let mut text = Vec::new();
        let failed = |cause| Error::Bug(format!("cannot render a manual page: {cause}"));
        man.render(&mut text).map_err(failed)?;
        text.extend(examples(&more).into_bytes());
        Ok(Page { file: man.get_filename(), text })
    };
    commands.into_iter().map(page).collect()
}

/// The section with the examples. It has the same lines as the help text.
fn examples(text: &str) -> String {
    let text = text.trim_start_matches("Examples:\n").replace('\\', "\\e").replace('-', "\\-");
    // Without the prefix, roff would read a line that begins with a dot or a quote as a request.
    let lines = text.lines().map(|line| "\\&".to_owned() + line + "\n");
    format!(".SH EXAMPLES\n.nf\n{}.fi\n", lines.collect::<String>())
}

fn write(folder: &Path, pages: &[Page]) -> Result<(), Error> {
    let disk = RealDisk::without_fsync();
    create_folder(&*disk, folder)?;
    for page in pages {
        let path = folder.join(&page.file);
        let (staged, mut file) = StagedFile::create(&disk, &path)?;
        append(&mut *file, &path, &page.text)?;
        staged.commit()?;
    }
    Ok(())
}
