//! Tokens: how long one lives, and when the next one is asked for.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use tokio::time::Instant;

/// A token is renewed this long before it expires, or halfway if it lives for less than twice that.
const RENEW_BEFORE: Duration = Duration::from_secs(60);
/// Renewals keep at least this distance, should a provider return tokens that have already expired.
const RENEW_AT_MOST_EVERY: Duration = Duration::from_secs(5);
/// How often in a row a token may be refused before the provider is considered unable to help.
const REFUSALS: u32 = 3;

/// A JWT. Its life is measured from the moment at which it was fetched.
///
/// `Debug` does not print the token.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    text: String,
    life: Option<Duration>,
}

impl Token {
    /// Takes a JWT whose life its provider knows better than the dates inside.
    #[must_use]
    pub fn living_for(text: impl Into<String>, life: Duration) -> Self {
        Self { text: text.into(), life: Some(life) }
    }

    /// Returns the text, for the node alone.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Returns how long a token that was just fetched lives, if it says so. `unix_now` is what this machine believes the
    /// time to be, which may be wrong by hours: `exp` − `iat` is the issuer's clock alone, and the clock of this machine
    /// only tells how much of that is over, where it makes sense.
    fn life(&self, unix_now: Duration) -> Option<Duration> {
        if self.life.is_some() {
            return self.life;
        }
        let Dates { exp, iat } = dates(&self.text)?;
        let left = seconds(exp? - unix_now.as_secs_f64());
        let whole = iat.and_then(|iat| seconds(exp? - iat));
        left.into_iter().chain(whole).min()
    }
}

impl<T: Into<String>> From<T> for Token {
    fn from(text: T) -> Self {
        Self { text: text.into(), life: None }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("life", &self.life).finish_non_exhaustive()
    }
}

/// The dates of a JWT. The signature is the node's business.
#[derive(Default, Deserialize)]
struct Dates {
    exp: Option<f64>,
    iat: Option<f64>,
}

fn dates(jwt: &str) -> Option<Dates> {
    let payload = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok().filter(|duration| !duration.is_zero())
}

/// Where tokens come from.
#[expect(missing_docs, reason = "the names say it all")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    Anonymous,
    /// There is one, for as long as it is accepted.
    Fixed(Token),
    /// The driver asks for them ([`Effect::FetchToken`](super::Effect::FetchToken)).
    Provider,
}

/// What a node is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Token(Token),
    /// The client is anonymous.
    Nothing,
    /// There is no token that lives: one has to be fetched.
    FetchFirst,
}

pub(super) struct Tokens {
    source: TokenSource,
    newest: Option<Token>,
    over_at: Option<Instant>,
    refusals: u32,
    pub(super) renew_at: Option<Instant>,
}

impl Tokens {
    pub(super) fn new(source: TokenSource) -> Self {
        Self { source, newest: None, over_at: None, refusals: 0, renew_at: None }
    }

    /// Returns what to show to a node.
    pub(super) fn usable(&self, now: Instant) -> Shown {
        match &self.source {
            TokenSource::Anonymous => Shown::Nothing,
            TokenSource::Fixed(token) => Shown::Token(token.clone()),
            TokenSource::Provider => {
                let lives = self.over_at.is_none_or(|at| now < at);
                self.newest.clone().filter(|_| lives).map_or(Shown::FetchFirst, Shown::Token)
            }
        }
    }

    pub(super) fn fetched(&mut self, token: Token, unix_now: Duration, now: Instant) {
        self.over_at = token.life(unix_now).map(|life| now + life);
        self.newest = Some(token);
    }

    /// A node accepted the token.
    pub(super) fn accepted(&mut self, now: Instant) {
        self.refusals = 0;
        self.renew_later(now);
    }

    /// A node refused the token; returns whether another one may help.
    pub(super) fn refused(&mut self) -> bool {
        self.drop_newest();
        self.refusals += 1;
        self.source == TokenSource::Provider && self.refusals <= REFUSALS
    }

    pub(super) fn drop_newest(&mut self) {
        (self.newest, self.over_at, self.renew_at) = (None, None, None);
    }

    pub(super) fn renew_later(&mut self, now: Instant) {
        let left = self.over_at.map(|at| at.saturating_duration_since(now));
        self.renew_at = left.map(|left| now + renew_in(left));
    }
}

fn renew_in(left: Duration) -> Duration {
    left.saturating_sub(RENEW_BEFORE).max(left / 2).max(RENEW_AT_MOST_EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(payload: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(payload))
    }

    #[test]
    fn the_life_of_a_token_is_the_issuers_where_this_clock_is_wrong() {
        let token = Token::from(jwt(r#"{"exp":1000600,"iat":1000000.0}"#));
        for (unix_now, life) in [(1_000_000, 600), (1_000_500, 100), (5_000_000, 600), (0, 600)] {
            let life = Some(Duration::from_secs(life));
            assert_eq!(token.life(Duration::from_secs(unix_now)), life, "at {unix_now}");
        }
    }

    #[test]
    fn a_token_that_does_not_say_its_end_is_used_until_it_is_refused() {
        for silent in ["{}", r#"{"iat":2}"#, r#"{"exp":1}"#, "[", r#"{"exp":"x"}"#] {
            let life = Token::from(jwt(silent)).life(Duration::from_secs(10));
            assert_eq!(life, None, "{silent}");
        }
        assert_eq!(Token::from("no JWT").life(Duration::ZERO), None);
    }

    #[test]
    fn a_token_is_renewed_a_minute_before_its_end_or_halfway() {
        for (left, wait) in [(600, 540), (100, 50), (8, 5), (0, 5)] {
            assert_eq!(renew_in(Duration::from_secs(left)), Duration::from_secs(wait));
        }
    }

    #[test]
    fn a_token_that_has_ended_is_not_shown_again() {
        let (mut tokens, now) = (Tokens::new(TokenSource::Provider), Instant::now());
        assert_eq!(tokens.usable(now), Shown::FetchFirst);
        let token = Token::living_for("t", Duration::from_secs(60));
        tokens.fetched(token.clone(), Duration::ZERO, now);
        assert_eq!(tokens.usable(now), Shown::Token(token));
        assert_eq!(tokens.usable(now + Duration::from_secs(60)), Shown::FetchFirst);
    }

    #[test]
    fn a_token_is_not_printed_by_debug() {
        assert!(!format!("{:?}", Token::from("secret")).contains("secret"));
    }
}
