//! `music-insights config`: the settings in force and their origins, the schema, and an example file.

use crate::cli::args::ConfigArgs;
use crate::cli::commands::print::print;
use crate::model::error::Error;
use crate::settings;

/// Prints the settings, the schema or the example.
///
/// # Errors
/// The first invalid setting.
pub fn run(args: &ConfigArgs) -> Result<(), Error> {
    if args.schema {
        return print(&format!("{:#}\n", settings::schema()));
    }
    if args.example {
        return print(&settings::example());
    }
    let effective = args.common.effective()?;
    print(&if args.json { settings::print_json(&effective) } else { settings::print(&effective) })
}
