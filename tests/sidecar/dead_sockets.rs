//! Sockets to AWS that die while the process is frozen, for no longer than the sockets may be idle: so
//! nothing tells it that they are dead.

use futures_util::future::join_all;

use crate::cloud::Cloud;
use crate::relay::{Death, Relay};
use crate::sidecar::{Sidecar, setup};

impl Sidecar {
    /// The status of a read of each of these secrets, all at once.
    async fn secrets(&self, names: impl Iterator<Item = usize>) -> Vec<u16> {
        let read = names.map(async |name| {
            self.named(&format!("/secretsmanager/get?secretId={name}")).await.status
        });
        join_all(read).await
    }
}

async fn test(sockets: usize, death: Death) {
    let mut cloud = Cloud::start().await;
    for name in 0..=sockets {
        cloud.put_secret(&name.to_string(), "hush").await;
    }
    let relay = Relay::to(&cloud.endpoint).await;
    cloud.endpoint.clone_from(&relay.endpoint);
    let setup = setup("").variable("PARAMETERS_SECRETS_EXTENSION_MAX_CONNECTIONS", sockets);
    let sidecar = setup.start(&cloud).await;
    relay.together(sockets);
    assert_eq!(sidecar.secrets(0..sockets).await, vec![200; sockets]);
    assert_eq!(relay.opened(), sockets);
    relay.together(0);
    sidecar.stop();
    relay.die(death);
    sidecar.go_on();
    assert_eq!(sidecar.secrets(sockets..=sockets).await, [200], "{sockets} sockets, {death:?}");
    assert!(relay.lost() <= 1, "{} requests were lost", relay.lost());
}

#[tokio::test]
async fn the_first_read_after_the_thaw_succeeds_and_loses_one_request_at_most() {
    let cases = [1, 3, 20].into_iter().flat_map(|sockets| Death::ALL.map(|it| (sockets, it)));
    join_all(cases.map(|(sockets, death)| test(sockets, death))).await;
}
