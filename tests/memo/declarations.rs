//! What cannot be is an error of the first read, with the memo named.

use std::time::Duration;

use lambda_cache::{ErrorKind, Memo};

use crate::fixture::{Fixture, MINUTE, SECOND, Texts};

type Change = fn(Texts) -> Texts;

#[tokio::test(start_paused = true)]
async fn options_that_cannot_be_are_errors_with_the_memos_name() {
    let wrong: [(Change, &str); 4] = [
        (|memo| memo.max_entries(0), "max_entries"),
        (|memo| memo.max_bytes(0, |_, _| 1), "max_bytes"),
        (|memo| memo.max_age(SECOND).refresh_after(MINUTE), "refresh_after"),
        (|memo| memo.refresh_after(Duration::ZERO), "refresh_after"),
    ];
    for (option, word) in wrong {
        let it = Fixture::with(option).await;
        let error = it.memo.get("x".to_owned()).await.unwrap_err();
        assert_eq!((error.kind(), error.entry()), (ErrorKind::Declaration, Some("texts")));
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!((it.calls(), it.memo.len()), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_memo_needs_a_name_and_the_last_word_on_an_option_counts() {
    let it = Fixture::with(|memo| memo.max_entries(0).max_entries(1)).await;
    it.get("x").await.unwrap();
    let memo: Memo<u8, u8> = it.cache.memo("", async |n| Ok::<_, std::io::Error>(n));
    assert_eq!(memo.get(1).await.unwrap_err().kind(), ErrorKind::Declaration);
}

#[tokio::test(start_paused = true)]
async fn clones_share_what_is_held_and_another_option_begins_an_empty_memo() {
    let it = Fixture::new().await;
    let clone = it.memo.clone();
    clone.get("x".to_owned()).await.unwrap();
    assert_eq!((it.get("x").await.unwrap(), it.calls(), it.memo.len()), ("1".to_owned(), 1, 1));
    let other = clone.max_entries(7);
    assert_eq!((other.len(), it.memo.len()), (0, 1));
}
