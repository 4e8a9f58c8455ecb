//! `signal-node doctor`: comes to a cluster as a client would, through whatever stands before it, and tells what it
//! found; and looks at the Redis of the settings as a node does.

mod client;
mod cluster;
mod credentials;
mod log;
mod report;
mod webhooks;

use std::io;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use service_kit::clock;
use service_kit::findings::{CheckResult, OutputFormat};
use service_kit::lifecycle::Exit;
use service_kit::program::block_on;
use service_kit::redis_access::RedisAccess;
use service_kit::secrets::SecretSource;
use service_kit::settings::{Faults, Reader, Resolved, parse_duration};
use service_kit::tokens::{Claims, mint};
use signal_protocol::RoomId;

use self::client::Target;
use self::report::Report;
use crate::config::read_credentials;
use crate::credentials::CredentialsUrl;
use crate::log::redis::{Publishing, RedisPrefix};
use crate::webhooks::WebhookSettings;

/// What is asked for on the command line and in the settings.
struct Visit {
    target: Option<Target>,
    redis: Option<(RedisAccess, (RedisPrefix, Publishing))>,
    credentials: Option<(CredentialsUrl, Option<SecretSource>)>,
    webhooks: Option<WebhookSettings>,
    room: RoomId,
    questions: Questions,
}

/// What is looked at of a cluster beside what always is.
struct Questions {
    /// How long a socket stays without a word.
    idle: Option<Duration>,
    requires_ice: bool,
    /// Pages that shall be admitted.
    origins: Vec<String>,
}

/// The subcommand.
#[must_use]
pub fn command() -> Command {
    let arg = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("doctor")
        .about("Comes to a cluster as a client would, and looks at Redis as a node does")
        .long_about(
            "Joins a room of a cluster as two members over two nodes, who say a word to each other, and tells what \
             stands in the way and what to do about it. With the settings of a node it looks at its Redis, its credential \
             service and the endpoints of its webhooks as well.\n\n\
             Exit code 0 if nothing failed, 1 if something did.",
        )
        .after_help(
            "Examples:\n  \
             signal-node doctor --url wss://signal.example.org --token-file ana.jwt --origin https://app.example.org\n  \
             SIGNAL_NODE_JWT_SECRET_FILE=jwt.key signal-node doctor --url ws://127.0.0.1:8080 --idle 2m\n  \
             SIGNAL_NODE_BACKEND=redis SIGNAL_NODE_REDIS_URL_FILE=redis-url signal-node doctor",
        )
        .arg(arg("url", "URL", "The cluster: ws://HOST:PORT or wss://HOST").value_parser(Target::parse))
        .arg(arg("token-file", "FILE", "A token that opens the room; without it one is minted with SIGNAL_NODE_JWT_SECRET[_FILE], or none is shown").value_parser(read_token_file))
        .arg(arg("room", "ROOM", "The room to meet in").default_value("doctor").value_parser(|text: &str| text.parse::<RoomId>()))
        .arg(arg("origin", "ORIGIN", "A page that has to be admitted, as its browser says it: http://localhost:3000; may be given again").action(ArgAction::Append))
        .arg(arg("idle", "DURATION", "Also keep a socket open for so long without a word, which balancers may cut").value_parser(parse_duration))
        .arg(Arg::new("require-ice").long("require-ice").action(ArgAction::SetTrue).help("Fail if members get no ICE servers, which otherwise is a warning"))
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON document"))
}

/// Looks at everything that was asked for.
///
/// # Errors
/// What is wrong with the settings.
pub fn examine(resolved: &Resolved, asked: &ArgMatches) -> Result<Exit, Faults> {
    let visit = Visit::read(resolved, asked)?;
    let mut out = io::stdout();
    let format = OutputFormat::for_stdout(asked.get_flag("json"));
    let mut report = Report::new(format, &mut out);
    let looked: io::Result<()> = block_on(async {
        if let Some(target) = &visit.target {
            cluster::examine(target, &visit.room, &visit.questions, &mut report).await;
        }
        if let Some((access, names)) = &visit.redis {
            log::examine(access, names, &mut report).await;
        }
        if let Some((url, token)) = &visit.credentials {
            report.add(credentials::examine(url, token.clone()).await);
        }
        if let Some(settings) = &visit.webhooks {
            webhooks::examine(settings).await.into_iter().for_each(|found| report.add(found));
        }
        Ok(())
    });
    if let Err(failed) = looked {
        eprintln!("signal-node: cannot look: {failed}");
        return Ok(Exit::Failed);
    }
    Ok(if report.end() == CheckResult::Fail { Exit::Failed } else { Exit::Drained })
}

impl Visit {
    fn read(resolved: &Resolved, asked: &ArgMatches) -> Result<Self, Faults> {
        let mut reader = resolved.reader();
        let r = &mut reader;
        let room = asked.get_one::<RoomId>("room").expect("it has a default").clone();
        let token = read_token(r, asked, &room);
        let names = (r.parse("redis_prefix"), r.parse("redis_publishing"));
        let redis = RedisAccess::read(r).map(|access| (access, names));
        let credentials = read_credentials(r);
        let webhooks = WebhookSettings::read(r);
        let target = asked.get_one::<Target>("url").map(|target| target.clone().with_token(token));
        let is_alone = target.is_none() && credentials.is_none() && webhooks.is_none();
        if is_alone && !r.is_set("redis_url") {
            r.fault("redis_url", "is not set, and there is no --url: there is nothing to look at");
        }
        reader.finish()?;
        let origins = asked.get_many::<String>("origin").into_iter().flatten().cloned();
        let questions = Questions {
            idle: asked.get_one::<Duration>("idle").copied(),
            requires_ice: asked.get_flag("require-ice"),
            origins: origins.collect(),
        };
        Ok(Self { target, redis, credentials, webhooks, room, questions })
    }
}

fn read_token_file(path: &str) -> io::Result<String> {
    std::fs::read_to_string(path).map(|token| token.trim().to_owned())
}

/// Takes the token from its file, or mints one that opens this room for a few minutes.
fn read_token(r: &mut Reader<'_>, asked: &ArgMatches, room: &RoomId) -> Option<String> {
    let secret = r.secrets("jwt_secret");
    let (issuer, audience) = (r.optional_text("jwt_issuer"), r.optional_text("jwt_audience"));
    if let Some(token) = asked.get_one::<String>("token-file") {
        return Some(token.clone());
    }
    let mut claims = Claims::new("doctor", clock::unix_seconds() + 3_600);
    claims.rooms = vec![room.to_string()];
    claims.iss = issuer;
    claims.aud = audience.into_iter().collect();
    secret.map(|secret| mint(&claims, secret.current().signing()))
}
