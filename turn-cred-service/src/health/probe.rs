//! The probes: what a client does at a relay, step by step.

use std::time::Duration;

use super::url_health::ProbeOutcome;
use crate::credential::Credential;
use crate::pool::IceUri;
use crate::relay::{ConnectOptions, RelayError, TurnClient};

/// The relay's policy denies the peer; the relay itself works, since it authenticated and parsed
/// the request.
const FORBIDDEN: u16 = 403;

/// The credential is wrong or has expired.
const UNAUTHORIZED: u16 = 401;

/// Sends a Binding request, which needs no credential and creates no state.
pub(super) async fn check_binding(
    uri: &IceUri,
    connect_options: &ConnectOptions,
) -> Result<(), RelayError> {
    TurnClient::connect(uri, connect_options).await?.binding().await.map(drop)
}

/// Allocates, creates a permission, refreshes, and releases the allocation.
///
/// # Errors
/// The first step that failed.
pub(crate) async fn simulate_call(
    uri: &IceUri,
    connect_options: &ConnectOptions,
    credential: &Credential,
) -> Result<(), RelayError> {
    let mut client = TurnClient::connect(uri, connect_options).await?;
    client.binding().await?;
    let relayed = client.allocate(credential).await?;
    let permitted = client.create_permission(relayed.ip()).await;
    client.refresh(Duration::ZERO).await?;
    match permitted {
        Err(error) if error.code() != Some(FORBIDDEN) => Err(error),
        _ => Ok(()),
    }
}

/// Returns whether a relay accepts a credential.
///
/// # Errors
/// When the answer is neither success nor 401.
pub(super) async fn accepts_credential(
    uri: &IceUri,
    connect_options: &ConnectOptions,
    credential: &Credential,
) -> Result<bool, RelayError> {
    let mut client = TurnClient::connect(uri, connect_options).await?;
    match client.allocate(credential).await {
        Ok(_) => client.refresh(Duration::ZERO).await.map(|()| true),
        Err(RelayError::ErrorResponse(UNAUTHORIZED)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Maps the result of a probe to its effect on the health.
pub(super) fn classify(result: &Result<(), RelayError>) -> ProbeOutcome {
    match result {
        Ok(()) => ProbeOutcome::Succeeded,
        Err(error) if error.code() == Some(FORBIDDEN) => ProbeOutcome::Draining,
        Err(_) => ProbeOutcome::Failed,
    }
}
