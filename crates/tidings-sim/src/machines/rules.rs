//! What the services of this world decide about their events.

use tidings_core::{Code, Decide, Decision, Error, Event, Result};

use super::draw::{React, Setup, Style};
use super::pool::{Health, Pool, health_of, number_of};

/// The rules of one consumer.
pub(super) struct Rules<'a> {
    pub(super) setup: &'a Setup,
    pub(super) pool: &'a Pool,
    /// It keeps a projection, which wants nothing but the events.
    pub(super) projects: bool,
    /// What is parked may have touched any region.
    pub(super) bumps_when_parked: bool,
}

impl Decide for Rules<'_> {
    fn decide(&self, event: &Event) -> Result<Vec<Decision>> {
        if health_of(event) == Health::Poison {
            return Err(Error::new(Code::DATA_UNREADABLE, String::new()));
        }
        if self.projects {
            return Ok(Vec::new());
        }
        let entity = number_of(&event.entity);
        let mut decisions = Vec::with_capacity(2);
        for (view, name) in self.setup.views[..self.setup.view_count].iter().zip(&self.pool.views) {
            let key = || self.pool.key.clone();
            match (view.shows[entity], view.style, view.react) {
                (false, ..) => {}
                (true, Style::Region, React::Invalidate | React::Update) => {
                    decisions.push(Decision::Bump(self.pool.region.clone()));
                }
                (true, Style::Region, React::Refresh) => {
                    decisions.push(Decision::Bump(self.pool.region.clone()));
                    decisions.push(Decision::Refresh { view: name.clone(), key: key() });
                }
                (true, _, React::Invalidate) => decisions.push(Decision::Invalidate),
                (true, _, React::Refresh) => {
                    decisions.push(Decision::Refresh { view: name.clone(), key: key() });
                }
                (true, _, React::Update) => {
                    decisions.push(Decision::Update { view: name.clone(), key: key() });
                }
            }
        }
        if decisions.is_empty() {
            decisions.push(Decision::Invalidate);
        }
        Ok(decisions)
    }

    fn when_parked(&self, _: &Event) -> Vec<Decision> {
        match self.bumps_when_parked && !self.projects {
            true => vec![Decision::Bump(self.pool.every.clone())],
            false => Vec::new(),
        }
    }
}
