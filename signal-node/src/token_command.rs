//! `signal-node token`: makes tokens, and says what is wrong with one.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command};
use service_kit::clock;
use service_kit::lifecycle::Exit;
use service_kit::program::{block_on, print};
use service_kit::settings::{Faults, Resolved};
use service_kit::tokens::{Claims, Right, TokenError, Verifier, mint};
use signal_node::config::Config;
use signal_protocol::Subject;
use tokio_util::sync::CancellationToken;

pub(crate) fn command() -> Command {
    Command::new("token")
        .about("Makes and checks tokens")
        .subcommand_required(true)
        .subcommand(mint_command())
        .subcommand(check_command())
}

/// # Errors
/// If the settings cannot be used.
pub(crate) fn perform(resolved: &Resolved, asked: &ArgMatches) -> Result<Exit, Faults> {
    match asked.subcommand() {
        Some(("mint", asked)) => mint_token(resolved, asked),
        Some(("check", asked)) => check_token(resolved, asked),
        _ => Ok(Exit::Unusable),
    }
}

fn mint_command() -> Command {
    let arg = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    let rights = ["signal", "moderate", "admin"];
    Command::new("mint")
        .about("Prints a token signed with the first key of SIGNAL_NODE_JWT_SECRET[_FILE]")
        .arg(arg("sub", "SUBJECT", "Whose token it is").required(true).value_parser(Subject::new))
        .arg(
            arg("room", "ROOM", "A room it opens, exact or with a trailing *; may be repeated")
                .required(true)
                .action(ArgAction::Append),
        )
        .arg(
            arg("can", "RIGHT", "What it allows; may be repeated [default: signal]")
                .action(ArgAction::Append)
                .value_parser(rights),
        )
        .arg(
            arg(
                "watch",
                "USER",
                "A user whom it may watch, exact or with a trailing *; may be repeated",
            )
            .action(ArgAction::Append),
        )
        .arg(
            arg(
                "call",
                "USER",
                "A user whom it may call, exact or with a trailing *; may be repeated",
            )
            .action(ArgAction::Append),
        )
        .arg(
            arg("token-ttl", "DURATION", "How long it is good for")
                .alias("ttl")
                .default_value("1h")
                .value_parser(service_kit::settings::parse_duration),
        )
}

fn mint_token(resolved: &Resolved, asked: &ArgMatches) -> Result<Exit, Faults> {
    let mut reader = resolved.reader();
    let secret = reader.secrets("jwt_secret");
    let (issuer, audience) =
        (reader.optional_text("jwt_issuer"), reader.optional_text("jwt_audience"));
    if secret.is_none() {
        reader.fault("jwt_secret", "is needed to sign a token");
    }
    reader.finish()?;
    let subject = asked.get_one::<Subject>("sub").expect("it is a required argument");
    let ttl = asked.get_one::<Duration>("token-ttl").expect("it has a default");
    let mut claims = Claims::new(subject.as_str(), clock::unix_seconds() + ttl.as_secs());
    claims.rooms = asked.get_many("room").into_iter().flatten().cloned().collect();
    claims.watch = asked.get_many("watch").into_iter().flatten().cloned().collect();
    claims.call = asked.get_many("call").into_iter().flatten().cloned().collect();
    claims.iss = issuer;
    claims.aud = audience.into_iter().collect();
    if let Some(rights) = asked.get_many::<String>("can") {
        claims.can = rights.map(|right| read_right(right)).collect();
    }
    let secrets = secret.expect("its absence is a fault").current();
    print(&(mint(&claims, secrets.signing()) + "\n"));
    Ok(Exit::Drained)
}

fn read_right(word: &str) -> Right {
    match word {
        "moderate" => Right::Moderate,
        "admin" => Right::Admin,
        _ => Right::Signal,
    }
}

fn check_command() -> Command {
    Command::new("check")
        .about("Says whether the node, with these settings, takes a token, and what the token opens")
        .long_about(
            "Says whether the node, with these settings, takes a token, and what the token opens. Reads it \
             from a file or from its input, since arguments are seen by everyone on the machine. Exit code 0 \
             if it is taken, 1 if not. Whether it was revoked is known to running nodes only.",
        )
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .help("The token; without it or with -, from standard input")
                .value_parser(clap::value_parser!(PathBuf)),
        )
}

fn check_token(resolved: &Resolved, asked: &ArgMatches) -> Result<Exit, Faults> {
    let verifier = Arc::new(Config::read(resolved)?.verifier);
    let token = match read_token(asked.get_one::<PathBuf>("file")) {
        Ok(token) => token,
        Err(error) => {
            eprintln!("signal-node: cannot read the token: {error}");
            return Ok(Exit::Failed);
        }
    };
    match verify(&verifier, token.trim()) {
        Ok(Ok(claims)) => {
            print(&describe(&claims));
            Ok(Exit::Drained)
        }
        Ok(Err(error)) => {
            print(&format!("refused: {error}\n"));
            Ok(Exit::Failed)
        }
        Err(error) => {
            eprintln!("signal-node: cannot check: {error}");
            Ok(Exit::Failed)
        }
    }
}

fn read_token(file: Option<&PathBuf>) -> io::Result<String> {
    if let Some(path) = file.filter(|path| path.as_os_str() != "-") {
        return std::fs::read_to_string(path);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map(|_| text)
}

/// Verifies a token as a node does; keys behind a URL are fetched first.
fn verify(verifier: &Arc<Verifier>, token: &str) -> io::Result<Result<Claims, TokenError>> {
    let mut verdict = Err(TokenError::Malformed);
    block_on(async {
        let end = CancellationToken::new();
        let fetching = tokio::spawn(verifier.clone().refresh(end.clone()));
        verdict = verifier.verify_fresh(token, clock::unix_now()).await;
        end.cancel();
        fetching.await.map_err(io::Error::from)
    })?;
    Ok(verdict)
}

fn describe(claims: &Claims) -> String {
    let now = clock::unix_seconds();
    let list = |words: Vec<String>| match &words[..] {
        [] => "none".to_owned(),
        words => words.join(", "),
    };
    let rights = claims.can.iter().map(|right| name_of(*right).to_owned()).collect();
    let lines = [
        ("taken", "yes".to_owned()),
        ("subject", claims.sub.clone()),
        ("rooms", list(claims.rooms.clone())),
        ("rights", list(rights)),
        (
            "ends",
            format!("{}, in {} s", clock::rfc3339(claims.exp), claims.exp.saturating_sub(now)),
        ),
        (
            "id",
            claims
                .jti
                .clone()
                .unwrap_or_else(|| "none: it is revoked with its subject only".to_owned()),
        ),
    ];
    let lines = lines.map(|(name, value)| format!("{name:8} {value}"));
    lines.join("\n") + "\n"
}

fn name_of(right: Right) -> &'static str {
    match right {
        Right::Signal => "signal",
        Right::Moderate => "moderate",
        Right::Admin => "admin",
    }
}
