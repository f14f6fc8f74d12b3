//! A read, in the steps between which everything else happens: the process's cache, the shared level, the source, a
//! fill of the shared level, a fill of the process's cache.

use tidings_core::shared::{Answer, AsOf, Token};

use super::copy::{Captured, Copy};
use super::source::{From, Source};
use super::store::{Found, Store};
use super::witness::Witness;
use super::{SHARED, Value};
use crate::mutant::Mutant;
use crate::tally::{Sometimes, Tally};

#[derive(Debug, Clone, Copy, Default)]
enum Stage {
    #[default]
    Idle,
    /// The process's cache has nothing; the shared level is next.
    Look,
    /// The source is next; with a token, it will fill the shared level.
    Load(Option<(Token, AsOf)>),
    Fill((Token, AsOf), Answer<Value>),
    /// The mutant: the ticket is taken now, after the shared level was asked.
    Capture(Answer<Value>),
    Land(Answer<Value>, bool),
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reader {
    stage: Stage,
    copy: usize,
    key: usize,
    node: usize,
    captured: Option<Captured>,
    began: u64,
    least: Value,
}

/// What a read works with.
pub(super) struct Around<'a> {
    pub(super) copies: &'a mut [Copy],
    pub(super) source: &'a Source,
    pub(super) store: &'a mut Store,
    pub(super) witness: &'a mut Witness,
    pub(super) tally: &'a mut Tally,
    pub(super) mutant: Option<Mutant>,
    /// How long a lease is.
    pub(super) lease: u64,
    /// Whether processes keep nothing themselves.
    pub(super) bare: bool,
    /// Whether loads tell a version.
    pub(super) told: bool,
}

impl Reader {
    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle)
    }

    /// What it reads, or read last.
    pub(super) const fn key(&self) -> usize {
        self.key
    }

    /// Begins a read of a key by a process, which asks this node of the shared level.
    pub(super) fn begin(&mut self, copy: usize, key: usize, node: usize, around: &mut Around<'_>) -> u64 {
        let Around { copies, witness, tally, bare, .. } = around;
        let reader = &copies[copy];
        let least = witness.newest(reader.number, key);
        if let Some(answer) = reader.served(key).filter(|_| !*bare) {
            tally.happened(Sometimes::Hit);
            witness.shown(reader.number, key, witness.now, least, &answer.value);
            return 1;
        }
        let captured = Some(reader.capture(witness.now));
        *self = Self { stage: Stage::Look, copy, key, node, captured, began: witness.now, least };
        2
    }

    /// The next step; `from` is who would answer a load.
    pub(super) fn step(&mut self, from: From, around: &mut Around<'_>) -> u64 {
        match std::mem::take(&mut self.stage) {
            Stage::Idle => 3,
            Stage::Look => self.look(around),
            Stage::Load(token) => {
                let past_fork = around.mutant == Some(Mutant::StandbyFork);
                let mut answer = around.source.read(self.key, around.told, from, past_fork);
                if around.mutant == Some(Mutant::AsOfSnapshot) {
                    answer.as_of = around.source.read(self.key, around.told, From::Primary, false).as_of;
                }
                self.stage = token.map_or(Stage::Land(answer, false), |token| Stage::Fill(token, answer));
                6 + from as u64
            }
            Stage::Fill(token, answer) => {
                let kept = around.store.fill(self.node, self.key, token, answer).is_ok();
                around.tally.happened(if kept { Sometimes::SharedKept } else { Sometimes::SharedRefused });
                self.stage = Stage::Land(answer, false);
                10 + u64::from(kept)
            }
            Stage::Capture(answer) => {
                let late = around.copies[self.copy].capture(around.witness.now);
                self.captured = self.captured.map(|captured| captured.with_ticket_of(&late));
                self.stage = Stage::Land(answer, true);
                12
            }
            Stage::Land(answer, promoted) => self.land(answer, promoted, around),
        }
    }

    fn look(&mut self, around: &mut Around<'_>) -> u64 {
        let Around { store, witness, tally, mutant, lease, .. } = around;
        let (stage, what) = match store.look(self.node, self.key, witness.now, *lease) {
            Found::Hit(answer) => {
                tally.happened(Sometimes::SharedHit);
                if self.node == store.primary {
                    let least = witness.newest(SHARED, self.key);
                    witness.shown(SHARED, self.key, witness.now, least, &answer.value);
                }
                let late = *mutant == Some(Mutant::PromotionTicket);
                (if late { Stage::Capture(answer) } else { Stage::Land(answer, true) }, 16)
            }
            Found::Vacant(token, minimum) => (Stage::Load(Some((token, minimum))), 17),
            Found::Filling => (Stage::Load(None), 18),
            Found::NotLive => {
                tally.happened(Sometimes::Bypassed);
                (Stage::Load(None), 19)
            }
        };
        self.stage = stage;
        what
    }

    fn land(&mut self, answer: Answer<Value>, promoted: bool, around: &mut Around<'_>) -> u64 {
        let Around { copies, witness, tally, mutant, bare, .. } = around;
        if *bare {
            return 20;
        }
        let copy = &mut copies[self.copy];
        let Some(captured) = self.captured.filter(|captured| captured.life == copy.number) else { return 20 };
        if !copy.land(self.key, &captured, answer, promoted, witness.now, *mutant) {
            return 21;
        }
        tally.happened(if promoted { Sometimes::Promoted } else { Sometimes::Kept });
        witness.shown(copy.number, self.key, self.began, self.least, &answer.value);
        22
    }
}
