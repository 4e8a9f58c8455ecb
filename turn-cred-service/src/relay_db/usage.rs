//! coturn's traffic reports, and the counters kept of them.

use std::collections::HashMap;

use futures_util::{Stream, StreamExt as _};
use redis::pipe;

use super::{DbError, RelayDb};

/// Bytes by pseudonym or by room.
pub type ByteCounts = HashMap<String, u64>;

/// A span of time with its own counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Index since 1970.
    pub number: u64,
    /// End in Unix seconds.
    pub end: u64,
    /// Its length in seconds.
    pub length: u64,
}

impl Window {
    /// Returns the window of `length` seconds that contains `now`.
    #[must_use]
    pub fn at(now: u64, length: u64) -> Self {
        let number = now / length;
        Self { number, end: (number + 1) * length, length }
    }
}

impl RelayDb {
    /// Subscribes to the allocation messages of the realm: topic and payload.
    ///
    /// # Errors
    /// When Redis is unreachable; the stream ends with the connection.
    pub async fn reports(&self) -> Result<impl Stream<Item = (String, String)> + use<>, DbError> {
        let mut subscription = self.client.get_async_pubsub().await?;
        let topics = format!("turn/realm/{}/user/*/allocation/*", self.realm);
        subscription.psubscribe(topics).await?;
        let messages = subscription.into_on_message();
        Ok(messages.filter_map(async |message| {
            Some((message.get_channel_name().to_owned(), message.get_payload().ok()?))
        }))
    }

    /// Records the room of each pseudonym, by its last credential.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn record_rooms(
        &self,
        window: Window,
        rooms: &[(String, String)],
    ) -> Result<(), DbError> {
        let key = self.window_key("rooms", window);
        let mut calls = pipe();
        calls.hset_multiple(&key, rooms).ignore().expire(&key, expiry(window)).ignore();
        Ok(calls.query_async(&mut self.connection.clone()).await?)
    }

    /// Looks up the rooms of pseudonyms.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn rooms(
        &self,
        window: Window,
        pseudonyms: &[&String],
    ) -> Result<Vec<Option<String>>, DbError> {
        let mut call = redis::cmd("HMGET");
        call.arg(self.window_key("rooms", window)).arg(pseudonyms);
        Ok(call.query_async(&mut self.connection.clone()).await?)
    }

    /// Adds bytes to the counters and returns the new total of each pseudonym.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn add_usage(
        &self,
        window: Window,
        subjects: &ByteCounts,
        rooms: &ByteCounts,
    ) -> Result<HashMap<String, u64>, DbError> {
        let (by_subject, by_room) =
            (self.window_key("usage", window), self.window_key("room-usage", window));
        let mut calls = pipe();
        calls.atomic();
        for (subject, bytes) in subjects {
            calls.hincr(&by_subject, subject, *bytes);
        }
        for (room, bytes) in rooms {
            calls.hincr(&by_room, room, *bytes).ignore();
        }
        for key in [&by_subject, &by_room] {
            calls.expire(key, expiry(window)).ignore();
        }
        let totals: Vec<u64> = calls.query_async(&mut self.connection.clone()).await?;
        Ok(subjects.keys().cloned().zip(totals).collect())
    }

    /// Returns the bytes of a pseudonym in a window.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn usage(&self, window: Window, pseudonym: &str) -> Result<u64, DbError> {
        self.count("usage", window, pseudonym).await
    }

    /// Returns the bytes of a room's members in a window.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn room_usage(&self, window: Window, room: &str) -> Result<u64, DbError> {
        self.count("room-usage", window, room).await
    }

    async fn count(&self, what: &str, window: Window, of: &str) -> Result<u64, DbError> {
        let mut call = redis::cmd("HGET");
        call.arg(self.window_key(what, window)).arg(of);
        let found: Option<u64> = call.query_async(&mut self.connection.clone()).await?;
        Ok(found.unwrap_or_default())
    }

    /// Marks pseudonyms as over budget until the end of the window.
    ///
    /// # Errors
    /// [`DbError`].
    pub async fn mark_over_budget(
        &self,
        window: Window,
        pseudonyms: &[String],
    ) -> Result<(), DbError> {
        let key = self.own_key("overdrawn");
        let members: Vec<_> = pseudonyms.iter().map(|who| (window.end, who)).collect();
        let mut calls = pipe();
        calls.atomic().zadd_multiple(&key, &members).ignore();
        calls.zrembyscore(&key, 0, window.end - window.length).ignore();
        self.commit_decision(&mut calls).await
    }

    fn window_key(&self, what: &str, window: Window) -> String {
        // The length is part of the key: after a change of the budget, the index alone would
        // address counters of windows of another length.
        self.own_key(&format!("{what}/{}/{}", window.length, window.number))
    }
}

/// Keeps a window's keys until the end of the next window.
fn expiry(window: Window) -> i64 {
    i64::try_from(2 * window.length).unwrap_or(i64::MAX)
}
