//! What is wrong with a memo is an error where it is declared.

use std::time::Duration;

use lambda_cache::sources::dynamodb;
use lambda_cache::testing::{TestClock, TestSource};
use lambda_cache::{Builder, Error, ErrorKind, Mode};

use crate::fixture::{Declared, Fixture, MINUTE, SECOND, memo};

type Change = fn(Declared<'_>) -> Declared<'_>;

const WRONG: [(Change, &str); 5] = [
    (|memo| memo.max_entries(0), "max_entries"),
    (|memo| memo.max_bytes(0, |_, _| 1), "max_bytes"),
    (|memo| memo.max_age(SECOND).refresh_after(MINUTE), "refresh_after"),
    (|memo| memo.refresh_after(Duration::ZERO), "refresh_after"),
    (|memo| memo.timeout(Duration::ZERO), "timeout"),
];

#[tokio::test(start_paused = true)]
async fn options_that_cannot_be_are_errors_of_a_memo_that_is_declared_later() {
    let it = Fixture::new().await;
    for (option, word) in WRONG {
        let error = option(memo(&it.cache, &it.source)).build().unwrap_err();
        assert_eq!((error.kind(), error.entry()), (ErrorKind::Declaration, Some("texts")));
        assert!(error.to_string().contains(word), "{error}");
    }
    let unnamed = it.cache.memo("", async |n: u8| Ok::<_, Error>(n)).build().unwrap_err();
    assert_eq!(unnamed.kind(), ErrorKind::Declaration);
    let table = dynamodb::items("no table").key::<String>("id");
    let error = it.cache.memo_from("accounts", table).build().unwrap_err();
    assert_eq!((error.kind(), error.entry()), (ErrorKind::Declaration, Some("accounts")));
}

#[tokio::test(start_paused = true)]
async fn they_are_errors_of_spawn_before_it_together_with_those_of_entries() {
    let source = TestSource::new();
    let mut builder = Builder::new();
    builder.add(source.entry("x").max_age(SECOND).refresh_after(MINUTE));
    let number = async |n: u8| Ok::<_, Error>(n);
    builder.memo("numbers", number).max_entries(0).build();
    builder.memo("twice", number).build();
    builder.add(source.entry("twice"));
    let error = builder.spawn().await.unwrap_err();
    let names: Vec<_> = error.others().iter().filter_map(Error::entry).collect();
    assert_eq!(names, ["x", "numbers", "twice"]);
    assert!(source.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_memo_that_was_declared_before_spawn_works_once_that_has_succeeded() {
    let (source, clock) = (TestSource::new(), TestClock::new());
    source.set("x", "1");
    let mut builder = Builder::new().clock(clock.clone()).mode(Mode::OnDemand);
    let asked = source.clone();
    let texts = builder
        .memo("texts", move |key: String| {
            let asked = asked.clone();
            async move { asked.ask(key).await }
        })
        .max_entries(1)
        .build();
    let early = texts.get("x".to_owned()).await.unwrap_err();
    assert_eq!((early.kind(), early.entry()), (ErrorKind::NotLoaded, Some("texts")));
    assert_eq!((texts.len(), texts.stats().misses), (0, 0));
    let _cache = builder.spawn().await.unwrap();
    assert_eq!(*texts.get("x".to_owned()).await.unwrap(), "1");
    clock.freeze(2 * MINUTE);
    source.set("x", "2");
    assert_eq!(*texts.get("x".to_owned()).await.unwrap(), "2");
}

#[tokio::test(start_paused = true)]
async fn clones_share_what_is_stored_and_the_last_word_on_an_option_counts() {
    let it = Fixture::with(|memo| memo.max_entries(0).max_entries(1)).await;
    let clone = it.memo.clone();
    clone.get("x".to_owned()).await.unwrap();
    assert_eq!((it.get("x").await.unwrap(), it.calls(), it.memo.len()), ("1".to_owned(), 1, 1));
}
