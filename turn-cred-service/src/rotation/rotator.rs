//! Applies the rotation ledger of a realm to this process, and takes its next step while holding
//! the lease.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use service_kit::clock;
use service_kit::redis_access::RejectionLog;
use service_kit::secrets::{SecretSource, SecretUpdater, Secrets};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::ledger::{
    Fingerprint, Ledger, PROPAGATION, RotationPolicy, RotationRequest, RotationStep,
};
use super::prove::{ProofResult, prove};
use crate::issuer::{Issuer, Keys};
use crate::metrics::Metrics;
use crate::pool::Pools;
use crate::relay::ConnectOptions;
use crate::relay_db::{DbError, RelayDb, SecretsSnapshot};

/// Interval at which the ledger is read; shorter than [`PROPAGATION`].
const READ_INTERVAL: Duration = Duration::from_secs(1);

/// Validity of the lease without renewal. A proof, the longest step, normally takes less. If it
/// takes more, a second leader may start the same step: [`RelayDb::commit`] compares versions,
/// so only one of them is written.
const LEASE: Duration = Duration::from_secs(15);

/// Pause after a proof that no relay answered.
const RETRY_PROOF_AFTER: Duration = Duration::from_secs(5);

/// The secrets of a realm as this process last read them.
#[derive(Debug)]
pub struct SecretRotator {
    db: RelayDb,
    policy: RotationPolicy,
    keys: Keys,
    updater: SecretUpdater,
    /// Every secret seen so far: the only copy if Redis comes back without its last writes.
    known: HashMap<Fingerprint, String>,
    ledger: watch::Sender<Ledger>,
}

/// The inputs of a rotation step.
#[derive(Clone, Debug)]
pub struct RotationContext {
    /// Identifies this process in the lease.
    pub leader_id: String,
    /// The relays that must accept a new secret.
    pub pools: Pools,
    /// How to connect to them.
    pub connect_options: ConnectOptions,
}

impl SecretRotator {
    /// Reads the secrets and generates the first one if the set is empty.
    ///
    /// # Errors
    /// When Redis is unreachable.
    pub async fn open(
        db: RelayDb,
        policy: RotationPolicy,
        pseudonyms: Option<SecretSource>,
    ) -> Result<Self, DbError> {
        let (ledger, snapshot) = load_or_init(&db).await?;
        let known: HashMap<_, _> = by_fingerprint(&snapshot).collect();
        let signing = parse(&known[&ledger.signing]);
        let (updater, signing) = SecretSource::updatable(signing);
        let own = || SecretSource::fixed(parse(&snapshot.pseudonym_key));
        let keys = Keys { signing, pseudonyms: Some(pseudonyms.unwrap_or_else(own)) };
        Ok(Self { db, policy, keys, updater, known, ledger: watch::Sender::new(ledger) })
    }

    /// Returns the keys; their current secret follows the ledger.
    #[must_use]
    pub fn keys(&self) -> Keys {
        self.keys.clone()
    }

    /// Returns a receiver of the ledger as last read.
    #[must_use]
    pub fn ledger(&self) -> watch::Receiver<Ledger> {
        self.ledger.subscribe()
    }

    /// Writes a request for a rotation into the ledger and returns that ledger.
    ///
    /// # Errors
    /// When Redis is unreachable.
    pub async fn request(&mut self, request: RotationRequest) -> Result<Ledger, DbError> {
        loop {
            let (ledger, _) = load_or_init(&self.db).await?;
            let next = ledger.with_request(request);
            if self.db.commit(ledger.version, &next, None, None).await? {
                return Ok(next);
            }
        }
    }

    /// Applies and advances the ledger until the future is dropped.
    pub(crate) async fn run(mut self, issuer: Issuer, context: RotationContext, metrics: Metrics) {
        let mut was_failing = false;
        let rejections = RejectionLog::default();
        loop {
            let ticked = self.tick(&issuer, &context).await;
            if let Err(error) = &ticked {
                log_failure(error, was_failing, &rejections);
            }
            was_failing = ticked.is_err();
            let since = self.ledger.borrow().since;
            metrics.secret_since.set(i64::try_from(since).unwrap_or(i64::MAX));
            tokio::time::sleep(ticked.unwrap_or(READ_INTERVAL).min(READ_INTERVAL)).await;
        }
    }

    /// Reads the ledger, tells `issuer` until when its key is certain to be accepted, then takes a
    /// step.
    ///
    /// The order matters: a proof may take seconds, and the deadline counts from the read. A secret
    /// that signed at that moment retires `max_ttl + skew + PROPAGATION` after its replacement at
    /// the earliest, so `max_ttl + PROPAGATION` from now is on the safe side.
    async fn tick(
        &mut self,
        issuer: &Issuer,
        context: &RotationContext,
    ) -> Result<Duration, DbError> {
        let Some((ledger, now)) = self.read_ledger().await? else { return Ok(Duration::ZERO) };
        let accepted_for = self.policy.max_ttl + PROPAGATION;
        issuer.set_accepted_until(clock::unix_seconds() + accepted_for.as_secs());
        self.advance(&ledger, now, context).await
    }

    /// Reads the ledger and takes one step if the lease is free; returns the time until the next
    /// call.
    ///
    /// # Errors
    /// When Redis is unreachable.
    pub async fn advance_once(&mut self, context: &RotationContext) -> Result<Duration, DbError> {
        match self.read_ledger().await? {
            Some((ledger, now)) => self.advance(&ledger, now, context).await,
            None => Ok(Duration::ZERO),
        }
    }

    /// Reads the ledger and applies it. `None` after something lost was written back: the next read
    /// sees the result.
    async fn read_ledger(&mut self) -> Result<Option<(Ledger, u64)>, DbError> {
        let snapshot = self.db.read().await?;
        self.known.extend(by_fingerprint(&snapshot));
        if self.restore_lost(&snapshot).await? {
            return Ok(None);
        }
        let Some(ledger) = snapshot.ledger else { return Ok(None) };
        self.apply_ledger(&ledger);
        self.remove_blank_secrets(&snapshot.secrets).await?;
        Ok(Some((ledger, snapshot.now)))
    }

    /// Removes blank members of the set: while `""` is one, coturn accepts credentials signed with
    /// the empty key, which anybody can compute.
    ///
    /// Runs after `restore_lost`, which made sure that the signing secret is in the set, so the set
    /// does not become empty.
    async fn remove_blank_secrets(&self, secrets: &[String]) -> Result<(), DbError> {
        for blank in secrets.iter().filter(|secret| secret.trim().is_empty()) {
            error!(
                "the relays' Redis contains a blank secret, so relays accept anybody: removing \
                 it; find the program that wrote it"
            );
            self.db.remove(blank).await?;
        }
        Ok(())
    }

    /// Takes the next step if this process gets the lease.
    async fn advance(
        &self,
        ledger: &Ledger,
        now: u64,
        context: &RotationContext,
    ) -> Result<Duration, DbError> {
        if !self.db.acquire_lease("rotation", &context.leader_id, LEASE).await? {
            return Ok(READ_INTERVAL);
        }
        self.take_step(ledger, now, context).await
    }

    fn apply_ledger(&mut self, ledger: &Ledger) {
        if self.ledger.borrow().signing != ledger.signing {
            info!(secret = %ledger.signing, "secret {} signs from now on", ledger.signing);
            self.updater.set(parse(&self.known[&ledger.signing]));
        }
        self.ledger.send_if_modified(|known| {
            let changed = known != ledger;
            known.clone_from(ledger);
            changed
        });
    }

    /// Writes back what Redis lost in a restart or failover; returns whether anything was missing.
    ///
    /// A missing ledger is restored from memory with version 1, and only if there is still none, so
    /// that of many instances one writes it. A missing secret comes from `known`. A signing secret
    /// that no instance knows any more cannot be restored: `load_or_init` adopts another one.
    async fn restore_lost(&self, snapshot: &SecretsSnapshot) -> Result<bool, DbError> {
        let present: HashMap<_, _> = by_fingerprint(snapshot).collect();
        let Some(ledger) = &snapshot.ledger else {
            let own = Ledger { version: 1, ..self.ledger.borrow().clone() };
            warn!("the relays' Redis has lost the ledger: restoring it");
            let signing = self.known.get(&own.signing).map(String::as_str);
            self.db.commit(0, &own, signing, None).await?;
            return Ok(true);
        };
        let mut lost = ledger.secrets().filter(|secret| !present.contains_key(secret));
        if let Some(secret) = lost.find_map(|secret| self.known.get(secret)) {
            warn!("the relays' Redis has lost a secret in use: restoring it");
            let restored = Ledger { version: ledger.version + 1, ..ledger.clone() };
            self.db.commit(ledger.version, &restored, Some(secret), None).await?;
            return Ok(true);
        }
        let is_lost = !present.contains_key(&ledger.signing);
        if is_lost {
            load_or_init(&self.db).await?;
        }
        Ok(is_lost)
    }

    async fn take_step(
        &self,
        ledger: &Ledger,
        now: u64,
        context: &RotationContext,
    ) -> Result<Duration, DbError> {
        match ledger.next_step(&self.policy, now) {
            RotationStep::Stage => {
                let secret = new_secret();
                let next = ledger.with_staged(Fingerprint::of(&secret));
                self.db.commit(ledger.version, &next, Some(&secret), None).await?;
            }
            RotationStep::Prove(staged) => return self.prove(ledger, &staged, now, context).await,
            RotationStep::Retire(old) => {
                let secret = self.known.get(&old).map(String::as_str);
                self.db.commit(ledger.version, &ledger.without_retired(&old), None, secret).await?;
                info!(secret = %old, "secret {old} is retired");
            }
            RotationStep::Wait(wait) => return Ok(wait),
        }
        Ok(Duration::ZERO)
    }

    async fn prove(
        &self,
        ledger: &Ledger,
        staged: &Fingerprint,
        now: u64,
        context: &RotationContext,
    ) -> Result<Duration, DbError> {
        let Some(secret) = self.known.get(staged) else {
            self.db.commit(ledger.version, &ledger.abandon_staged(now), None, None).await?;
            return Ok(Duration::ZERO);
        };
        match prove(secret, &context.pools, &context.connect_options).await {
            ProofResult::Accepted => {
                let promoted = ledger.promote_staged(&self.policy, now);
                self.db.commit(ledger.version, &promoted, None, None).await?;
            }
            ProofResult::Rejected { relay, code } => {
                warn!(relay = %relay, code, "relay {relay} rejected the new secret: rotation \
                                             abandoned");
                let abandoned = ledger.abandon_staged(now);
                self.db.commit(ledger.version, &abandoned, None, Some(secret)).await?;
            }
            ProofResult::NoAnswer => {
                warn!("no relay answers, so the new secret cannot be tested");
                return Ok(RETRY_PROOF_AFTER);
            }
        }
        Ok(Duration::ZERO)
    }
}

/// Returns the ledger and its secrets. If the signing secret is not in the set, adopts the smallest
/// strong member, or generates one. The smallest, so that instances that start at the same time
/// choose alike; whoever loses the race in `commit` reads again.
async fn load_or_init(db: &RelayDb) -> Result<(Ledger, SecretsSnapshot), DbError> {
    loop {
        let snapshot = db.read().await?;
        let present: HashMap<_, _> = by_fingerprint(&snapshot).collect();
        let known = snapshot.ledger.clone().filter(|l| present.contains_key(&l.signing));
        if let Some(ledger) = known {
            return Ok((ledger, snapshot));
        }
        let after = snapshot.ledger.as_ref().map_or(0, |ledger| ledger.version);
        let first = snapshot.secrets.iter().filter(|secret| is_strong(secret)).min();
        let generated = first.is_none().then(new_secret);
        let signing = first.or(generated.as_ref()).expect("a secret was found or generated");
        let initial = Ledger::starting_with(Fingerprint::of(signing), snapshot.now);
        let initial = Ledger { version: after + 1, ..initial };
        info!(secret = %initial.signing, "starting with secret {}", initial.signing);
        db.commit(after, &initial, generated.as_deref(), None).await?;
    }
}

fn by_fingerprint(snapshot: &SecretsSnapshot) -> impl Iterator<Item = (Fingerprint, String)> {
    let strong = snapshot.secrets.iter().filter(|secret| is_strong(secret));
    strong.map(|secret| (Fingerprint::of(secret), secret.clone()))
}

/// Returns whether a member of the set may sign. An operator's weak secrets stay in the set, but
/// never sign.
fn is_strong(secret: &str) -> bool {
    Secrets::parse(secret).is_ok_and(|secrets| secrets.all().count() == 1)
}

/// Generates a secret of 256 bits.
fn new_secret() -> String {
    service_kit::random::token() + &service_kit::random::token()
}

fn parse(secret: &str) -> Secrets {
    Secrets::parse(secret).expect("only strong secrets are kept, and generated ones are strong")
}

/// Logs the start of an outage, and a rejection whenever its cause changes: an outage may turn
/// into a rejection without a success in between.
fn log_failure(error: &DbError, was_failing: bool, rejections: &RejectionLog) {
    if let Some(advice) = rejections.advice_to_log(&error.to_string(), Instant::now()) {
        error!(%error, "the relays' Redis rejects this service (TURN_CRED_REDIS_URL): {error}: {advice}");
    } else if !was_failing {
        warn!(%error, "cannot read the rotation ledger: {error}");
    }
}
