//! The arguments `--from` and `--to`.

use clap::Args;

use crate::model::error::Error;
use crate::time::civil::CivilDate;
use crate::time::date_range::DateRange;

/// The dates of the plays that count.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct DateArgs {
    /// Count only plays from this date on, such as 2025-03-01; a local date in the time zone of the setting
    /// `timezone`
    #[arg(long, value_name = "DATE")]
    pub from: Option<CivilDate>,
    /// Count only plays up to the end of this date, such as 2025-03-31
    #[arg(long, value_name = "DATE")]
    pub to: Option<CivilDate>,
}

impl DateArgs {
    /// The range of dates.
    ///
    /// # Errors
    /// If the first date is after the last date, exit code 64.
    pub fn range(self) -> Result<DateRange, Error> {
        let Self { from, to } = self;
        let range = DateRange { from, to };
        if range.is_reversed() {
            let message = format!("{range}: the first date is after the last date, so no play can count");
            return Err(Error::Usage(message));
        }
        Ok(range)
    }
}
