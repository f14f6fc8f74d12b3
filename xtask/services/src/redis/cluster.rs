//! A Redis Cluster of six nodes: three that own the slots, and a replica of each.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::Redis;
use crate::{attempt, found, port};

/// How many nodes, and how long they may take to agree.
const NODES: usize = 6;
const AGREE: Duration = Duration::from_secs(60);

/// Six servers that form one cluster, killed when this is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts the nodes, makes them a cluster, and waits until all of them agree on it.
    ///
    /// # Errors
    ///
    /// As [`Redis::start`]; or the nodes do not agree within a minute.
    pub fn start(settings: &[(&str, &str)]) -> Result<Self> {
        let mut nodes = Vec::new();
        while nodes.len() < NODES {
            nodes.push(attempt::at_free_ports(|| node(settings))?);
        }
        let cluster = Self { nodes };
        cluster.create()?;
        cluster.wait_for_agreement()?;
        Ok(cluster)
    }

    /// Where clients connect: a `redis://host:port` for each node, with commas between.
    pub fn urls(&self) -> String {
        self.nodes.iter().map(Redis::url).collect::<Vec<_>>().join(",")
    }

    /// The nodes; which of them own slots may change.
    pub fn nodes(&mut self) -> &mut [Redis] {
        &mut self.nodes
    }

    fn create(&self) -> Result<()> {
        let cli = found::or_install("redis-cli", "redis-tools", || {
            found::on_path("redis-cli").or_else(|| found::on_path("valkey-cli"))
        })?;
        let mut create = Command::new(cli);
        create.args(["--cluster", "create"]);
        create.args(self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())));
        create.args(["--cluster-replicas", "1", "--cluster-yes"]).stdin(Stdio::null());
        let output = create.output().context("cannot start redis-cli")?;
        if !output.status.success() {
            bail!("redis-cli --cluster create: {}", String::from_utf8_lossy(&output.stdout).trim());
        }
        Ok(())
    }

    fn wait_for_agreement(&self) -> Result<()> {
        let deadline = Instant::now() + AGREE;
        while !self.nodes.iter().all(agrees) {
            if Instant::now() > deadline {
                let states =
                    self.nodes.iter().map(|node| node.command(&["CLUSTER", "INFO"]).unwrap_or_default());
                bail!("the nodes do not agree within {AGREE:?}:\n{}", states.collect::<Vec<_>>().join("\n"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

fn node(settings: &[(&str, &str)]) -> Result<Redis> {
    let bus = port::free()?.to_string();
    let mut all = vec![
        ("cluster-enabled", "yes"),
        ("cluster-config-file", "nodes.conf"),
        ("cluster-port", bus.as_str()),
        ("cluster-node-timeout", "5000"),
    ];
    all.extend(settings);
    Redis::start(&all)
}

/// It knows every node and every slot's owner, and if it is a replica, it has its owner's data.
fn agrees(node: &Redis) -> bool {
    let ask = |words: &[&str]| node.command(words).unwrap_or_default();
    let (cluster, role) = (ask(&["CLUSTER", "INFO"]), ask(&["INFO", "replication"]));
    let has = |text: &str, line: &str| text.lines().any(|seen| seen.trim() == line);
    let is_in_sync = has(&role, "role:master") && has(&role, "connected_slaves:1")
        || has(&role, "role:slave") && has(&role, "master_link_status:up");
    has(&cluster, "cluster_state:ok") && has(&cluster, &format!("cluster_known_nodes:{NODES}")) && is_in_sync
}
