use lambda_cache::Clock;
use lambda_cache::testing::Lambda;

use crate::client::{Client, start, waits};

#[tokio::test]
async fn at_its_end_external_extensions_that_asked_for_it_get_shutdown() {
    let lambda = start(Lambda::builder().external_extension("agent").external_extension("other"));
    let agent = Client::extension(&lambda, "agent", &["INVOKE", "SHUTDOWN"]).await;
    let other = Client::extension(&lambda, "other", &["INVOKE"]).await;
    let (asked, not_told) = (agent.asks().await, other.asks().await);
    lambda.shutdown().await.unwrap();
    let event = asked.answered().await.json();
    assert_eq!(event["eventType"], "SHUTDOWN");
    assert_eq!(event["shutdownReason"], "spindown");
    let now = lambda.clock().now().wall().duration_since(std::time::UNIX_EPOCH).unwrap();
    let left = u128::from(event["deadlineMs"].as_u64().unwrap()).saturating_sub(now.as_millis());
    assert!((1..=2000).contains(&left), "{left} ms");
    assert!(waits(&lambda, not_told.answer()).await);
    assert!(waits(&lambda, agent.asks().await.answer()).await, "it is told once");
}

#[tokio::test]
async fn with_the_last_handle_the_environment_ends() {
    let lambda = start(Lambda::builder());
    let question = {
        let runtime = Client::runtime(&lambda);
        runtime.asks().await
    };
    let clone = lambda.clone();
    drop(lambda);
    clone.ready().await.unwrap();
    drop(clone);
    assert!(question.answer().await.is_none());
}
