//! The timelines of a cluster: a capped stream for each.

use std::collections::HashMap;
use std::time::Duration;

use fred::interfaces::StreamsInterface as _;
use fred::types::Value;
use fred::types::scripts::Script;
use futures_util::future::BoxFuture;

use super::RedisLog;
use crate::log::{LogError, TimelineKey, TimelineStore};

const SCRIPT: &str = include_str!("timeline.lua");

impl RedisLog {
    async fn append_lines(
        &self,
        key: &TimelineKey,
        lines: &[String],
        age: Duration,
    ) -> Result<(), LogError> {
        let bounds = [key.length().to_string(), age.as_millis().to_string()];
        let args = bounds.into_iter().chain(lines.iter().cloned()).map(Value::from).collect();
        let script = Script::from_lua(SCRIPT);
        self.shards.run(&script, vec![self.names.timeline(key)], args).await.map(drop)
    }

    async fn read_lines(&self, key: &TimelineKey) -> Result<Vec<String>, LogError> {
        let key = self.names.timeline(key);
        let (client, in_use) = self.client_of(&key)?;
        let found = client.xrange_values(key, "-", "+", None);
        let found: Vec<(String, HashMap<String, String>)> = in_use.answer(found).await?;
        Ok(found.into_iter().filter_map(|(_, mut fields)| fields.remove("l")).collect())
    }
}

impl TimelineStore for RedisLog {
    fn append<'a>(
        &'a self,
        key: &'a TimelineKey,
        lines: &'a [String],
        age: Duration,
    ) -> BoxFuture<'a, Result<(), LogError>> {
        Box::pin(self.append_lines(key, lines, age))
    }

    fn lines<'a>(&'a self, key: &'a TimelineKey) -> BoxFuture<'a, Result<Vec<String>, LogError>> {
        Box::pin(self.read_lines(key))
    }
}
