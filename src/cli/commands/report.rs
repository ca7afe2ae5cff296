//! `music-insights report`: what is published, as a page and as pictures.

use std::path::Path;

use crate::cli::args::ReportArgs;
use crate::cli::commands::say;
use crate::model::error::Error;

use crate::serve::charts::ChartMode;
use crate::serve::report::{Report, to_html};
use crate::storage::real::RealDisk;
use crate::storage::staged_file::StagedFile;
use crate::storage::{SharedDisk, append, create_folder};

/// Runs the command.
///
/// # Errors
/// If nothing is published or a file is missing (66), a file is not what the manifest says (65), or
/// the page cannot be written (73, 74).
pub fn run(args: &ReportArgs) -> Result<(), Error> {
    let settings = args.common.settings(&[])?;
    let disk = RealDisk::without_fsync();
    let report = Report::read(&disk, &settings)?;
    if let Some(folder) = &args.svg {
        create_folder(&*disk, folder)?;
        for chart in report.overview().charts(ChartMode::Standalone) {
            if let Ok(svg) = chart.svg {
                write(&disk, &folder.join(format!("{}.svg", chart.name)), &svg)?;
            }
        }
    }
    let page = to_html(&report);
    if args.html.as_os_str() == "-" {
        return say(&page);
    }
    write(&disk, &args.html, &page)?;
    say(&format!("written   {}\n", args.html.display()))
}

fn write(disk: &SharedDisk, path: &Path, text: &str) -> Result<(), Error> {
    let (draft, mut file) = StagedFile::create(disk, path)?;
    append(&mut *file, path, text.as_bytes())?;
    draft.commit()
}
