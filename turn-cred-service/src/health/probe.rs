//! Does to a relay what a client does.

use std::time::Duration;

use super::url_health::ProbeOutcome;
use crate::credential::Credential;
use crate::pool::IceUri;
use crate::relay::{ConnectOptions, RelayError, TurnClient};

/// What a relay answers whose policy denies a peer; it has understood and checked the request then.
const FORBIDDEN: u16 = 403;

/// What a relay answers to a credential that is wrong or over.
const UNAUTHORIZED: u16 = 401;

/// Asks for our own address, which needs no credential: the relay is there.
pub(super) async fn check_binding(
    uri: &IceUri,
    connect_options: &ConnectOptions,
) -> Result<(), RelayError> {
    TurnClient::connect(uri, connect_options).await?.binding().await.map(drop)
}

/// Allocates, permits a peer, refreshes, and gives the allocation back: the relay works.
///
/// # Errors
/// The first step that a client would have failed at.
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

/// Tells whether a relay admits a credential.
///
/// # Errors
/// When it says neither yes nor that the credential is wrong.
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

/// Reads a try as what it says of the relay.
pub(super) fn classify(result: &Result<(), RelayError>) -> ProbeOutcome {
    match result {
        Ok(()) => ProbeOutcome::Succeeded,
        Err(error) if error.code() == Some(FORBIDDEN) => ProbeOutcome::Draining,
        Err(_) => ProbeOutcome::Failed,
    }
}
