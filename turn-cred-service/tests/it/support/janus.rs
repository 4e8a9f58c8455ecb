//! Starts a real Janus on loopback that requests TURN credentials over HTTP.

use std::net::TcpListener;
use std::process::Stdio;

use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::coturn::capture_output;

/// Attempts to start: a port may be taken between its choice and its use.
const ATTEMPTS: usize = 3;
/// The last line that Janus logs before it accepts requests.
const READY: &str = "Admin API: disabled";
/// Debian's plugins that an echo test over HTTP does not need.
const UNUSED_PLUGINS: &str = "libjanus_audiobridge.so,libjanus_duktape.so,libjanus_lua.so,\
    libjanus_nosip.so,libjanus_recordplay.so,libjanus_sip.so,libjanus_streaming.so,\
    libjanus_textroom.so,libjanus_videocall.so,libjanus_videoroom.so,libjanus_voicemail.so";
const UNUSED_TRANSPORTS: &str = "libjanus_mqtt.so,libjanus_nanomsg.so,libjanus_pfunix.so,\
    libjanus_rabbitmq.so,libjanus_websockets.so";

/// A running Janus; killed on drop.
pub(crate) struct Janus {
    api: String,
    log: watch::Receiver<String>,
    _process: Child,
    _files: TempDir,
}

impl Janus {
    /// Starts Janus with the credential endpoint `url`, the API key `key` and this HTTP method.
    pub(crate) async fn start(url: &str, key: &str, method: &str) -> Self {
        let nat = format!(
            "nat: {{ turn_rest_api = \"{url}\", turn_rest_api_key = \"{key}\", \
             turn_rest_api_method = \"{method}\" }}\n"
        );
        for _ in 0..ATTEMPTS {
            let mut janus = Self::spawn(&nat);
            if janus.log.wait_for(|log| log.contains(READY)).await.is_ok() {
                return janus;
            }
        }
        panic!("janus did not start");
    }

    fn spawn(nat: &str) -> Self {
        let files = TempDir::new().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let general = "general: { debug_level = 5, debug_colors = false }\n";
        let unused = format!(
            "plugins: {{ disable = \"{UNUSED_PLUGINS}\" }}\n\
             transports: {{ disable = \"{UNUSED_TRANSPORTS}\" }}\n\
             loggers: {{ disable = \"libjanus_jsonlog.so\" }}\n"
        );
        let http = format!(
            "general: {{ http = true, ip = \"127.0.0.1\", port = {}, https = false }}\n\
             admin: {{ admin_http = false }}\n",
            free.port()
        );
        let write = |name, text| std::fs::write(files.path().join(name), text).unwrap();
        write("janus.jcfg", [general, nat, &unused].concat());
        write("janus.transport.http.jcfg", http);
        write("janus.plugin.echotest.jcfg", String::new());
        let mut process = Command::new("janus")
            .args(["--configs-folder", files.path().to_str().unwrap()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("janus cannot be started: install it (deploy/install-test-tools.sh)");
        let log = capture_output(process.stdout.take().unwrap());
        Self { api: format!("http://{free}/janus"), log, _process: process, _files: files }
    }

    /// Sends an offer to the echo test as `user` and returns the SDP of the answer.
    pub(crate) async fn echo(&self, user: &str, sdp: &str) -> String {
        let plugin = json!({ "plugin": "janus.plugin.echotest", "opaque_id": user });
        let session = self.create(&self.api, "create", json!({})).await;
        let handle = self.create(&session, "attach", plugin).await;
        let selection =
            json!({ "body": { "audio": true }, "jsep": { "type": "offer", "sdp": sdp } });
        post(&handle, "message", selection).await;
        loop {
            let event = reqwest::get(format!("{session}?maxev=1")).await.unwrap();
            let event: Value = event.json().await.unwrap();
            if let Some(sdp) = event["jsep"]["sdp"].as_str() {
                return sdp.to_owned();
            }
        }
    }

    pub(crate) fn log(&self) -> String {
        self.log.borrow().clone()
    }

    /// Creates a session, or a handle in one, and returns its URL.
    async fn create(&self, url: &str, verb: &str, body: Value) -> String {
        let answer = post(url, verb, body).await;
        format!("{url}/{}", answer["data"]["id"])
    }
}

async fn post(url: &str, verb: &str, mut body: Value) -> Value {
    (body["janus"], body["transaction"]) = (verb.into(), "test".into());
    let answer: Value =
        Client::new().post(url).json(&body).send().await.unwrap().json().await.unwrap();
    assert_ne!(answer["janus"], "error", "{answer}");
    answer
}
