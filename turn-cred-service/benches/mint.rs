//! Measures the rate of issued credentials: by the issuer alone, and by the service over HTTP on
//! one core.
//!
//! `make bench` runs it. The service is the release binary, pinned to one core, with its metrics
//! and limits; this process loads it from another core. Timers have a resolution of one
//! millisecond, so latencies below that are not meaningful. Every request has another subject, so
//! none is answered from the cache. CPU time is that of all threads of the service, read from
//! `/proc`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use service_kit::secrets::{SecretSource, Secrets};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};
use turn_cred_service::credential::CredentialOwner;
use turn_cred_service::issuer::{CredentialRequest, Issuer, Keys};
use turn_cred_service::pool::{Pool, Pools};
use turn_cred_service::ttl::TtlSettings;

const KEY: &str = "north-star-secret-of-thirty-two-bytes";
const RELAYS: &str = "turn:relay.example.org?transport=udp,turn:relay.example.org?transport=tcp";

/// Concurrent requests of the closed loop.
const CONNECTIONS: u64 = 32;
/// Duration of each measurement.
const TIME: Duration = Duration::from_secs(5);
/// Request rate of the latency measurement, and the connections it is spread over.
const RATE: u64 = 2_000;
const PACED_CONNECTIONS: u64 = 64;
/// Argument that runs this program as the baseline server.
const FLOOR: &str = "floor";
/// The clock in `/proc/<pid>/stat`, per second (`getconf CLK_TCK`).
const TICKS: f64 = 100.0;

#[tokio::main]
async fn main() -> io::Result<()> {
    let mut table = String::from("| what | measured |\n|---|---|\n");
    let mut row = |what: &str, measured: String| {
        writeln!(table, "| {what} | {measured} |").expect("a string takes everything");
    };
    if std::env::args().any(|argument| argument == FLOOR) {
        return serve_floor().await;
    }
    keep_off_core_0().await?;
    row("the issuer alone: one mint", format!("{:.1} µs", issuer_alone() * 1e6));
    let mut service = Service::start().await?;
    let closed = service.measure(closed_loop).await?;
    row("over HTTP, one core of service: mints per second", format!("{:.0}", closed.rate()));
    row("CPU of the service per mint", format!("{:.1} µs", closed.cpu_per_mint() * 1e6));
    service.process.kill().await?;
    let (mut service, mut floor) = (Service::start().await?, Service::floor().await?);
    for (what, service) in [("mints", &mut service), ("answers of the floor", &mut floor)] {
        let paced = service.measure(open_loop).await?;
        let at = |share| format!("{:.2} ms", paced.percentile(share).as_secs_f64() * 1e3);
        row(&format!("{RATE} {what} a second: p50, p99"), format!("{}, {}", at(0.5), at(0.99)));
        row(&format!("{RATE} {what} a second: reached"), format!("{:.0}", paced.rate()));
    }
    println!("{table}");
    floor.process.kill().await?;
    service.process.kill().await
}

fn on_core_0(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]).arg(program);
    command
}

/// Answers every segment with as many bytes as a credential has: the cost of HTTP and the machine
/// without the service.
async fn serve_floor() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", serde_json::json!({"internal": listener.local_addr()?.to_string()}));
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 420\r\n\r\n{}", "x".repeat(420));
    let answer: Arc<str> = answer.into();
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// Reserves the first core for the service.
async fn keep_off_core_0() -> io::Result<()> {
    let own = std::process::id().to_string();
    let arguments = ["--all-tasks", "--cpu-list", "--pid", "1", &own];
    Command::new("taskset").args(arguments).stdout(Stdio::null()).status().await.map(drop)
}

/// Returns the seconds per credential, without HTTP.
fn issuer_alone() -> f64 {
    const MINTS: u32 = 200_000;
    let signing = SecretSource::fixed(Secrets::parse(KEY).expect("it is long enough"));
    let pool = Pool::parse(&"eu".parse().expect("a name"), RELAYS).expect("two URLs");
    let ttl = Duration::from_secs(600);
    let keys = Keys { signing, pseudonyms: None };
    let issuer = Issuer::new(keys, Pools::new(vec![pool]), TtlSettings { default: ttl, max: ttl });
    let region = issuer.pools().region(None, None).expect("there is a default");
    let now = Duration::from_secs(1_700_000_000);
    let began = std::time::Instant::now();
    for number in 0..MINTS {
        let subject = format!("user-{number}").parse().expect("a subject");
        let owner = CredentialOwner::Subject(subject);
        let request = CredentialRequest { owner, room: None, region, ttl };
        black_box(issuer.issue(&request, now)).expect("it is issued");
    }
    began.elapsed().as_secs_f64() / f64::from(MINTS)
}

/// The service, pinned to one core.
struct Service {
    process: Child,
    address: String,
}

/// The result of a measurement.
struct Measured {
    latencies: Vec<Duration>,
    took: Duration,
    cpu: f64,
}

impl Measured {
    #[expect(clippy::cast_precision_loss, reason = "a run has some thousand mints")]
    fn count(&self) -> f64 {
        self.latencies.len() as f64
    }

    fn rate(&self) -> f64 {
        self.count() / self.took.as_secs_f64()
    }

    fn cpu_per_mint(&self) -> f64 {
        self.cpu / self.count()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is an index"
    )]
    fn percentile(&self, share: f64) -> Duration {
        self.latencies[((self.count() - 1.0) * share) as usize]
    }
}

impl Service {
    async fn start() -> io::Result<Self> {
        let mut command = on_core_0(env!("CARGO_BIN_EXE_turn-cred-service").as_ref());
        Self::run(command.env_clear().envs([
            ("TURN_CRED_LISTEN", "127.0.0.1:0"),
            ("TURN_CRED_ADMIN_LISTEN", "127.0.0.1:0"),
            ("TURN_CRED_INTERNAL_LISTEN", "127.0.0.1:0"),
            ("TURN_CRED_INTERNAL_TOKEN", KEY),
            ("TURN_CRED_SECRET", KEY),
            ("TURN_CRED_URIS", RELAYS),
            ("TURN_CRED_PROBE_EVERY", "0s"),
            ("TURN_CRED_LOG", "warn"),
        ]))
        .await
    }

    /// Starts the baseline server, which answers the same size without any work.
    async fn floor() -> io::Result<Self> {
        Self::run(on_core_0(&std::env::current_exe()?).arg(FLOOR)).await
    }

    async fn run(command: &mut Command) -> io::Result<Self> {
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdout = process.stdout.take().expect("it is piped");
        let line = BufReader::new(stdout).lines().next_line().await?.unwrap_or_default();
        let listening: serde_json::Value = serde_json::from_str(&line)?;
        let address = listening["internal"].as_str().expect("it listens there").to_owned();
        Ok(Self { process, address })
    }

    /// Runs a load and measures the CPU time of the service.
    async fn measure<F>(&mut self, load: impl FnOnce(String) -> F) -> io::Result<Measured>
    where
        F: Future<Output = io::Result<Vec<Duration>>>,
    {
        let (cpu, began) = (self.cpu()?, Instant::now());
        let mut latencies = load(self.address.clone()).await?;
        let (took, cpu) = (began.elapsed(), self.cpu()? - cpu);
        latencies.sort();
        Ok(Measured { latencies, took, cpu })
    }

    /// CPU seconds used so far.
    fn cpu(&self) -> io::Result<f64> {
        let id = self.process.id().expect("it runs");
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat"))?;
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split(' ').collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok());
        // utime and stime are fields 14 and 15 of proc_pid_stat(5); two fields precede the closing
        // parenthesis.
        Ok((ticks(12).unwrap_or_default() + ticks(13).unwrap_or_default()) / TICKS)
    }
}

/// A connection with one request at a time.
struct Connection(BufReader<TcpStream>);

impl Connection {
    async fn open(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    async fn mint(&mut self, number: u64) -> io::Result<()> {
        let body = format!("{{\"subject\":\"user-{number}\",\"room\":\"room-{}\"}}", number / 2);
        let request = format!(
            "POST /internal/v1/ice-servers HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {KEY}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).await?;
        let (mut line, mut length) = (String::new(), 0);
        self.0.read_line(&mut line).await?;
        assert!(line.starts_with("HTTP/1.1 200"), "{line}");
        while line != "\r\n" {
            line.clear();
            self.0.read_line(&mut line).await?;
            if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        self.0.read_exact(&mut vec![0; length]).await.map(drop)
    }
}

/// Sends the next request as soon as the response is there.
async fn closed_loop(address: String) -> io::Result<Vec<Duration>> {
    let number = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (address, number) = (address.clone(), Arc::clone(&number));
        tasks.spawn(async move {
            let (mut connection, mut latencies) = (Connection::open(&address).await?, Vec::new());
            let began = Instant::now();
            while began.elapsed() < TIME {
                let began_request = Instant::now();
                connection.mint(number.fetch_add(1, Ordering::Relaxed)).await?;
                latencies.push(began_request.elapsed());
            }
            Ok(latencies)
        });
    }
    join_results(tasks).await
}

/// Sends requests at a fixed rate. Latency counts from the time a request was due, so a slow
/// response does not hide the delay of those behind it.
async fn open_loop(address: String) -> io::Result<Vec<Duration>> {
    let mut tasks = JoinSet::new();
    let every = Duration::from_secs(1) * u32::try_from(PACED_CONNECTIONS).expect("it is small")
        / u32::try_from(RATE).expect("it is small");
    for index in 0..PACED_CONNECTIONS {
        let address = address.clone();
        tasks.spawn(async move {
            let (mut connection, mut latencies) = (Connection::open(&address).await?, Vec::new());
            sleep(every * u32::try_from(index).expect("it is small") / 64).await;
            let (mut ticks, began) = (interval(every), Instant::now());
            let mut number = index << 32;
            while began.elapsed() < TIME {
                let due = ticks.tick().await;
                connection.mint(number).await?;
                latencies.push(due.elapsed());
                number += 1;
            }
            Ok(latencies)
        });
    }
    join_results(tasks).await
}

async fn join_results(tasks: JoinSet<io::Result<Vec<Duration>>>) -> io::Result<Vec<Duration>> {
    let latencies: io::Result<Vec<_>> = tasks.join_all().await.into_iter().collect();
    Ok(latencies?.concat())
}
