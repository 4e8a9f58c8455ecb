use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use super::*;

const SCHEMA: Schema = Schema {
    program: "toy",
    about: "Tries the settings.",
    prefix: "TOY",
    examples: "Examples:\n  toy --grace 20s",
    settings: &[
        plain("listen", "network", Some("127.0.0.1:8080")),
        plain("origins", "network", None),
        plain("grace", "rooms", Some("30s")),
        plain("log_age", "rooms", Some("120s")),
        plain("rate", "rooms", Some("30/m")),
        plain("max_message", "rooms", Some("64KiB")),
        Setting { kind: Kind::Secret, ..plain("jwt_secret", "tokens", None) },
        Setting { kind: Kind::Secret, ..plain("redis_url", "redis", None) },
    ],
    tables: &["pools"],
};

const fn plain(name: &'static str, group: &'static str, default: Option<&'static str>) -> Setting {
    Setting { name, group, value: "VALUE", default, help: "Does something.", kind: Kind::Plain }
}

const KEY: &str = "canary-key-of-thirty-two-bytes-at-least";

fn resolve<const N: usize>(flags: &[&str], environment: [(&str, &str); N]) -> Resolved {
    let command = SCHEMA.command().subcommand(Command::new("serve"));
    let matches = command.try_get_matches_from([&["toy"], flags].concat()).unwrap();
    SCHEMA.resolve(&matches, &Environment::from(environment))
}

fn grace(resolved: &Resolved) -> Duration {
    let mut reader = resolved.reader();
    let grace = reader.duration("grace");
    reader.finish().unwrap();
    grace
}

/// Reads everything and returns what is wrong.
fn faults(resolved: &Resolved) -> Vec<String> {
    let mut reader = resolved.reader();
    reader.parse::<SocketAddr>("listen");
    reader.list("origins");
    reader.duration("grace");
    reader.duration("log_age");
    reader.rate("rate");
    reader.size("max_message");
    reader.secrets("jwt_secret");
    reader.secret_text("redis_url");
    let faults = reader.finish().err();
    faults.iter().flat_map(Faults::iter).map(str::to_owned).collect()
}

#[test]
fn defaults_alone_are_usable() {
    assert_eq!(faults(&resolve(&[], [])), [""; 0]);
    assert_eq!(grace(&resolve(&[], [])), Duration::from_secs(30));
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("toy.toml");
    fs::write(&path, "[rooms]\ngrace = \"1s\"\n").unwrap();
    let config = path.to_str().unwrap();

    assert_eq!(grace(&resolve(&["--config", config], [])), Duration::from_secs(1));
    assert_eq!(grace(&resolve(&[], [("TOY_CONFIG", config)])), Duration::from_secs(1));
    let both = resolve(&["--config", config], [("TOY_GRACE", "2s")]);
    assert_eq!(grace(&both), Duration::from_secs(2));
    let all = resolve(&["--config", config, "--grace", "3s"], [("TOY_GRACE", "2s")]);
    assert_eq!(grace(&all), Duration::from_secs(3));
}

#[test]
fn a_flag_works_before_and_after_the_subcommand() {
    for flags in [["--grace", "3s", "serve"], ["serve", "--grace", "3s"]] {
        assert_eq!(grace(&resolve(&flags, [])), Duration::from_secs(3), "{flags:?}");
    }
}

#[test]
fn a_command_line_without_our_flags_reads_as_not_given() {
    let matches = Command::new("other").try_get_matches_from(["other"]).unwrap();
    assert_eq!(faults(&SCHEMA.resolve(&matches, &Environment::default())), [""; 0]);
}

#[test]
fn all_faults_are_reported_at_once_with_their_origin() {
    let resolved = resolve(
        &["--rate", "often"],
        [("TOY_GRACE", "abc"), ("TOY_LISTEN", "here"), ("TOY_MAX_MESSAGE", "1kb")],
    );
    assert_eq!(
        faults(&resolved),
        [
            r#"TOY_LISTEN="here" (environment) cannot be used: invalid socket address syntax"#,
            r#"TOY_GRACE="abc" (environment) is not a duration: write 20s or 500ms"#,
            r#"--rate="often" (command line) is not a rate: write 30/m or 100/s,burst=2000"#,
            r#"TOY_MAX_MESSAGE="1kb" (environment) is not a size: write 64KiB or 16MiB"#,
        ]
    );
}

#[test]
fn an_unknown_variable_suggests_the_near_name() {
    let resolved = resolve(&[], [("TOY_GRASE", "1s"), ("TOY_COLOUR", "red"), ("OTHER", "x")]);
    assert_eq!(
        faults(&resolved),
        [
            "TOY_COLOUR (environment) is not a setting",
            "TOY_GRASE (environment) is not a setting; did you mean TOY_GRACE?",
        ]
    );
}

#[test]
fn kubernetes_service_links_are_not_faults() {
    let links = [
        ("TOY_SERVICE_HOST", "10.0.0.1"),
        ("TOY_SERVICE_PORT_HTTP", "80"),
        ("TOY_PORT", "tcp://10.0.0.1:80"),
        ("TOY_ADMIN_PORT_9080_TCP_ADDR", "10.0.0.2"),
    ];
    assert_eq!(faults(&resolve(&[], links)), [""; 0]);
}

#[test]
fn an_unknown_key_suggests_the_near_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("toy.toml");
    let text = "lissten = \"x\"\n[rooms]\nlog_agee = \"1s\"\nlisten = \"x\"\n[romms]\ngrace = 1\n";
    fs::write(&path, text).unwrap();
    let found = faults(&resolve(&["--config", path.to_str().unwrap()], [])).join("\n");
    for expected in [
        "lissten is not a setting; did you mean listen?",
        "log_agee is not a setting of [rooms]; did you mean log_age?",
        "listen is not a setting of [rooms]",
        "[romms] is not a group of settings; did you mean rooms?",
    ] {
        assert!(found.contains(expected), "{expected} in {found}");
    }
}

#[test]
fn a_file_that_is_missing_or_broken_is_a_fault_that_quotes_nothing() {
    let missing = faults(&resolve(&["--config", "/nowhere.toml"], [])).join("");
    assert!(missing.starts_with("/nowhere.toml: cannot read it"), "{missing}");

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("toy.toml");
    fs::write(&path, format!("jwt_secret = \"{KEY}")).unwrap();
    let broken = faults(&resolve(&["--config", path.to_str().unwrap()], [])).join("");
    assert!(broken.contains("is not TOML") && !broken.contains("canary"), "{broken}");
}

#[test]
fn a_secret_comes_from_a_variable_a_file_or_the_toml_file() {
    let dir = tempfile::tempdir().unwrap();
    let key_file = dir.path().join("keys");
    fs::write(&key_file, KEY).unwrap();
    let key_path = key_file.to_str().unwrap();
    let toml = dir.path().join("toy.toml");
    fs::write(&toml, format!("[tokens]\njwt_secret_file = {key_path:?}\n")).unwrap();

    for resolved in [
        resolve(&[], [("TOY_JWT_SECRET", KEY)]),
        resolve(&[], [("TOY_JWT_SECRET_FILE", key_path)]),
        resolve(&["--jwt-secret-file", key_path], []),
        resolve(&["--config", toml.to_str().unwrap()], []),
    ] {
        let mut reader = resolved.reader();
        let secrets = reader.secrets("jwt_secret").unwrap();
        assert_eq!(secrets.current().signing(), KEY.as_bytes());
        reader.finish().unwrap();
    }
}

#[test]
fn a_secret_has_no_flag_that_takes_its_value() {
    let help = SCHEMA.command().render_long_help().to_string();
    assert!(help.contains("--jwt-secret-file <FILE>"), "{help}");
    assert!(help.contains("TOY_JWT_SECRET or TOY_JWT_SECRET_FILE"), "{help}");
    assert!(SCHEMA.command().try_get_matches_from(["toy", "--jwt-secret", KEY]).is_err());
}

#[test]
fn the_help_shows_groups_variables_defaults_and_examples() {
    let help = SCHEMA.command().render_long_help().to_string();
    for part in ["Rooms:", "--log-age <VALUE>", "[env: TOY_LOG_AGE]", "[default: 120s]", "Examples"]
    {
        assert!(help.contains(part), "{part} in {help}");
    }
}

#[test]
fn bad_secrets_are_faults_that_never_show_them() {
    let twice = [("TOY_JWT_SECRET", KEY), ("TOY_JWT_SECRET_FILE", "/run/keys")];
    let found = faults(&resolve(&[], twice));
    let both = "TOY_JWT_SECRET and TOY_JWT_SECRET_FILE (environment) are both set: keep one";
    assert_eq!(found, [both]);

    let found = faults(&resolve(&[], [("TOY_JWT_SECRET", "canary")])).join("");
    assert!(found.contains("key 1 has 6 bytes") && !found.contains("canary"), "{found}");
    let found = faults(&resolve(&[], [("TOY_JWT_SECRET", "")])).join("");
    assert!(found.contains("there is no key in it"), "{found}");
}

#[test]
fn describe_names_every_setting_and_masks_secrets() {
    let resolved = resolve(
        &["--grace", "3s"],
        [("TOY_JWT_SECRET", KEY), ("TOY_REDIS_URL_FILE", "/run/redis"), ("TOY_RATE", "1/s")],
    );
    let text = resolved.describe();
    let lines: Vec<Vec<_>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), SCHEMA.settings.len());
    assert_eq!(lines[1], ["origins", "-", "(not", "set)"]);
    assert_eq!(lines[2], ["grace", "3s", "(command", "line)"]);
    assert_eq!(lines[4], ["rate", "1/s", "(environment)"]);
    assert_eq!(lines[6], ["jwt_secret", "********", "(environment)"]);
    assert_eq!(lines[7], ["redis_url", "********", "(environment,", "file", "/run/redis)"]);
    assert!(!format!("{resolved:?}").contains("canary"));
}

#[test]
fn a_cross_check_says_where_the_value_came_from() {
    let resolved = resolve(&[], [("TOY_GRACE", "1s")]);
    let mut reader = resolved.reader();
    reader.fault("grace", "is shorter than log_age");
    reader.fault("origins", "is needed");
    let faults = reader.finish().unwrap_err();
    assert_eq!(
        faults.to_string(),
        "2 settings cannot be used:\n  TOY_GRACE=\"1s\" (environment) is shorter than log_age\n  \
         TOY_ORIGINS is needed"
    );
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    assert_eq!(grace(&resolve(&[], [("TOY_GRACE", "")])), Duration::from_secs(30));
}

#[derive(Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct TestPool {
    region: String,
    #[serde(default)]
    weight: u32,
}

fn with_file(text: &str) -> (tempfile::TempDir, Resolved) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("toy.toml");
    fs::write(&path, text).unwrap();
    let resolved = resolve(&["--config", path.to_str().unwrap()], []);
    (dir, resolved)
}

#[test]
fn tables_are_read_in_the_order_of_the_file() {
    let (_dir, resolved) = with_file(
        "grace = \"5s\"\n[[pools]]\nregion = \"eu\"\nweight = 2\n[[pools]]\nregion = \"us\"\n",
    );
    let mut reader = resolved.reader();
    let pool = |region: &str, weight| TestPool { region: region.to_owned(), weight };
    assert_eq!(reader.tables::<TestPool>("pools"), [pool("eu", 2), pool("us", 0)]);
    reader.finish().unwrap();
    assert!(resolved.describe().contains("2 tables"), "{}", resolved.describe());
}

#[test]
fn a_fault_in_a_table_names_the_table() {
    let (_dir, resolved) =
        with_file("[[pools]]\nregion = \"eu\"\n[[pools]]\nregion = \"us\"\nwieght = 2\n");
    let mut reader = resolved.reader();
    assert_eq!(reader.tables::<TestPool>("pools").len(), 1);
    let faults = reader.finish().unwrap_err().to_string();
    assert!(faults.contains("[[pools]] 2: unknown field `wieght`, expected"), "{faults}");
    let (_dir, resolved) = with_file("pools = \"eu\"\n");
    let faults = resolved.reader().finish().unwrap_err().to_string();
    assert!(faults.contains("pools is a list of tables: write [[pools]]"), "{faults}");
    let (_dir, resolved) = with_file("[[polls]]\nregion = \"eu\"\n");
    let faults = resolved.reader().finish().unwrap_err().to_string();
    assert!(faults.contains("did you mean pools?"), "{faults}");
}

#[test]
fn the_sample_is_a_file_that_changes_nothing() {
    let sample = SCHEMA.sample();
    let keys: Vec<_> =
        sample.lines().filter_map(|line| line.strip_prefix("# ")?.split_once(" = ")).collect();
    assert_eq!(keys.len(), SCHEMA.settings.len());
    assert!(keys.contains(&("jwt_secret_file", "\"FILE\"")));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("toy.toml");
    // All that have a default, as an operator would take the mark away.
    let lines = sample.lines().map(|line| match line.strip_prefix("# ") {
        Some(setting)
            if setting.contains(" = ")
                && !setting.ends_with("\"VALUE\"")
                && !setting.ends_with("\"FILE\"") =>
        {
            setting
        }
        _ => line,
    });
    fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
    let resolved = resolve(&["--config", path.to_str().unwrap()], []);
    assert_eq!(faults(&resolved), [""; 0]);
    assert_eq!(grace(&resolved), Duration::from_secs(30));
    assert!(resolved.describe().contains("toy.toml"));
}
