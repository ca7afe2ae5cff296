//! `music-insights report`: the published output as an HTML page and SVG charts.

use std::path::Path;

use crate::cli::args::ReportArgs;
use crate::cli::commands::print::print;
use crate::model::error::Error;
use crate::serve::charts::ChartMode;
use crate::serve::report::{Report, to_html};
use crate::storage::real::RealDisk;
use crate::storage::staged_file::StagedFile;
use crate::storage::{SharedDisk, append, create_folder};
use crate::text::shown;

/// Writes the page and the charts.
///
/// # Errors
/// If there is no published output, the period is not published, the output does not match its manifest, or
/// the page cannot be written.
pub fn run(args: &ReportArgs) -> Result<(), Error> {
    let settings = args.common.settings()?;
    let disk = RealDisk::without_fsync();
    let report = Report::read(&disk, &settings, args.period)?;
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
        return print(&page);
    }
    write(&disk, &args.html, &page)?;
    print(&format!("written   {}\n", shown(&args.html)))
}

fn write(disk: &SharedDisk, path: &Path, text: &str) -> Result<(), Error> {
    let (staged, mut file) = StagedFile::create(disk, path)?;
    append(&mut *file, path, text.as_bytes())?;
    staged.commit()
}
