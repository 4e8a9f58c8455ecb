//! Follows the ledger of a realm, and takes its next step when it is our turn.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use service_kit::clock;
use service_kit::redis_access::RejectionLog;
use service_kit::secrets::{SecretHand, SecretSource, Secrets};
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::ledger::{Fingerprint, Ledger, PROPAGATION, Policy, Request, Step};
use super::prove::{Verdict, prove};
use crate::issuer::{Issuer, Keys};
use crate::metrics::Metrics;
use crate::pool::Pools;
use crate::relay::Dialing;
use crate::relay_db::{DbError, RelayDb, Snapshot};

/// How often the ledger is read.
const READ_EVERY: Duration = Duration::from_secs(1);

/// How long the lead is kept without being renewed: longer than the longest step.
const LEASE: Duration = Duration::from_secs(15);

/// Pause before relays are asked again of which none answered.
const PROVE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// The secrets of a realm, as this process knows them.
#[derive(Debug)]
pub struct Keeper {
    db: RelayDb,
    policy: Policy,
    keys: Keys,
    hand: SecretHand,
    /// Every secret that was ever seen, in case Redis forgets it.
    known: HashMap<Fingerprint, String>,
    ledger: watch::Sender<Ledger>,
}

/// What taking steps needs.
#[derive(Clone, Debug)]
pub struct Hands {
    /// Who asks for the lead; another process is another one.
    pub who: String,
    /// The relays that have to accept a secret.
    pub pools: Pools,
    /// How they are approached.
    pub dialing: Dialing,
}

impl Keeper {
    /// Reads the secrets, makes the first one where there is none, and keeps them from then on.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn open(
        db: RelayDb,
        policy: Policy,
        pseudonyms: Option<SecretSource>,
    ) -> Result<Self, DbError> {
        let (ledger, snapshot) = settle(&db).await?;
        let known: HashMap<_, _> = remember(&snapshot).collect();
        let signing = parse(&known[&ledger.signing]);
        let (hand, signing) = SecretSource::handed(signing);
        let own = || SecretSource::fixed(parse(&snapshot.pseudonym_key));
        let keys = Keys { signing, pseudonyms: Some(pseudonyms.unwrap_or_else(own)) };
        Ok(Self { db, policy, keys, hand, known, ledger: watch::Sender::new(ledger) })
    }

    /// The keys in force; they change as the ledger does.
    #[must_use]
    pub fn keys(&self) -> Keys {
        self.keys.clone()
    }

    /// The ledger as last read.
    #[must_use]
    pub fn ledger(&self) -> watch::Receiver<Ledger> {
        self.ledger.subscribe()
    }

    /// Asks for a rotation, and returns the ledger that says so.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn ask(&mut self, request: Request) -> Result<Ledger, DbError> {
        loop {
            let (ledger, _) = settle(&self.db).await?;
            let asked = ledger.asked(request);
            if self.db.commit(ledger.version, &asked, None, None).await? {
                return Ok(asked);
            }
        }
    }

    /// Keeps the secrets of `issuer` until dropped.
    pub(crate) async fn run(mut self, issuer: Issuer, hands: Hands, metrics: Metrics) {
        let mut is_away = false;
        let rejections = RejectionLog::default();
        loop {
            let turned = self.tend(&issuer, &hands).await;
            if let Err(error) = &turned {
                log_failure(error, is_away, &rejections);
            }
            is_away = turned.is_err();
            let since = self.ledger.borrow().since;
            metrics.secret_since.set(i64::try_from(since).unwrap_or(i64::MAX));
            tokio::time::sleep(turned.unwrap_or(READ_EVERY).min(READ_EVERY)).await;
        }
    }

    /// Takes a turn for an issuer, which learns before the step, however long that takes, until when its key
    /// is sure to be accepted.
    async fn tend(&mut self, issuer: &Issuer, hands: &Hands) -> Result<Duration, DbError> {
        let Some((ledger, now)) = self.look().await? else { return Ok(Duration::ZERO) };
        let sure = self.policy.max_ttl + PROPAGATION;
        issuer.set_horizon(clock::unix_seconds() + sure.as_secs());
        self.act(&ledger, now, hands).await
    }

    /// Reads the ledger and takes one step of it, if it is our turn; returns when to come again.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn turn(&mut self, hands: &Hands) -> Result<Duration, DbError> {
        match self.look().await? {
            Some((ledger, now)) => self.act(&ledger, now, hands).await,
            None => Ok(Duration::ZERO),
        }
    }

    /// Reads and follows the ledger; nothing where Redis had lost something that is put back now.
    async fn look(&mut self) -> Result<Option<(Ledger, u64)>, DbError> {
        let snapshot = self.db.read().await?;
        self.known.extend(remember(&snapshot));
        if self.mend(&snapshot).await? {
            return Ok(None);
        }
        let Some(ledger) = snapshot.ledger else { return Ok(None) };
        self.follow(&ledger);
        self.remove_blank(&snapshot.secrets).await?;
        Ok(Some((ledger, snapshot.now)))
    }

    /// Takes secrets without a letter out of the set: coturn admits everybody who signs with the
    /// empty key while `""` is a member. The set is not empty then, since the secret that signs is
    /// one of it.
    async fn remove_blank(&self, secrets: &[String]) -> Result<(), DbError> {
        for blank in secrets.iter().filter(|secret| secret.trim().is_empty()) {
            error!(
                "a blank secret was in the relays' Redis, with which they admit everybody: taking \
                 it out; find what wrote it"
            );
            self.db.remove(blank).await?;
        }
        Ok(())
    }

    /// Takes the next step, if nobody else has the lead.
    async fn act(&self, ledger: &Ledger, now: u64, hands: &Hands) -> Result<Duration, DbError> {
        if !self.db.lead("rotation", &hands.who, LEASE).await? {
            return Ok(READ_EVERY);
        }
        self.step(ledger, now, hands).await
    }

    fn follow(&mut self, ledger: &Ledger) {
        if self.ledger.borrow().signing != ledger.signing {
            info!(secret = %ledger.signing, "secret {} signs from now on", ledger.signing);
            self.hand.set(parse(&self.known[&ledger.signing]));
        }
        self.ledger.send_if_modified(|known| {
            let changed = known != ledger;
            known.clone_from(ledger);
            changed
        });
    }

    /// Puts back what Redis has lost; tells whether anything was wrong.
    async fn mend(&self, snapshot: &Snapshot) -> Result<bool, DbError> {
        let there: HashMap<_, _> = remember(snapshot).collect();
        let Some(ledger) = &snapshot.ledger else {
            let own = Ledger { version: 1, ..self.ledger.borrow().clone() };
            warn!("the relays' Redis has lost the ledger; putting it back");
            let signing = self.known.get(&own.signing).map(String::as_str);
            self.db.commit(0, &own, signing, None).await?;
            return Ok(true);
        };
        let mut lost = ledger.secrets().filter(|secret| !there.contains_key(secret));
        if let Some(secret) = lost.find_map(|secret| self.known.get(secret)) {
            warn!("the relays' Redis has lost a secret in use; putting it back");
            let mended = Ledger { version: ledger.version + 1, ..ledger.clone() };
            self.db.commit(ledger.version, &mended, Some(secret), None).await?;
            return Ok(true);
        }
        let is_lost = !there.contains_key(&ledger.signing);
        if is_lost {
            settle(&self.db).await?;
        }
        Ok(is_lost)
    }

    async fn step(&self, ledger: &Ledger, now: u64, hands: &Hands) -> Result<Duration, DbError> {
        match ledger.next(&self.policy, now) {
            Step::Stage => {
                let secret = new_secret();
                let next = ledger.staged(Fingerprint::of(&secret));
                self.db.commit(ledger.version, &next, Some(&secret), None).await?;
            }
            Step::Prove(staged) => return self.prove(ledger, &staged, now, hands).await,
            Step::Retire(old) => {
                let secret = self.known.get(&old).map(String::as_str);
                self.db.commit(ledger.version, &ledger.retired(&old), None, secret).await?;
                info!(secret = %old, "secret {old} is retired");
            }
            Step::Rest(rest) => return Ok(rest),
        }
        Ok(Duration::ZERO)
    }

    async fn prove(
        &self,
        ledger: &Ledger,
        staged: &Fingerprint,
        now: u64,
        hands: &Hands,
    ) -> Result<Duration, DbError> {
        let Some(secret) = self.known.get(staged) else {
            self.db.commit(ledger.version, &ledger.given_up(now), None, None).await?;
            return Ok(Duration::ZERO);
        };
        match prove(secret, &hands.pools, &hands.dialing).await {
            Verdict::Accepted => {
                let flipped = ledger.flipped(&self.policy, now);
                self.db.commit(ledger.version, &flipped, None, None).await?;
            }
            Verdict::Refused { relay, code } => {
                warn!(relay = %relay, code, "relay {relay} refuses the new secret: no rotation");
                let given_up = ledger.given_up(now);
                self.db.commit(ledger.version, &given_up, None, Some(secret)).await?;
            }
            Verdict::Unknown => {
                warn!("no relay answers: the new secret cannot be proved");
                return Ok(PROVE_AGAIN_AFTER);
            }
        }
        Ok(Duration::ZERO)
    }
}

/// Finds the secret that signs; adopts one of the set, or makes the first one.
async fn settle(db: &RelayDb) -> Result<(Ledger, Snapshot), DbError> {
    loop {
        let snapshot = db.read().await?;
        let there: HashMap<_, _> = remember(&snapshot).collect();
        let known = snapshot.ledger.clone().filter(|l| there.contains_key(&l.signing));
        if let Some(ledger) = known {
            return Ok((ledger, snapshot));
        }
        let after = snapshot.ledger.as_ref().map_or(0, |ledger| ledger.version);
        let first = snapshot.secrets.iter().filter(|secret| is_strong(secret)).min();
        let made = first.is_none().then(new_secret);
        let signing = first.or(made.as_ref()).expect("one of them is there");
        let adopted = Ledger::adopt(Fingerprint::of(signing), snapshot.now);
        let adopted = Ledger { version: after + 1, ..adopted };
        info!(secret = %adopted.signing, "beginning with secret {}", adopted.signing);
        db.commit(after, &adopted, made.as_deref(), None).await?;
    }
}

fn remember(snapshot: &Snapshot) -> impl Iterator<Item = (Fingerprint, String)> {
    let strong = snapshot.secrets.iter().filter(|secret| is_strong(secret));
    strong.map(|secret| (Fingerprint::of(secret), secret.clone()))
}

/// Tells whether a secret of the set may sign; a weak one of an operator's is left alone.
fn is_strong(secret: &str) -> bool {
    Secrets::parse(secret).is_ok_and(|secrets| secrets.all().count() == 1)
}

/// Makes a secret of 256 bits.
fn new_secret() -> String {
    service_kit::random::token() + &service_kit::random::token()
}

fn parse(secret: &str) -> Secrets {
    Secrets::parse(secret).expect("only strong secrets are remembered, and ours are")
}
/// Logs an outage when it begins, and a rejection whenever its cause is news: one may follow the other unseen.
fn log_failure(error: &DbError, is_away: bool, rejections: &RejectionLog) {
    if let Some(advice) = rejections.advice_to_log(&error.to_string(), Instant::now()) {
        error!(%error, "the relays' Redis rejects this service (TURN_CRED_REDIS_URL): {error}: {advice}");
    } else if !is_away {
        warn!(%error, "the secrets cannot be followed: {error}");
    }
}
