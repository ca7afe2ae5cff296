//! The plays of periods that are not in memory.

use crate::engine::periods::spilled::{Scratch, SpilledPlays};
use crate::ledger::Ledger;
use crate::ledger::grouped::GroupedPlays;
use crate::model::error::Error;
use crate::state::checkpoint::periods::SavedPeriods;
use crate::time::period::Period;
use crate::time::window::NightWindow;

/// The plays of periods from before a cut.
#[derive(Debug)]
pub(super) enum EarlierPlays {
    /// The committed plays of a `watch`.
    Saved(SavedPeriods),
    /// All plays of a `replay`.
    Spilled(SpilledPlays),
}

impl EarlierPlays {
    /// The ledger of a period, and its plays grouped by listener if the ledger has no listens.
    ///
    /// # Errors
    /// If a file cannot be read or is damaged (65, 74).
    pub(super) fn load(
        &self,
        period: Period,
        night: NightWindow,
        scratch: &mut Scratch,
    ) -> Result<(Ledger, Option<GroupedPlays>), Error> {
        match self {
            Self::Saved(saved) => Ok((saved.load(period, night)?, None)),
            Self::Spilled(plays) => plays.load(period, night, scratch),
        }
    }
}
