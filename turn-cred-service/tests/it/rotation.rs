//! Rotation of secrets in coturn's Redis: under load, after crashes, by many instances at once.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use service_kit::clock;
use service_kit::redis_access::RedisAccess;
use service_kit::settings::Environment;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use turn_cred_service::credential::Credential;
use turn_cred_service::pool::{Pool, Pools};
use turn_cred_service::relay::{ConnectOptions, RelayError, TrustStore, TurnClient};
use turn_cred_service::relay_db::RelayDb;
use turn_cred_service::rotation::rotator::RotationContext;
use turn_cred_service::rotation::{Ledger, RotationPolicy, RotationRequest, SecretRotator};

use crate::support::coturn::{Coturn, connect_options};
use crate::support::redis::Redis;
use crate::support::{ApiResponse, TestService, token};

const REALM: &str = "turn.test";

const POLICY: RotationPolicy = RotationPolicy {
    every: None,
    max_ttl: Duration::from_secs(600),
    skew: Duration::from_secs(30),
};

async fn db(redis: &Redis) -> RelayDb {
    RelayDb::connect(&RedisAccess::from_url(&redis.url()).unwrap(), REALM).await.unwrap()
}

async fn rotator(redis: &Redis) -> SecretRotator {
    SecretRotator::open(db(redis).await, POLICY, None).await.unwrap()
}

/// The context of a further process.
fn context(relays: &[&Coturn]) -> RotationContext {
    let uris = relays.iter().map(|relay| relay.udp().to_string()).collect::<Vec<_>>().join(",");
    let pool = Pool::parse(&"default".parse().unwrap(), &uris).unwrap();
    let leader_id = service_kit::random::token();
    RotationContext {
        leader_id,
        pools: Pools::new(vec![pool]),
        connect_options: connect_options(TrustStore::system()),
    }
}

/// Advances until the requested rotation is complete; another instance may take the steps.
async fn run_to_completion(rotator: &mut SecretRotator, context: &RotationContext) {
    while rotator.ledger().borrow().retiring.is_empty() {
        let rest = rotator.advance_once(context).await.unwrap();
        assert_eq!(rotator.ledger().borrow().failed, None, "a relay refused");
        tokio::time::sleep(rest.min(Duration::from_millis(50))).await;
    }
}

async fn ledger(redis: &Redis) -> Ledger {
    db(redis).await.read().await.unwrap().ledger.unwrap()
}

async fn allocate(coturn: &Coturn, credential: &Credential) -> Result<(), Option<u16>> {
    try_to_allocate(coturn, credential).await.map_err(|error| error.code())
}

async fn try_to_allocate(coturn: &Coturn, credential: &Credential) -> Result<(), RelayError> {
    // Loading the system's certificates takes long, so they are loaded once.
    static CONNECT_OPTIONS: LazyLock<ConnectOptions> =
        LazyLock::new(|| connect_options(TrustStore::system()));
    let mut client = TurnClient::connect(&coturn.udp(), &CONNECT_OPTIONS).await?;
    client.allocate(credential).await?;
    client.refresh(Duration::ZERO).await
}

/// A credential signed with `secret`, valid for a minute.
fn signed(secret: &str) -> Credential {
    let expiry = clock::unix_seconds() + 60;
    Credential::issue(secret.as_bytes(), &"ana".parse().unwrap(), expiry)
}

#[tokio::test]
async fn without_a_secret_the_service_makes_one_and_the_relay_accepts_what_it_signs() {
    let redis = Redis::start().await;
    let coturn = Coturn::with_redis(&redis).await;
    let service = TestService::with_redis(&redis, &coturn.udp().to_string(), &[]).await;
    assert_eq!(redis.secrets().await.len(), 1);
    let answer = ApiResponse::of(service.ice_servers("ana")).await;
    let (username, password) = answer.credential();
    let (username, password) = (username.to_owned(), password.to_owned());
    assert_eq!(allocate(&coturn, &Credential { username, password }).await, Ok(()));
}

#[tokio::test]
async fn another_service_signs_with_the_same_secret_and_hides_subjects_alike() {
    let redis = Redis::start().await;
    let uris = "turn:127.0.0.1:3478";
    let (one, two) = (
        TestService::with_redis(&redis, uris, &[]).await,
        TestService::with_redis(&redis, uris, &[]).await,
    );
    let (one, two) = (
        ApiResponse::of(one.ice_servers("ana")).await,
        ApiResponse::of(two.ice_servers("ana")).await,
    );
    let subject =
        |answer: &ApiResponse| answer.credential().0.split(':').nth(1).unwrap().to_owned();
    assert_eq!(subject(&one), subject(&two));
    assert_eq!(redis.secrets().await.len(), 1);
}

#[tokio::test]
async fn a_rotation_goes_on_in_whatever_process_comes_after_a_crash() {
    let redis = Redis::start().await;
    let coturn = Coturn::with_redis(&redis).await;
    let first = rotator(&redis).await.request(RotationRequest::Rotation).await.unwrap();
    let mut steps = Vec::new();
    while ledger(&redis).await.request.is_some() {
        // Each process takes one step and ends; its lease is deleted, as if it had expired.
        let before = ledger(&redis).await.version;
        rotator(&redis).await.advance_once(&context(&[&coturn])).await.unwrap();
        let _: i64 = redis.run(&["DEL", "turncred/realm/turn.test/leader/rotation"]).await;
        steps.push(ledger(&redis).await.version - before);
    }
    assert_eq!(steps, [1, 1], "staged, then proved and flipped");
    let ledger = ledger(&redis).await;
    assert_ne!(ledger.signing, first.signing);
    assert_eq!(ledger.retiring.len(), 1);
    assert_eq!(redis.secrets().await.len(), 2);
    for secret in redis.secrets().await {
        assert_eq!(allocate(&coturn, &signed(&secret)).await, Ok(()));
    }
}

#[tokio::test]
async fn many_services_rotate_once() {
    let redis = Redis::start().await;
    let coturn = Coturn::with_redis(&redis).await;
    let mut rotators = Vec::new();
    for _ in 0..8 {
        rotators.push((rotator(&redis).await, context(&[&coturn])));
    }
    let before = rotators[0].0.request(RotationRequest::Rotation).await.unwrap();
    let mut tasks = JoinSet::new();
    for (mut rotator, context) in rotators {
        tasks.spawn(async move {
            run_to_completion(&mut rotator, &context).await;
            rotator.keys().signing.current().signing().to_vec()
        });
    }
    let signing: HashSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(signing.len(), 1, "all sign with the same secret");
    assert_eq!(redis.secrets().await.len(), 2, "there is one new secret");
    assert_eq!(ledger(&redis).await.version, before.version + 2);
}

#[tokio::test]
async fn a_secret_that_one_relay_refuses_never_signs_and_is_taken_back() {
    let redis = Redis::start().await;
    let known = "what-the-other-relay-has-in-its-file-only";
    let _: i64 = redis.run(&["SADD", "turn/realm/turn.test/secret", known]).await;
    let (one, other) = (Coturn::with_redis(&redis).await, Coturn::start(known).await);
    let mut rotator = rotator(&redis).await;
    let before = rotator.request(RotationRequest::Rotation).await.unwrap();
    let context = context(&[&one, &other]);
    while ledger(&redis).await.failed.is_none() {
        rotator.advance_once(&context).await.unwrap();
    }
    assert_eq!(ledger(&redis).await.signing, before.signing);
    assert_eq!(redis.secrets().await, [known]);
}

#[tokio::test]
async fn a_blank_secret_of_the_set_is_taken_out_and_admits_nobody() {
    let redis = Redis::start().await;
    let coturn = Coturn::with_redis(&redis).await;
    for blank in ["", " ", "\t\r"] {
        let _: i64 = redis.run(&["SADD", "turn/realm/turn.test/secret", blank]).await;
    }
    assert_eq!(allocate(&coturn, &signed("")).await, Ok(()), "the relay is open to the world");
    let mut rotator = rotator(&redis).await;
    let rest = rotator.advance_once(&context(&[&coturn])).await.unwrap();
    assert!(rest > Duration::ZERO, "nothing is left to do");
    let [own] = &redis.secrets().await[..] else { panic!("there is one secret") };
    for blank in ["", " ", "\t\r"] {
        assert_eq!(allocate(&coturn, &signed(blank)).await, Err(Some(401)), "{blank:?}");
    }
    assert_eq!(allocate(&coturn, &signed(own)).await, Ok(()));
}

#[tokio::test]
async fn a_redis_that_lost_everything_gets_its_secrets_back() {
    let redis = Redis::start().await;
    let coturn = Coturn::with_redis(&redis).await;
    let (mut rotator, context) = (rotator(&redis).await, context(&[&coturn]));
    rotator.request(RotationRequest::Rotation).await.unwrap();
    run_to_completion(&mut rotator, &context).await;
    let before: HashSet<_> = redis.secrets().await.into_iter().collect();
    let _: () = redis.run(&["FLUSHALL"]).await;
    while redis.secrets().await.len() < 2 {
        rotator.advance_once(&context).await.unwrap();
    }
    assert_eq!(redis.secrets().await.into_iter().collect::<HashSet<_>>(), before);
    for secret in &before {
        assert_eq!(allocate(&coturn, &signed(secret)).await, Ok(()));
    }
}

#[tokio::test]
async fn in_an_emergency_the_old_secret_is_refused_within_seconds() {
    let redis = Redis::start().await;
    let coturn = Coturn::with_redis(&redis).await;
    let (mut rotator, context) = (rotator(&redis).await, context(&[&coturn]));
    let [old] = &redis.secrets().await[..] else { panic!("there is one secret") };
    assert_eq!(allocate(&coturn, &signed(old)).await, Ok(()));
    rotator.request(RotationRequest::Emergency).await.unwrap();
    let asked = Instant::now();
    while redis.secrets().await.contains(old) {
        rotator.advance_once(&context).await.unwrap();
    }
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
    assert_eq!(allocate(&coturn, &signed(old)).await, Err(Some(401)));
    let [new] = &redis.secrets().await[..] else { panic!("there is one secret") };
    assert_eq!(allocate(&coturn, &signed(new)).await, Ok(()));
}

/// Results of the callers.
#[derive(Default)]
struct StormStats {
    minted: AtomicU64,
    allocated: AtomicU64,
    refused: AtomicU64,
    /// Without a response or too late because of a slow machine, not because of the rotation.
    lost: AtomicU64,
}

impl StormStats {
    fn refuse(&self, why: std::fmt::Arguments<'_>) {
        println!("{why}");
        self.refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Duration of the load: `ROTATION_SECONDS` for measurements; in tests long enough that the first
/// secrets have been retired.
fn storm_duration() -> Duration {
    let environment = Environment::from_process();
    let seconds = environment.get("ROTATION_SECONDS").and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(30))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_every_five_seconds_under_200_mints_a_second_refuse_nobody() {
    let redis = Redis::start().await;
    let relays = [Coturn::with_redis(&redis).await, Coturn::with_redis(&redis).await];
    let uris = format!("{},{}", relays[0].udp(), relays[1].udp());
    let settings = [
        ("TURN_CRED_ROTATE_EVERY", "5s"),
        ("TURN_CRED_CLOCK_SKEW", "1s"),
        ("TURN_CRED_TTL", "10s"),
        ("TURN_CRED_MAX_TTL", "10s"),
    ];
    let services = [
        TestService::with_redis(&redis, &uris, &settings).await,
        TestService::with_redis(&redis, &uris, &settings).await,
    ];
    let [oldest] = &redis.secrets().await[..] else { panic!("there is one secret") };
    let (seen, relays) = (Arc::new(StormStats::default()), Arc::new(relays));
    let began = Instant::now();
    let mut pace = interval(Duration::from_millis(5));
    let mut callers = JoinSet::new();
    while began.elapsed() < storm_duration() {
        pace.tick().await;
        let number = seen.minted.fetch_add(1, Ordering::Relaxed);
        let service = &services[usize::from(!number.is_multiple_of(2))];
        let request = service.ice_servers(&format!("user-{}", number % 50));
        callers.spawn(call(request, relays.clone(), number, seen.clone()));
        while callers.try_join_next().is_some() {}
    }
    callers.join_all().await;
    let ledger = ledger(&redis).await;
    let (minted, allocated) =
        (seen.minted.load(Ordering::Relaxed), seen.allocated.load(Ordering::Relaxed));
    let lost = seen.lost.load(Ordering::Relaxed);
    println!("{minted} mints, {allocated} allocations, {lost} lost, ledger {}", ledger.version);
    assert_eq!(seen.refused.load(Ordering::Relaxed), 0);
    assert!(lost * 50 <= minted, "{lost} of {minted} lost");
    assert!(minted >= 150 * storm_duration().as_secs(), "{minted} mints");
    assert!(ledger.version >= 8, "{ledger:?}");
    assert!(!redis.secrets().await.contains(oldest), "the first secret is retired");
    assert_eq!(allocate(&relays[0], &signed(oldest)).await, Err(Some(401)));
}

/// Requests a credential and allocates with it, at once or shortly before its expiry.
async fn call(
    request: reqwest::RequestBuilder,
    relays: Arc<[Coturn; 2]>,
    number: u64,
    seen: Arc<StormStats>,
) {
    let Ok(answer) = ApiResponse::try_of(request).await else {
        seen.lost.fetch_add(1, Ordering::Relaxed);
        return;
    };
    if answer.status != 200 {
        seen.refuse(format_args!("the service answered {}", answer.status));
        return;
    }
    if !number.is_multiple_of(4) {
        return;
    }
    let (username, password) = answer.credential();
    let credential = Credential { username: username.to_owned(), password: password.to_owned() };
    let end = turn_cred_service::credential::expiry(username).unwrap();
    // Half of the callers wait until the secret no longer signs.
    while number.is_multiple_of(8) && clock::unix_seconds() + 4 < end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let allocated = allocate(&relays[usize::from(number.is_multiple_of(3))], &credential).await;
    match allocated {
        Ok(()) => drop(seen.allocated.fetch_add(1, Ordering::Relaxed)),
        // After the expiry a rejection is correct: this machine was too slow.
        Err(Some(code)) if clock::unix_seconds() < end => {
            seen.refuse(format_args!("a relay answered {code}"));
        }
        Err(_) => drop(seen.lost.fetch_add(1, Ordering::Relaxed)),
    }
}

#[tokio::test]
async fn the_program_rotates_and_tells_each_step() {
    let redis = Redis::start().await;
    let coturn = Coturn::with_redis(&redis).await;
    let (url, uri) = (redis.url(), coturn.udp().to_string());
    let variables = [
        ("TURN_CRED_REDIS_URL", url.as_str()),
        ("TURN_CRED_REALM", REALM),
        ("TURN_CRED_URIS", uri.as_str()),
    ];
    let (output, stdout, stderr) = crate::program::run(&["rotate"], &variables).await;
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let lines: Vec<_> = stdout.lines().collect();
    assert!(lines[0].ends_with("requested a rotation"), "{stdout}");
    assert!(lines[1].ends_with("testing it on every relay"), "{stdout}");
    assert!(lines[2].ends_with("it signs now"), "{stdout}");
    assert!(lines[3].contains("is accepted until 20"), "{stdout}");
    let secrets = redis.secrets().await;
    assert!(secrets.iter().all(|secret| !stdout.contains(secret) && !stderr.contains(secret)));

    let fixed = [("TURN_CRED_SECRET", token("x")), ("TURN_CRED_URIS", uri.clone())];
    let fixed = fixed.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (output, _, stderr) = crate::program::run(&["rotate"], &fixed).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("put it on top of that file"), "{stderr}");
}
