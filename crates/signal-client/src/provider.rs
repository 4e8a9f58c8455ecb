//! Where tokens come from.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::core::Token;

/// How long a provider may take: a request on a dead network may hang for minutes.
const TOKEN_WITHIN: Duration = Duration::from_secs(10);

/// Why a provider has no token.
pub type ProviderError = Box<dyn Error + Send + Sync>;

/// Gives a fresh token whenever it is asked: for the first connection, when a node refused the last token, and before it
/// expires.
///
/// Every closure `Fn() -> impl Future<Output = Result<impl Into<Token>, _>>` is one.
pub trait TokenProvider: Send + Sync + 'static {
    /// Fetches a token.
    fn token(&self) -> impl Future<Output = Result<Token, ProviderError>> + Send;
}

impl<F, T, E, R> TokenProvider for F
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<T, E>> + Send,
    T: Into<Token>,
    E: Into<ProviderError>,
{
    async fn token(&self) -> Result<Token, ProviderError> {
        self().await.map(Into::into).map_err(Into::into)
    }
}

/// A provider of any type.
pub(crate) type Fetch = Box<dyn Fn() -> BoxFuture<'static, Option<Token>> + Send>;

/// Has a provider fetch within its time; what goes wrong is the same as no token: the connection waits and asks again.
pub(crate) fn boxed(provider: impl TokenProvider) -> Fetch {
    let provider = Arc::new(provider);
    Box::new(move || {
        let provider = Arc::clone(&provider);
        Box::pin(async move { timeout(TOKEN_WITHIN, provider.token()).await.ok()?.ok() })
    })
}
