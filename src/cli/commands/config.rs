//! `music-insights config`: the settings in force, and where they come from.

use crate::cli::args::ConfigArgs;
use crate::cli::commands::say;
use crate::model::error::Error;

use crate::settings::{example, print, print_json, schema};

/// Runs the command.
///
/// # Errors
/// The first setting that cannot be used.
pub fn run(args: &ConfigArgs) -> Result<(), Error> {
    if args.schema {
        return say(&format!("{:#}\n", schema()));
    }
    if args.example {
        return say(&example());
    }
    let effective = args.common.effective(&[])?;
    say(&if args.json { print_json(&effective) } else { print(&effective) })
}
