//! Where clients of other protocols connect: one path for each dialect that is on.

mod peerjs;
mod setting;
mod topics;

use std::sync::Arc;

use axum::Router;
use axum::http::Uri;
use signal_dialects::DialectName;

use super::upgrade::Admission;
use super::{Anonymous, Public};
use crate::session::{Entrance, Identity, SessionRejection};

pub use setting::Dialects;

/// Makes the routes of the dialects that are on.
pub(super) fn routes(dialects: &Dialects) -> Router<Arc<Public>> {
    dialects.iter().fold(Router::new(), |router, (name, path)| match name {
        DialectName::Topics => router.merge(topics::routes(path)),
        DialectName::PeerJs => router.merge(peerjs::routes(path)),
    })
}

/// Reads a parameter of the query, which is a form: `+` is a blank. One that is not there is empty.
fn parameter(uri: &Uri, name: &str) -> String {
    let query = uri.query().unwrap_or_default().as_bytes();
    let found = form_urlencoded::parse(query).find(|(known, _)| known == name);
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Decides about a client without a token: its protocol has no `hello` for one. Where natives show the token that the node has
/// printed, such a client cannot, and comes in without it.
pub(super) fn without_hello(public: &Public, admitted: Admission) -> Admission {
    let (entrance, permit) = admitted?;
    let Entrance::AwaitingHello { .. } = entrance else { return Ok((entrance, permit)) };
    let entrance = match public.anonymous {
        Anonymous::Always | Anonymous::WithStartupToken => {
            Entrance::Authenticated(Identity::Anonymous)
        }
        Anonymous::Never => Entrance::Rejected(SessionRejection::no_token()),
    };
    Ok((entrance, permit))
}
