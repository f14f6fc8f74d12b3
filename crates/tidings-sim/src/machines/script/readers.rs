//! Readers and loads, all of the first copy.

use super::{Load, PATIENCE, Script};
use crate::fault::Fault;
use crate::machines::actors::{Actor, Actors};

impl Script {
    /// A reader asks for a view, in its session. `None` if it has its answer already, else the load that it waits for.
    pub fn asks(&mut self, reader: usize, view: usize) -> Option<Load> {
        self.act(|stage, actors| {
            let Actors { readers, copies, .. } = actors;
            readers[reader].read(stage, &mut copies[0], (0, view), true);
        });
        self.waits_for(reader, view)
    }

    fn waits_for(&self, reader: usize, view: usize) -> Option<Load> {
        if self.world.actors.readers[reader].is_waiting() { self.newest_load(view) } else { None }
    }

    /// The load of a view that began last, for whomever.
    #[must_use]
    pub fn newest_load(&self, view: usize) -> Option<Load> {
        let loads = self.world.actors.copies[0].flights.iter().filter(|flight| flight.view == view);
        loads.map(|flight| Load(flight.id)).max_by_key(|load| load.0)
    }

    /// A load takes its ticket.
    ///
    /// # Errors
    /// If it has landed.
    pub fn takes_ticket(&mut self, load: Load) -> Result<(), String> {
        self.flies(load, &[], vec![])
    }

    /// A load reads one entity from the primary.
    ///
    /// # Errors
    /// If it has landed.
    pub fn reads(&mut self, load: Load) -> Result<(), String> {
        self.flies(load, &[], vec![])
    }

    /// A load reads one entity from a replica that lags so far, in microseconds; the set-up's `lag` is more.
    ///
    /// # Errors
    /// If it has landed.
    pub fn reads_late(&mut self, load: Load, lag: u32) -> Result<(), String> {
        self.flies(load, &[Fault::LaggingRead], vec![0, lag.saturating_sub(1)])
    }

    /// The source fails a load.
    ///
    /// # Errors
    /// If it has landed.
    pub fn fails(&mut self, load: Load) -> Result<(), String> {
        self.flies(load, &[Fault::SlowSource], vec![])?;
        self.is_taken_in()
    }

    fn flies(&mut self, load: Load, faults: &[Fault], choices: Vec<u32>) -> Result<(), String> {
        let is_up = self.struck(faults, choices, |stage, actors| {
            let which = actors.copies[0].flights.iter().position(|flight| flight.id == load.0);
            if let Some(which) = which {
                actors.fly(stage, 0, which);
            }
            which.is_some()
        });
        if is_up { Ok(()) } else { Err(format!("load {} has landed", load.0)) }
    }

    /// A load goes on until it has landed, with all its attempts, and whoever waited for it takes it in.
    ///
    /// # Errors
    /// If it does not land: a defect.
    pub fn lands(&mut self, load: Load) -> Result<(), String> {
        for _ in 0..PATIENCE {
            if !self.world.actors.copies[0].flights.iter().any(|flight| flight.id == load.0) {
                return self.is_taken_in();
            }
            self.flies(load, &[], vec![])?;
        }
        Err(format!("load {} does not land", load.0))
    }

    fn is_taken_in(&mut self) -> Result<(), String> {
        (0..self.setup.readers).try_for_each(|reader| {
            self.goes_on("a reader", |stage, actors| {
                let landed = actors.readers[reader].is_busy() && !actors.readers[reader].is_waiting();
                if landed {
                    actors.step(stage, Actor::Reader(reader));
                }
                landed
            })
        })
    }

    /// A reader asks for a view and gets its answer, whatever that takes.
    ///
    /// # Errors
    /// If it gets none: a defect.
    pub fn gets(&mut self, reader: usize, view: usize) -> Result<(), String> {
        let mut load = self.asks(reader, view);
        for _ in 0..PATIENCE {
            let Some(waited) = load else { return Ok(()) };
            self.lands(waited)?;
            load = self.waits_for(reader, view);
        }
        Err(format!("reader {reader} gets no answer"))
    }

    /// The entry of a view is evicted.
    pub fn evicts(&mut self, view: usize) {
        self.act(|stage, actors| actors.copies[0].evict(stage, view));
    }
}
