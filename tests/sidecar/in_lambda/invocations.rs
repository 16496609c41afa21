//! From INVOKE to the next question for an event: what is refreshed, and what is waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lambda_cache::testing::{Gap, Lambda, Order};
use serde_json::Value as Json;
use tokio::sync::{Notify, mpsc};

use super::{CONFIG, MAX_AGE, NOTHING, function, idle_function, lambda, put, short_lived, start};
use crate::aws::Answer;
use crate::client::{self, Connection};
use crate::cloud::Cloud;
use crate::process::LIMIT;
use crate::sidecar::{TOKEN, setup};

/// What the sidecar may add to an invocation for the sake of refreshes, and a little more.
const HOLD: Duration = Duration::from_millis(1000);

/// Waits until every request has been answered or given up, with the sidecar frozen: it cannot do it
/// any more.
async fn until_nothing_is_in_flight(cloud: &Cloud) {
    let still = async {
        while cloud.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, still).await.expect("nothing in flight at a freeze");
}

#[tokio::test]
async fn what_is_due_is_refreshed_at_invoke_and_nothing_is_in_flight_at_a_freeze() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    let sidecar = start(&cloud, &lambda).await;
    cloud.aws.script(|_| Some(Answer::Late(Duration::from_millis(100))));
    for n in 2..4 {
        let frozen = lambda.begin_freeze().await.unwrap();
        assert_eq!(cloud.in_flight(), 0);
        put(&cloud, &format!("hush {n}")).await;
        tokio::time::sleep(MAX_AGE).await;
        frozen.thaw().unwrap();
        lambda.invoke(()).await.unwrap();
        assert_eq!(cloud.operations(), ["GetParameters"], "nobody has read it");
        assert_eq!(sidecar.get("/parameters?name=p").await.text(), format!("hush {n}"));
        assert_eq!(cloud.operations(), NOTHING);
    }
}

#[tokio::test]
async fn a_refresh_that_outlasts_the_hold_is_cancelled_before_the_freeze() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    let sidecar = start(&cloud, &lambda).await;
    lambda.freeze(MAX_AGE).await.unwrap();
    cloud.aws.script(|_| Some(Answer::Never));
    let invocation = lambda.invoke(()).await.unwrap();
    assert!(invocation.timings.over < HOLD, "{:?}", invocation.timings);
    assert_eq!(cloud.operations(), ["GetParameters"]);
    let frozen = lambda.begin_freeze().await.unwrap();
    until_nothing_is_in_flight(&cloud).await;
    cloud.aws.heal();
    put(&cloud, "hush 2").await;
    frozen.thaw().unwrap();
    assert_eq!(sidecar.get("/parameters?name=p").await.text(), "hush 2");
}

#[tokio::test]
async fn an_invocation_with_nothing_due_is_not_held() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    put(&cloud, "hush").await;
    let setup = setup(CONFIG).variable("CACHE_EXTENSION_INIT_STARTUP", "true");
    let _sidecar = setup.start_in(&lambda, &cloud).await;
    idle_function(&lambda);
    lambda.ready().await.unwrap();
    cloud.aws.calls();
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(lambda.invoke(()).await.unwrap().timings.over);
    }
    held.sort();
    assert!(held[10] < Duration::from_millis(100), "{held:?}");
    assert_eq!(cloud.operations(), NOTHING);
}

#[tokio::test]
async fn a_function_hears_of_a_source_that_hangs_before_its_own_time_is_up() {
    let cloud = Cloud::start().await;
    let time = Duration::from_secs(2);
    let lambda = lambda(Lambda::builder().timeout(time));
    // So that it is not killed if this machine is too busy for the function to answer in time.
    let sidecar = setup(CONFIG).spawn_beside(&lambda, &cloud).await.listening().await;
    lambda.counted(|counts| counts.extensions_asked == 1).await.unwrap();
    let (declared, on_demand) = (sidecar.declared, sidecar.on_demand);
    let (tell, mut told) = mpsc::channel(1);
    function(&lambda, move || {
        let tell = tell.clone();
        async move {
            let token = format!("X-Aws-Parameters-Secrets-Token: {TOKEN}");
            let parameter = client::ask(declared, client::get("/parameters?name=p", &[]));
            let secret = client::get("/secretsmanager/get?secretId=s", &[&token]);
            let (parameter, secret) = tokio::join!(parameter, client::ask(on_demand, secret));
            tell.send([parameter.status, secret.status]).await.unwrap();
            Json::Null
        }
    });
    cloud.aws.script(|_| Some(Answer::Never));
    let began = Instant::now();
    lambda.invocation(()).start().unwrap();
    assert_eq!(told.recv().await.unwrap(), [504, 504]);
    assert!(began.elapsed() < time * 3 / 2, "{:?}", began.elapsed());
    lambda.idle().await.unwrap();
    sidecar.stop();
    until_nothing_is_in_flight(&cloud).await;
}

#[tokio::test]
async fn while_nobody_is_invoked_nothing_is_refreshed() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder());
    let sidecar = start(&cloud, &lambda).await;
    tokio::time::sleep(MAX_AGE * 3 / 2).await;
    assert_eq!(cloud.operations(), NOTHING);
    assert_eq!(sidecar.get("/parameters?name=p").await.text(), "hush 1");
    assert_eq!(cloud.operations(), ["GetParameters"], "and what is too old is not served");
}

#[tokio::test]
async fn on_a_managed_instance_refreshes_need_no_invocation() {
    let cloud = Cloud::start().await;
    let lambda = lambda(Lambda::builder().managed(4));
    put(&cloud, "hush").await;
    let sidecar = short_lived().start_in(&lambda, &cloud).await;
    let called = cloud.called(3).await;
    assert!(called.iter().all(|it| it.operation() == "GetParameters"), "{called:?}");
    let asked = Instant::now();
    assert_eq!(sidecar.get("/parameters?name=p").await.text(), "hush");
    assert!(asked.elapsed() < MAX_AGE);
}

#[tokio::test]
async fn a_client_that_has_hung_up_is_not_waited_for() {
    let cloud = Cloud::start().await;
    cloud.aws.script(|_| Some(Answer::Never));
    // Before the sidecar's hold is over, and after.
    for patience in [Duration::ZERO, HOLD / 2] {
        for secret in [false, true] {
            let lambda = lambda(Lambda::builder());
            let sidecar = setup(CONFIG).start_in(&lambda, &cloud).await;
            let token = format!("X-Aws-Parameters-Secrets-Token: {TOKEN}");
            let (port, request) = match secret {
                false => (sidecar.declared, client::get("/parameters?name=p", &[])),
                true => {
                    (sidecar.on_demand, client::get("/secretsmanager/get?secretId=s", &[&token]))
                }
            };
            let hang_up = Arc::new(Notify::new());
            let told = Arc::clone(&hang_up);
            function(&lambda, move || {
                let (told, request) = (Arc::clone(&told), request.clone());
                async move {
                    let mut client = Connection::open(port).await;
                    client.send(request).await.unwrap();
                    told.notified().await;
                    Json::Null
                }
            });
            let order = Order::HandlerFirst(Gap::Held);
            let invocation = lambda.invocation(()).order(order).start().unwrap();
            cloud.called(1).await;
            // INVOKE finds its fetch in flight, and starts it again.
            invocation.release();
            cloud.called(1).await;
            tokio::time::sleep(patience).await;
            hang_up.notify_one();
            let timings = invocation.over().await.unwrap().timings;
            let held = timings.over - timings.responded.unwrap();
            assert!(held < HOLD / 2, "{secret}, {patience:?}: {held:?}");
            let _frozen = lambda.begin_freeze().await.unwrap();
            until_nothing_is_in_flight(&cloud).await;
        }
    }
}
