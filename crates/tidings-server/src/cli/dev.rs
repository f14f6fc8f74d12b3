//! `tidings dev`: its arguments; the work is in [`crate::dev`].

use std::path::PathBuf;
use std::time::Duration;

use crate::dev::{Given, Settings, Wish};
use crate::units::parse_duration;

/// Run everything in one process: relays, log, consumer, the retail platform with its HTTP API, and the console
#[derive(clap::Args)]
pub(super) struct Args {
    /// Changes per second to make, with some 20 reads for each and 200 reads per second over HTTP; 0 for none
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    load: u32,
    /// End by itself after this long: 500ms, 20s, 5m, 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    lasting: Option<Duration>,
    /// The seed of the catalogue (if it is new) and of the load
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write what was seen to this file, as flat JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write everything that was done and seen to this file while it happens, for `tidings check-history`. An older
    /// history there is replaced; a file that is anything else is left alone, and refused
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Keep everything in this directory, and go on with what is there; without it, in a temporary one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The port of the HTTP API and the console, on this machine alone; 0 for any free one
    #[arg(long, default_value_t = 7878)]
    port: u16,
    /// How many products a new catalogue has
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    products: u32,
    /// On PostgreSQL, Kafka and Redis, in several processes: relays, more copies. Uses the servers that are given, or those
    /// of `cargo xtask services`, which cargo starts if it runs this program
    #[arg(long)]
    distributed: bool,
    /// The PostgreSQL server: postgresql://user:password@host:port/database, a user who may make databases; also in
    /// TIDINGS_POSTGRES
    #[arg(long, value_name = "URL", requires = "distributed")]
    postgres: Option<String>,
    /// The Kafka brokers: host:port, several with commas; also in TIDINGS_KAFKA
    #[arg(long, value_name = "BROKERS", requires = "distributed")]
    kafka: Option<String>,
    /// The Redis server: redis://host:port, several nodes of a Cluster with commas; also in TIDINGS_REDIS
    #[arg(long, value_name = "URL", requires = "distributed")]
    redis: Option<String>,
    /// How many copies there are besides the one in this process
    #[arg(long, value_name = "N", default_value_t = 2, requires = "distributed", value_parser = clap::value_parser!(u32).range(0..=16))]
    copies: u32,
}

impl From<Args> for Settings {
    fn from(args: Args) -> Self {
        let Args { load, lasting, seed, report, history, data, port, products, .. } = args;
        let servers = Given { postgres: args.postgres, kafka: args.kafka, redis: args.redis };
        let distributed = args.distributed.then_some(Wish { servers, copies: args.copies });
        Self { load, lasting, seed, report, history, data, port, products, distributed }
    }
}
