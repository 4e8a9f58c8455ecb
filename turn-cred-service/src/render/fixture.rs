//! A credential for the tests of every format.

use std::sync::Arc;

use crate::credential::Credential;
use crate::issuer::IssuedCredential;
use crate::pool::{Pool, Pools, Standings};

/// Issues ten minutes for `ana` under the secret `foobar`, in the first region.
pub(super) fn issued(regions: &[(&str, &str)]) -> IssuedCredential {
    let pool = |(region, uris): &(&str, &str)| Pool::parse(&region.parse().unwrap(), uris).unwrap();
    let pools = Pools::new(regions.iter().map(pool).collect());
    let region = pools.region(None, None).unwrap();
    IssuedCredential {
        credential: Credential::issue(b"foobar", &"ana".parse().unwrap(), 1_599_491_771),
        selection: Arc::new(pools.select(region, "ana", &Standings::healthy(&pools))),
        expires_at: 1_599_491_771,
        refresh_at: 1_599_491_471,
    }
}
