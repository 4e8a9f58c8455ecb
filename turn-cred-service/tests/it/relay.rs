//! What we issue, at a real relay: coturn.

use std::time::Duration;

use service_kit::clock;
use turn_cred_service::credential::Credential;

use crate::support::coturn::Coturn;
use crate::support::turn::TurnClient;
use crate::support::{Answer, TURN_SECRET, TestService};

async fn allocate(coturn: &Coturn, username: &str, password: &str) -> Result<(), Option<u16>> {
    let mut client = TurnClient::open(coturn.address).await.unwrap();
    client.allocate(username, password).await.map(drop).map_err(|error| error.code())
}

#[tokio::test]
async fn an_issued_credential_gets_an_allocation_and_data_through() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let service = TestService::start([]).await;
    let (ana, bob) = (Answer::to(service.ask("ana")).await, Answer::to(service.ask("bob")).await);

    let mut clients = Vec::new();
    for answer in [&ana, &bob] {
        let (username, password) = answer.credential();
        let mut client = TurnClient::open(coturn.address).await.unwrap();
        let relayed = client.allocate(username, password).await.unwrap();
        clients.push((client, relayed));
    }
    let [(ana, from), (bob, to)] = &mut clients[..] else { unreachable!("two clients") };
    ana.refresh(Duration::from_secs(600)).await.unwrap();
    ana.permit(*to).await.unwrap();
    bob.permit(*from).await.unwrap();
    ana.send(*to, b"hello").await.unwrap();
    assert_eq!(bob.receive().await.unwrap(), (*from, b"hello".to_vec()));
}

#[tokio::test]
async fn a_wrong_or_expired_credential_gets_401() {
    let coturn = Coturn::start(TURN_SECRET).await;
    let now = clock::unix_seconds();
    let issue = |secret: &str, expiry| {
        Credential::issue(secret.as_bytes(), &"ana".parse().unwrap(), expiry)
    };
    let good = issue(TURN_SECRET, now + 60);
    assert_eq!(allocate(&coturn, &good.username, &good.password).await, Ok(()));

    let wrong = issue("another secret", now + 60);
    assert_eq!(allocate(&coturn, &wrong.username, &wrong.password).await, Err(Some(401)));
    let expired = issue(TURN_SECRET, now - 1);
    assert_eq!(allocate(&coturn, &expired.username, &expired.password).await, Err(Some(401)));
    let prolonged = format!("{}:ana", now + 3600);
    assert_eq!(allocate(&coturn, &prolonged, &good.password).await, Err(Some(401)));
}
