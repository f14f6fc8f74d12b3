//! The servers of one run, each behind its proxy, all inside the campaign's directory.

use std::path::{Path, PathBuf};

use anyhow::Result;
use services::{Kafka, Postgres, Redis};
use tokio::runtime::Handle;

use super::disk::Disk;
use super::fault::{Engine, Fault};
use super::owner::{self, Owned};
use super::proxy::Proxy;

/// Enough for a small catalogue, its log and its write-ahead log, and soon full.
const DISK_MEGABYTES: u32 = 700;

/// Servers and proxies. The servers go before the disks that they may be on.
pub(crate) struct Stage {
    pub(crate) postgres: Postgres,
    pub(crate) kafka: Kafka,
    pub(crate) redis: Redis,
    postgres_proxy: Proxy,
    kafka_proxy: Proxy,
    redis_proxy: Proxy,
    /// Those of the servers that are to have a full one, or why there is none.
    disks: Vec<(Engine, Result<Disk, String>)>,
    campaign: PathBuf,
}

impl Stage {
    /// Starts them in `directory`, which is inside `campaign`; on a disk of its own what is to have a full one.
    pub(crate) fn start(
        campaign: &Path,
        directory: &Path,
        faults: &[Fault],
        runtime: &Handle,
    ) -> Result<Self> {
        owner::inside(campaign, directory)?;
        let mut disks: Vec<(Engine, Result<Disk, String>)> = Vec::new();
        for fault in faults {
            let Fault::DiskFull(engine) = fault else { continue };
            if disks.iter().all(|(of, _)| of != engine) {
                let name = format!("{}-disk", engine.name().to_lowercase());
                let disk = Disk::mount(directory, &name, DISK_MEGABYTES);
                disks.push((*engine, disk.map_err(|error| format!("{error:#}"))));
            }
        }
        let place = |engine| match disks.iter().find(|(of, _)| *of == engine) {
            Some((_, Ok(disk))) => disk.path().to_owned(),
            _ => directory.to_owned(),
        };
        let proxies = [Proxy::open(runtime)?, Proxy::open(runtime)?, Proxy::open(runtime)?];
        let [postgres_proxy, kafka_proxy, redis_proxy] = proxies;
        let postgres = Postgres::start_in(
            &place(Engine::Postgres),
            // A peer that vanished without a word is given up soon; a slot may not fill the disk.
            &[("wal_sender_timeout", "10s"), ("tcp_keepalives_idle", "5"), ("max_slot_wal_keep_size", "2GB")],
        )?;
        postgres_proxy.lead_to(postgres.port());
        let advertised = format!("PLAINTEXT://127.0.0.1:{}", kafka_proxy.port());
        // As in earnest: on a busy disk, a broker that is given up after three seconds comes and goes by itself.
        let settings = [("advertised.listeners", advertised.as_str()), ("broker.session.timeout.ms", "9000")];
        let kafka = Kafka::start_in(&place(Engine::Kafka), &settings)?;
        kafka_proxy.lead_to(kafka.port());
        let redis = Redis::start_in(&place(Engine::Redis), &[("maxmemory-policy", "volatile-lru")])?;
        redis_proxy.lead_to(redis.port());
        let campaign = campaign.to_owned();
        Ok(Self { postgres, kafka, redis, postgres_proxy, kafka_proxy, redis_proxy, disks, campaign })
    }

    /// How clients reach them: `--postgres`, `--kafka` and `--redis`, each by way of its proxy.
    pub(crate) fn arguments(&self) -> [(&'static str, String); 3] {
        [
            ("--postgres", self.postgres.url_through(self.postgres_proxy.port())),
            ("--kafka", format!("127.0.0.1:{}", self.kafka_proxy.port())),
            ("--redis", format!("redis://127.0.0.1:{}", self.redis_proxy.port())),
        ]
    }

    pub(crate) fn proxy(&self, engine: Engine) -> &Proxy {
        match engine {
            Engine::Postgres => &self.postgres_proxy,
            Engine::Kafka => &self.kafka_proxy,
            Engine::Redis => &self.redis_proxy,
        }
    }

    /// The server's own disk, or why there is none.
    pub(crate) fn disk(&self, of: Engine) -> Result<&Disk, String> {
        match self.disks.iter().find(|(engine, _)| *engine == of) {
            Some((_, Ok(disk))) => Ok(disk),
            Some((_, Err(why))) => Err(why.clone()),
            None => Err(format!("{} has no disk of its own in this run", of.name())),
        }
    }

    /// The server's process, proven to be ours, as its files are.
    pub(crate) fn prove(&self, engine: Engine) -> Result<Owned> {
        let (pid, place) = match engine {
            Engine::Postgres => (self.postgres.pid(), self.postgres.data()),
            Engine::Kafka => (self.kafka.pid(), self.kafka.directory().to_owned()),
            Engine::Redis => (self.redis.pid(), self.redis.directory().to_owned()),
        };
        owner::inside(&self.campaign, &place)?;
        let Some(pid) = pid else { anyhow::bail!("{} does not run", engine.name()) };
        Owned::child(pid)
    }

    pub(crate) fn kill(&mut self, engine: Engine) -> Result<()> {
        self.prove(engine)?;
        match engine {
            Engine::Postgres => self.postgres.kill(),
            Engine::Kafka => self.kafka.kill(),
            Engine::Redis => self.redis.kill(),
        }
    }

    pub(crate) fn stop_at_once(&mut self, engine: Engine) -> Result<()> {
        self.prove(engine)?;
        match engine {
            Engine::Postgres => self.postgres.stop_immediately(),
            Engine::Kafka => self.kafka.stop_immediately(),
            Engine::Redis => self.redis.stop_immediately(),
        }
    }

    /// Starts it again, after a clean stop if it runs.
    pub(crate) fn restart(&mut self, engine: Engine) -> Result<()> {
        match engine {
            Engine::Postgres => self.postgres.restart(),
            Engine::Kafka => self.kafka.restart(),
            Engine::Redis => self.redis.restart(),
        }
    }

    pub(crate) fn pause(&self, engine: Engine) -> Result<()> {
        self.prove(engine)?;
        match engine {
            Engine::Postgres => self.postgres.pause(),
            Engine::Kafka => self.kafka.pause(),
            Engine::Redis => self.redis.pause(),
        }
    }

    pub(crate) fn resume(&self, engine: Engine) -> Result<()> {
        match engine {
            Engine::Postgres => self.postgres.resume(),
            Engine::Kafka => self.kafka.resume(),
            Engine::Redis => self.redis.resume(),
        }
    }

    /// Whether it runs; a full disk can end it.
    pub(crate) fn runs(&mut self, engine: Engine) -> bool {
        match engine {
            Engine::Postgres => self.postgres.runs(),
            Engine::Kafka => self.kafka.runs(),
            Engine::Redis => self.redis.runs(),
        }
    }

    /// What it has logged since it was last started.
    pub(crate) fn log(&self, engine: Engine) -> String {
        match engine {
            Engine::Postgres => self.postgres.log(),
            Engine::Kafka => self.kafka.log(),
            Engine::Redis => self.redis.log(),
        }
    }

    /// Copies the servers' logs to where the run's files are kept.
    pub(crate) fn keep_logs(&self, directory: &Path) {
        for engine in [Engine::Postgres, Engine::Kafka, Engine::Redis] {
            let path = directory.join(format!("{}.log", engine.name().to_lowercase()));
            if let Err(error) = std::fs::write(&path, self.log(engine)) {
                eprintln!("{} cannot be written: {error}", path.display());
            }
        }
    }
}
