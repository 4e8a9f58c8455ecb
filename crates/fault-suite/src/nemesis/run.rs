//! Injects the faults of a schedule.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Planned;
use crate::cluster::{Cluster, NODES, ProcessError, Refusal};
use crate::history::{FaultKind, Log, What};
use crate::proxy::Silence;

/// Longer than any node may take to drain.
const END_WITHIN: Duration = Duration::from_secs(40);

/// Why a schedule could not be executed: the suite failed, or a node did what none may.
#[derive(Debug, thiserror::Error)]
#[error("fault {fault} ({kind:?}) could not be injected: {source}")]
pub struct NemesisError {
    fault: usize,
    kind: FaultKind,
    source: ProcessError,
}

/// Injects the faults of a schedule, and returns when every fault of it has healed.
///
/// # Errors
/// When a process does not start, or a node does not end as it should.
pub async fn execute(
    cluster: &mut Cluster,
    schedule: &[Planned],
    log: &Log,
) -> Result<(), NemesisError> {
    // The time of the schedule stands still while a process is waited for, so that what was placed
    // one after the other stays so.
    let mut begun = Instant::now();
    let begins =
        schedule.iter().enumerate().map(|(index, fault)| Reverse((fault.at, index, false)));
    let mut steps: BinaryHeap<_> = begins.collect();
    while let Some(Reverse((at, index, heals))) = steps.pop() {
        sleep_until(begun + at).await;
        let fault = &schedule[index];
        let failed = |source| NemesisError { fault: index, kind: fault.kind, source };
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let acted = Instant::now();
        if heals {
            heal(cluster, fault).await.map_err(failed)?;
            log.note(What::Healed { fault: number });
        } else {
            let node = fault.node.and_then(|node| u8::try_from(node).ok());
            log.note(What::Fault { fault: number, kind: fault.kind, node });
            inject(cluster, fault).await.map_err(failed)?;
            steps.push(Reverse((at + fault.lasts, index, true)));
        }
        begun += acted.elapsed();
    }
    Ok(())
}

async fn inject(cluster: &mut Cluster, fault: &Planned) -> Result<(), ProcessError> {
    let node = fault.node.unwrap_or_default();
    match fault.kind {
        FaultKind::KillNode => cluster.nodes[node].kill().await?,
        FaultKind::StopNode => cluster.nodes[node].stall(true)?,
        FaultKind::SlowNode => cluster.nodes[node].slow(true),
        FaultKind::RestartNode => cluster.nodes[node].end(END_WITHIN).await?,
        FaultKind::RollingRestart => rolling_restart(cluster).await?,
        FaultKind::CutClients => cluster.client_links[node].cut(),
        FaultKind::HalfCloseClients => cluster.client_links[node].half_close(fault.direction),
        FaultKind::StallClients => cluster.client_links[node].stall(true),
        FaultKind::CutRedis => cluster.redis_links[node].cut(),
        FaultKind::HalfCloseRedis => cluster.redis_links[node].half_close(fault.direction),
        FaultKind::StallRedisLink => cluster.redis_links[node].stall(true),
        FaultKind::Partition => {
            cluster.redis_links[node].refuse(true);
            cluster.redis_links[node].cut();
        }
        FaultKind::StallRedis | FaultKind::LongOutage => cluster.redis.stall(true)?,
        FaultKind::SlowRedis => cluster.redis.slow(true),
        FaultKind::SilentRedis => cluster.redis_links[node].silence(Silence::Both),
        FaultKind::HalfSilentRedis => {
            cluster.redis_links[node].silence(Silence::One(fault.direction));
        }
        FaultKind::SilentSubscriber => cluster.redis_links[node].silence(Silence::Subscriber),
        FaultKind::KillRedis | FaultKind::WipeRedis => cluster.redis.kill().await?,
        FaultKind::TooFewReplicas => refuse(cluster, Refusal::TooFewReplicas, true).await?,
        FaultKind::OutOfMemory => refuse(cluster, Refusal::OutOfMemory, true).await?,
        FaultKind::ReadOnly => refuse(cluster, Refusal::ReadOnly, true).await?,
        FaultKind::FailedSnapshot => refuse(cluster, Refusal::FailedSnapshot, true).await?,
        FaultKind::FailOver => cluster.fail_over().await?,
        FaultKind::LosePrimary => cluster.lose_primary().await?,
        FaultKind::LoseKeys => cluster.redis.lose_keys(fault.seed).await?,
        FaultKind::OldSnapshot => cluster.redis.take_snapshot().await?,
        FaultKind::StepClock | FaultKind::LeapClock => cluster.clock.step(fault.seconds)?,
        FaultKind::MoveSlots => cluster.shards_mut()?.start_moving(fault.rooms).await?,
        FaultKind::RefuseShard => cluster.shards_mut()?.refuse_writes().await?,
        FaultKind::LoseShard => cluster.shards_mut()?.lose_master().await?,
    }
    Ok(())
}

async fn refuse(cluster: &Cluster, refusal: Refusal, refuses: bool) -> Result<(), ProcessError> {
    cluster.redis.refuse_writes(refusal, refuses).await
}

async fn heal(cluster: &mut Cluster, fault: &Planned) -> Result<(), ProcessError> {
    let node = fault.node.unwrap_or_default();
    match fault.kind {
        FaultKind::KillNode | FaultKind::RestartNode => cluster.nodes[node].restart().await?,
        FaultKind::StopNode => cluster.nodes[node].stall(false)?,
        FaultKind::SlowNode => cluster.nodes[node].slow(false),
        FaultKind::StallClients => cluster.client_links[node].stall(false),
        FaultKind::StallRedisLink => cluster.redis_links[node].stall(false),
        FaultKind::Partition => cluster.redis_links[node].refuse(false),
        FaultKind::StallRedis => cluster.redis.stall(false)?,
        FaultKind::SlowRedis => cluster.redis.slow(false),
        FaultKind::KillRedis | FaultKind::WipeRedis => cluster.redis.restart().await?,
        FaultKind::SilentRedis | FaultKind::HalfSilentRedis | FaultKind::SilentSubscriber => {
            cluster.redis_links[node].end_silence();
        }
        FaultKind::TooFewReplicas => refuse(cluster, Refusal::TooFewReplicas, false).await?,
        FaultKind::OutOfMemory => refuse(cluster, Refusal::OutOfMemory, false).await?,
        FaultKind::ReadOnly => refuse(cluster, Refusal::ReadOnly, false).await?,
        FaultKind::FailedSnapshot => refuse(cluster, Refusal::FailedSnapshot, false).await?,
        FaultKind::FailOver => cluster.end_demoted().await?,
        FaultKind::LosePrimary => cluster.promote_replica().await?,
        FaultKind::OldSnapshot => {
            cluster.redis.kill().await?;
            cluster.redis.restart_from_snapshot().await?;
        }
        FaultKind::StepClock | FaultKind::LeapClock => cluster.clock.step(-fault.seconds)?,
        FaultKind::LongOutage => {
            cluster.clock.step(fault.seconds)?;
            cluster.redis.stall(false)?;
        }
        FaultKind::MoveSlots => cluster.shards_mut()?.stop_moving().await?,
        FaultKind::RefuseShard => cluster.shards_mut()?.accept_writes().await?,
        FaultKind::LoseShard => cluster.shards_mut()?.restart_master().await?,
        FaultKind::RollingRestart
        | FaultKind::CutClients
        | FaultKind::HalfCloseClients
        | FaultKind::CutRedis
        | FaultKind::HalfCloseRedis
        | FaultKind::LoseKeys => {}
    }
    Ok(())
}

async fn rolling_restart(cluster: &mut Cluster) -> Result<(), ProcessError> {
    for node in 0..NODES {
        cluster.nodes[node].end(END_WITHIN).await?;
        cluster.nodes[node].restart().await?;
    }
    Ok(())
}
