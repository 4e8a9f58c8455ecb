//! A real `redis-server`, and a real Redis Cluster.

use std::net::SocketAddr;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;

use super::peers::free_address;
use super::process::{Cost, Process, on_first_core};
use crate::problem::Problem;

/// A Redis that keeps nothing on disk; it ends with this value.
pub(crate) struct Redis {
    process: Process,
    /// Without its own folder a cluster's node would find another one's memory of who it is.
    _folder: TempDir,
}

impl Redis {
    /// Starts one on a free port.
    pub(crate) async fn start() -> Result<Self, Problem> {
        launch(&[]).await
    }

    /// Where it is, as a URL.
    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.process.address())
    }

    pub(crate) fn cost(&self) -> Result<Cost, Problem> {
        self.process.cost()
    }

    /// Bytes that its data takes (`INFO memory`: `used_memory`).
    pub(crate) async fn used_memory(&self) -> Result<f64, Problem> {
        let info = query(self.process.address(), "INFO memory").await?;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        Ok(line.and_then(|text| text.trim().parse().ok()).unwrap_or_default())
    }
}

/// Three masters that share the slots.
pub(crate) struct RedisCluster(Vec<Redis>);

impl RedisCluster {
    /// Starts one, and waits until it serves.
    pub(crate) async fn start() -> Result<Self, Problem> {
        let mut masters = Vec::new();
        for _ in 0..3 {
            masters.push(
                launch(&["--cluster-enabled", "yes", "--cluster-node-timeout", "5000"]).await?,
            );
        }
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]);
        create.args(masters.iter().map(|master| master.process.address().to_string()));
        let created = create.arg("--cluster-yes").output().await?;
        if !created.status.success() {
            return Err(Problem::NotReady("Redis Cluster".to_owned()));
        }
        let cluster = Self(masters);
        cluster.wait().await?;
        Ok(cluster)
    }

    /// Waits until every master knows of all slots.
    async fn wait(&self) -> Result<(), Problem> {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(50));
        for master in &self.0 {
            loop {
                pace.tick().await;
                if query(master.process.address(), "CLUSTER INFO")
                    .await?
                    .contains("cluster_state:ok")
                {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Where it is, as a URL.
    pub(crate) fn url(&self) -> String {
        format!("redis-cluster://{}", self.0[0].process.address())
    }

    /// Seconds on a core, of all masters.
    pub(crate) fn cpu(&self) -> Result<f64, Problem> {
        self.0.iter().map(|master| Ok(master.cost()?.cpu)).sum()
    }
}

async fn launch(more: &[&str]) -> Result<Redis, Problem> {
    let (address, folder) = (free_address()?, TempDir::new()?);
    let mut command = on_first_core("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(folder.path()).args(more);
    let process = Process::start_at("redis-server", &mut command, address).await?;
    Ok(Redis { process, _folder: folder })
}

/// Asks one inline command (Redis protocol, "Inline commands") and reads the bulk answer.
async fn query(address: SocketAddr, command: &str) -> Result<String, Problem> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("{command}\r\nQUIT\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
