//! Neither a key nor a value is ever printed, logged, or put into an error.

use lambda_cache::ErrorKind;
use lambda_cache::testing::Behaviour;

use crate::fixture::{Fixture, MINUTE, SECOND, settle};
use crate::log::Log;

const VALUE: &str = "hunter2-hunter2";
const KEY: &str = "jane.doe@example.com";

#[tokio::test(start_paused = true)]
async fn neither_debug_nor_errors_nor_traces_show_a_key_or_a_value() {
    let log = Log::listen();
    let it = Fixture::with(|memo| memo.stale_if_error(MINUTE)).await;
    it.source.set(KEY, VALUE);
    let value = it.memo.get(KEY.to_owned()).await.unwrap();
    let mut seen = format!("{:?} {value:?} {:?}", it.memo, it.memo.stats());
    for behaviour in
        [Behaviour::Fail(ErrorKind::Denied), Behaviour::Hang, Behaviour::Panic, Behaviour::Answer]
    {
        it.source.behave(behaviour);
        it.invocations.next().handler_begins().await.unwrap();
        it.clock.freeze(MINUTE);
        let result = it.memo.get(KEY.to_owned()).await;
        seen.push_str(&format!("{result:?}"));
        if let Err(error) = it.memo.refresh(KEY.to_owned()).await {
            seen.push_str(&format!("{error} {error:?}"));
        }
    }
    it.memo.invalidate(KEY.to_owned()).await.unwrap();
    tokio::time::sleep(SECOND).await;
    settle().await;
    let traced = log.text();
    assert!(traced.contains("texts") && traced.contains("did not answer"), "{traced}");
    for text in [seen, traced] {
        assert!(!text.contains(VALUE) && !text.contains(KEY), "{text}");
    }
}
