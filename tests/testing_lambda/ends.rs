use lambda_cache::testing::Lambda;

use crate::client::{Client, start};

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
