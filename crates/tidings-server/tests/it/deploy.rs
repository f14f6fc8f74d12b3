//! The guide on deployment: its commands are run in order, as they stand there, on servers of this test's own, since they
//! make roles and settings that belong to a whole server.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use services::{Kafka, Postgres, Redis, embedded_only};
use tempfile::TempDir;
use tidings_core::port::{Log, Read, ReadLimit, Record};
use tidings_core::{Offset, Partition, Position, Topic};
use tidings_kafka::{KafkaLog, KafkaSettings};

use crate::support::{path, until};

mod files;

const GUIDE: &str = include_str!("../../../../docs/guide/deploy.md");

/// One block of commands.
struct Step {
    /// The line of the guide on which it begins.
    line: usize,
    how: How,
    commands: String,
}

/// What the test does with a block, by the comment before it.
#[derive(Debug, PartialEq)]
enum How {
    /// Sets the variables that it names.
    Given,
    Run,
    /// Runs it until it succeeds.
    Until,
    /// Leaves it running under this name.
    Start(String),
    /// Does the same in another way.
    As(String),
    /// Leaves it out, for this reason.
    NotRun(String),
}

impl How {
    fn parse(comment: &str) -> Option<Self> {
        let after = |start: &str| comment.strip_prefix(start).map(str::to_owned);
        Some(match comment {
            "given" => Self::Given,
            "run" => Self::Run,
            "until" => Self::Until,
            _ => (after("start ").map(Self::Start))
                .or_else(|| after("as: ").map(Self::As))
                .or_else(|| after("not run: ").map(Self::NotRun))?,
        })
    }
}

/// Every block of commands, in order. One without a comment that says what to do with it is an error.
fn steps(guide: &str) -> Result<Vec<Step>, String> {
    let (mut steps, mut before) = (Vec::new(), "");
    let mut lines = guide.lines().enumerate();
    while let Some((at, text)) = lines.next() {
        if text == "```sh" {
            let comment = before.strip_prefix("<!-- ").and_then(|text| text.strip_suffix(" -->"));
            let how = comment.and_then(How::parse).ok_or_else(|| format!("line {}: {before:?}", at + 1))?;
            let block = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            steps.push(Step { line: at + 1, how, commands: block.collect::<Vec<_>>().join("\n") });
        }
        before = text;
    }
    Ok(steps)
}

/// The variables that the guide has its reader set.
fn given(commands: &str) -> BTreeSet<&str> {
    let exports = commands.lines().filter_map(|line| line.strip_prefix("export "));
    exports.flat_map(str::split_whitespace).filter_map(|word| Some(word.split_once('=')?.0)).collect()
}

/// The servers, what runs, and what commands see.
struct Stage {
    dir: TempDir,
    postgres: Postgres,
    kafka: Kafka,
    redis: Redis,
    variables: BTreeMap<&'static str, String>,
    running: BTreeMap<String, Child>,
    /// The last words of what is waited for.
    said: RefCell<String>,
}

impl Stage {
    fn set() -> Self {
        let (postgres, kafka, redis) =
            (Postgres::start(&[]).unwrap(), Kafka::start(&[]).unwrap(), Redis::start(&[]).unwrap());
        let url = postgres.url();
        let password = url.rsplit_once('@').unwrap().0.rsplit_once(':').unwrap().1.to_owned();
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
        let variables = [
            ("DEPLOY", path(&tree.join("docs/guide/deploy")).to_owned()),
            ("DB", format!("127.0.0.1:{}", postgres.port())),
            ("BROKERS", kafka.bootstrap()),
            ("REDIS", format!("127.0.0.1:{}", redis.port())),
            ("RELAY_1", free_address()),
            ("RELAY_2", free_address()),
            ("SHOP_1", free_address()),
            ("SHOP_2", free_address()),
            ("ADMIN_PASSWORD", password),
            ("OWNER_PASSWORD", "owner0".to_owned()),
            ("WRITER_PASSWORD", "writer0".to_owned()),
            ("RELAY_PASSWORD", "relay0".to_owned()),
            ("READER_PASSWORD", "reader0".to_owned()),
            ("CACHE_PASSWORD", "cache0".to_owned()),
        ];
        let dir = tempfile::tempdir().unwrap();
        Self {
            dir,
            postgres,
            kafka,
            redis,
            variables: variables.into(),
            running: BTreeMap::new(),
            said: RefCell::default(),
        }
    }

    fn perform(&mut self, step: &Step) {
        match &step.how {
            How::Given => {
                let set: BTreeSet<_> = self.variables.keys().copied().collect();
                assert_eq!(given(&step.commands), set, "what the guide asks for, and what is set here");
            }
            How::Run => {
                let (done, said) = self.run(&step.commands);
                assert!(done, "line {} of the guide:\n{}\n{said}", step.line, step.commands);
            }
            How::Until => self.until(step),
            How::Start(name) => {
                let output = File::create(self.output_of(name)).unwrap();
                let mut shell = self.shell(&step.commands);
                shell.stdout(output.try_clone().unwrap()).stderr(output);
                // A group of its own, so that a kill reaches what the shell has started.
                self.running.insert(name.clone(), shell.process_group(0).spawn().unwrap());
            }
            How::As(what) => match what.split_once(' ') {
                Some(("restart", "PostgreSQL")) => self.postgres.restart().unwrap(),
                Some(("kill", names)) => {
                    names.split(' ').for_each(|name| kill(self.running.remove(name).unwrap()))
                }
                _ => panic!("line {}: it is not known how to {what}", step.line),
            },
            How::NotRun(why) => {
                let first = step.commands.lines().next().unwrap_or_default();
                println!("not run: line {}, `{first}`: {why}", step.line);
            }
        }
    }

    fn until(&self, step: &Step) {
        until(&format!("line {} of the guide succeeds:\n{}", step.line, step.commands), || {
            let (done, said) = self.run(&step.commands);
            self.said.replace(said);
            done.then_some(())
        });
    }

    fn run(&self, commands: &str) -> (bool, String) {
        let output = self.shell(commands).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    }

    fn shell(&self, commands: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-euc", commands]).current_dir(self.dir.path()).stdin(Stdio::null());
        shell.envs(&self.variables).env("PATH", search_path()).env("PGCONNECT_TIMEOUT", "10");
        shell.env_remove("TIDINGS_SOURCE");
        shell
    }

    fn output_of(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.out"))
    }

    /// What the log has of the guide's price: the version of each event, and whether a mark of its partition comes later.
    fn events(&self) -> Vec<(u64, bool)> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let log = KafkaLog::open(KafkaSettings::new(self.kafka.bootstrap())).unwrap();
            let topic = Topic::new("pricing").unwrap();
            let mut found = Vec::new();
            for index in 0..log.partitions(&topic).await.unwrap() {
                let records = records(&*log, Partition { topic: topic.clone(), index }).await;
                let last_mark = records.iter().rposition(|record| matches!(record, Record::Mark(_)));
                found.extend(records.iter().enumerate().filter_map(|(at, record)| match record {
                    Record::Event(event) if event.entity.to_string() == "price/SKU-1" => {
                        Some((event.stamp.version.number(), last_mark > Some(at)))
                    }
                    _ => None,
                }));
            }
            found
        })
    }
}

async fn records(log: &dyn Log, partition: Partition) -> Vec<Record> {
    let head = log.bounds(&partition).await.unwrap().1;
    let (mut at, mut found) = (Position { partition, offset: Offset(0) }, Vec::new());
    while at.offset < head {
        let Read::Records(records) = log.read(&at, ReadLimit::default()).await.unwrap() else {
            panic!("a gap at {at}");
        };
        let Some(last) = records.last() else { break };
        at.offset = last.offset.next();
        found.extend(records.into_iter().map(|stored| stored.record));
    }
    found
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // For whoever has to find out what went wrong.
            eprintln!("{}", self.said.borrow());
            for name in self.running.keys() {
                eprintln!(
                    "--- {name}\n{}",
                    std::fs::read_to_string(self.output_of(name)).unwrap_or_default()
                );
            }
        }
        std::mem::take(&mut self.running).into_values().for_each(kill);
    }
}

/// What `kill -9` does, to the shell and what it has started.
fn kill(mut child: Child) {
    services::signal_group("KILL", child.id()).unwrap();
    child.wait().unwrap();
}

/// Nobody uses it now.
fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The programs of this build, then those of the system, then those that Debian keeps elsewhere.
fn search_path() -> std::ffi::OsString {
    let programs = Path::new(env!("CARGO_BIN_EXE_tidings")).parent().unwrap();
    let mut places = vec![programs.to_owned(), programs.join("examples")];
    places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    places.extend(versions.map(|version| version.path().join("bin")));
    std::env::join_paths(places).unwrap()
}

/// Whether this machine has the program.
fn has(program: &str) -> bool {
    std::env::split_paths(&search_path()).any(|place| place.join(program).is_file())
}

/// Cargo builds examples with all of a crate's tests, and not with this one alone.
fn build_shop() {
    let built = Path::new(env!("CARGO_BIN_EXE_tidings")).with_file_name("examples").join("shop");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/deploy/shop.rs");
    let changed = |file: &Path| std::fs::metadata(file).and_then(|known| known.modified()).ok();
    if changed(&built).is_some_and(|built| Some(built) >= changed(&source)) {
        return;
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "-p", "tidings-server", "--example", "shop"]);
    if built.components().any(|part| part.as_os_str() == "release") {
        cargo.arg("--release");
    }
    assert!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
}

#[test]
fn the_commands_of_the_guide_lead_from_nothing_to_two_services() {
    if embedded_only() {
        println!("skipped: needs PostgreSQL, Kafka and Redis");
        return;
    }
    let steps = steps(GUIDE).unwrap();
    build_shop();
    let mut stage = Stage::set();
    services::curl().unwrap();
    for program in ["psql", "redis-cli", "curl", "shop"] {
        assert!(has(program), "{program} is missing; the guide uses it");
    }
    for step in &steps {
        if step.how == How::Start("shop-1".to_owned()) {
            let (_, metrics) = stage.run("curl --fail --silent http://$RELAY_1/metrics");
            files::alerts_know(&metrics);
        }
        stage.perform(step);
    }
    assert!(stage.running.is_empty(), "the guide ends what it starts: {:?}", stage.running.keys());
    let events = stage.events();
    let mut seen = BTreeSet::new();
    let distinct: Vec<_> =
        events.iter().map(|(version, _)| *version).filter(|version| seen.insert(*version)).collect();
    assert_eq!(distinct, [1, 2, 3, 4], "the guide's changes, in order: {events:?}");
    assert!(events.iter().all(|(_, is_marked)| *is_marked), "marks come after them: {events:?}");
    assert_eq!(stage.redis.command(&["DBSIZE"]).unwrap(), "0", "nothing is left");
}

#[test]
fn a_block_that_nobody_said_what_to_do_with_is_refused() {
    let told = "x\n<!-- run -->\n```sh\na\nb\n```\n<!-- not run: no b -->\n```sh\nb\n```\n";
    let found: Vec<_> =
        steps(told).unwrap().into_iter().map(|step| (step.line, step.how, step.commands)).collect();
    let expected = [(3, How::Run, "a\nb".to_owned()), (8, How::NotRun("no b".to_owned()), "b".to_owned())];
    assert_eq!(found, expected);
    for untold in ["```sh\nb\n```", "<!-- run -->\n\n```sh\nb\n```", "<!-- walk -->\n```sh\nb\n```"] {
        assert!(steps(untold).is_err(), "{untold}");
    }
}
