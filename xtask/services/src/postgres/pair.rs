//! A primary that waits, at every commit, until its standby has the commit too.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Postgres, programs, run_tool};
use crate::attempt;

/// The standby's name, at which the primary knows it.
const STANDBY: &str = "standby";

/// A primary with one synchronous standby.
#[derive(Debug)]
pub struct PostgresPair {
    /// Where clients write.
    pub primary: Postgres,
    /// What follows it; read-only until promoted.
    pub standby: Postgres,
}

impl PostgresPair {
    /// Starts both, each on a port of its own; `settings` are for both.
    ///
    /// # Errors
    ///
    /// As [`Postgres::start`]; or the standby does not become synchronous.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self> {
        let mut all = settings.to_vec();
        all.push(("hot_standby", "on"));
        let primary = Postgres::start(&all)?;
        let programs = programs()?;
        let standby = attempt::at_free_ports(|| {
            let mut standby = Postgres::prepare(&std::env::temp_dir(), programs.clone())?;
            standby.copy(&primary)?;
            standby.configure(&all)?;
            standby.run()?;
            Ok(standby)
        })?;
        let pair = Self { primary, standby };
        pair.make_synchronous()?;
        Ok(pair)
    }

    /// Makes the standby a primary of its own, on a new timeline.
    ///
    /// # Errors
    ///
    /// It does not become writable within a minute.
    pub fn promote(&mut self) -> Result<()> {
        let answer = self.standby.query("SELECT pg_promote(true, 60)")?;
        ensure!(answer == "t", "the standby was not promoted within a minute");
        Ok(())
    }

    /// Only now, with the standby there: before, every commit would wait for it.
    fn make_synchronous(&self) -> Result<()> {
        self.primary.query(&format!("ALTER SYSTEM SET synchronous_standby_names = '{STANDBY}'"))?;
        self.primary.query("SELECT pg_reload_conf()")?;
        let sql = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.primary.query(sql)? != "1" {
            ensure!(Instant::now() < deadline, "the standby did not become synchronous within a minute");
        }
        Ok(())
    }
}

impl Postgres {
    /// Makes this server's data a copy of another's, to follow it.
    fn copy(&self, primary: &Postgres) -> Result<()> {
        let mut copy = self.program("pg_basebackup")?;
        let source = format!("{}?application_name={STANDBY}", primary.url());
        copy.args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "-d", &source, "-D"]);
        copy.arg(self.data());
        run_tool("pg_basebackup", copy)
    }
}
