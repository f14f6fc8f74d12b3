//! The control record of a bucket: whether anything in it may be believed.

use super::{AsOf, Epoch, Incarnation};

/// The control record of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Control {
    /// The bucket's life; a slot of another one is as good as absent.
    pub epoch: Epoch,
    /// The store's life under which this record was written.
    pub incarnation: Incarnation,
    /// Whether it has been opened.
    pub phase: Phase,
}

/// How far the opening of an epoch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Claimed by somebody who now reads the source's position.
    Opening,
    /// Open.
    Live(Line),
}

/// Where a live bucket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// The source's position when the epoch was opened: whatever was heard in earlier epochs lies before it.
    pub since: AsOf,
    /// The newest position that was heard of or seen in a fill: the minimum of every placeholder made from now on.
    pub position: AsOf,
}

/// Why a bucket may not be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotLive {
    /// There is no control record: never opened, flushed or evicted.
    Absent,
    /// It was written under another incarnation: an old dump, or a replica that may lag.
    Foreign,
    /// Somebody is opening a new epoch.
    Opening,
}

/// Somebody else has claimed, opened or lost the bucket since: begin again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Overtaken;

/// The epoch and line of a live bucket. `here` is the store's own word, read in the same atomic step: what a client
/// remembers of it from its connection may be of an earlier life.
pub fn live(control: Option<&Control>, here: Incarnation) -> Result<(Epoch, Line), NotLive> {
    let control = control.ok_or(NotLive::Absent)?;
    match control.phase {
        _ if control.incarnation != here => Err(NotLive::Foreign),
        Phase::Opening => Err(NotLive::Opening),
        Phase::Live(line) => Ok((control.epoch, line)),
    }
}

/// The first half of opening an epoch: from now on the bucket is not live, so nothing can be heard here and forgotten
/// again. Only after this is the source's position read.
///
/// A bucket that is not live can always be claimed, also from somebody who began and has not come back. A live one only
/// by naming its epoch (an operator's flush, a new timeline).
///
/// # Errors
/// The epoch that is live, if it is not the one named.
pub fn claim(
    control: &mut Option<Control>,
    here: Incarnation,
    epoch: Epoch,
    instead_of: Option<Epoch>,
) -> Result<(), Epoch> {
    match live(control.as_ref(), here) {
        Ok((current, _)) if instead_of != Some(current) => Err(current),
        _ => {
            *control = Some(Control { epoch, incarnation: here, phase: Phase::Opening });
            Ok(())
        }
    }
}

/// The second half: the bucket is live. `since` was read after the claim, and from the source itself, not from a
/// replica: it must not lie before anything that was ever heard here.
///
/// # Errors
/// [`Overtaken`] if the claim no longer stands.
pub fn open(
    control: &mut Option<Control>,
    here: Incarnation,
    epoch: Epoch,
    since: AsOf,
) -> Result<(), Overtaken> {
    let claimed = Control { epoch, incarnation: here, phase: Phase::Opening };
    if *control != Some(claimed) {
        return Err(Overtaken);
    }
    *control = Some(Control { phase: Phase::Live(Line { since, position: since }), ..claimed });
    Ok(())
}

/// Raises the position of a live bucket.
pub(super) fn advance(control: &mut Option<Control>, position: AsOf) {
    if let Some(Control { phase: Phase::Live(line), .. }) = control {
        line.position = line.position.max(position);
    }
}
