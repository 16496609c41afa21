//! What the service's failures are to a reader, of one secret and of a batch, and that the old value
//! outlives them.

use std::sync::atomic::{AtomicUsize, Ordering};

use lambda_cache::sources::secrets_manager;
use lambda_cache::{Clock, Error, ErrorKind};
use secrecy::ExposeSecret;

use crate::aws::Answer;
use crate::fixture::{MINUTE, SECOND, World};

/// What a read of an expired secret gets, alone and from a batch of two; the next one gets the new
/// value.
async fn failures(answer: impl Fn() -> Answer + Clone + Send + Sync + 'static) -> Vec<Error> {
    let mut errors = Vec::new();
    for secrets in [1, 2] {
        let world = World::new();
        let mut builder = world.builder();
        for n in 0..secrets {
            world.aws.put_secret(&format!("s{n}"), "old").await;
        }
        let secret = |n: usize| secrets_manager::secret(format!("s{n}"));
        let keys: Vec<_> = (0..secrets).map(|n| builder.add(secret(n))).collect();
        let cache = builder.spawn().await.unwrap();
        for n in 0..secrets {
            world.aws.put_secret(&format!("s{n}"), "new").await;
        }
        world.clock.freeze(MINUTE);
        let answer = answer.clone();
        world.aws.script(move |_| Some(answer()));
        let error = cache.snapshot().await.get(keys[0]).map(|_| ()).unwrap_err();
        let text = error.to_string();
        for part in ["entry \"s0\"", "secretsmanager:GetSecretValue s0", "max age 60s"] {
            assert!(text.contains(part), "{text} lacks {part}");
        }
        assert_eq!(cache.peek(keys[0]).unwrap().expose_secret(), "old");
        world.aws.heal();
        world.clock.advance(SECOND);
        assert_eq!(cache.get(keys[0]).await.unwrap().expose_secret(), "new");
        errors.push(error);
    }
    errors
}

fn assert_all(errors: &[Error], kind: ErrorKind) {
    assert!(errors.iter().all(|error| error.kind() == kind), "{errors:?}");
}

#[tokio::test(start_paused = true)]
async fn throttling_is_throttling_even_where_single_calls_were_tried_instead() {
    assert_all(&failures(|| Answer::error(400, "ThrottlingException")).await, ErrorKind::Throttled);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_denied() {
    for code in ["AccessDeniedException", "ExpiredTokenException", "DecryptionFailure"] {
        assert_all(&failures(move || Answer::error(400, code)).await, ErrorKind::Denied);
    }
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_is_not_found() {
    let errors = failures(|| Answer::error(400, "ResourceNotFoundException")).await;
    assert_all(&errors, ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn trouble_at_the_service_or_on_the_way_is_a_failure_of_the_source() {
    assert_all(&failures(|| Answer::error(500, "InternalServiceError")).await, ErrorKind::Source);
    assert_all(
        &failures(|| Answer::error(400, "InvalidRequestException")).await,
        ErrorKind::Source,
    );
    assert_all(&failures(|| Answer::Break).await, ErrorKind::Source);
    for body in ["<html>", "{", r#"{"SecretValues": 7, "SecretString": 7}"#] {
        assert_all(&failures(move || Answer::Say(200, body.to_owned())).await, ErrorKind::Source);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_timeout() {
    assert_all(&failures(|| Answer::Never).await, ErrorKind::Timeout);
    assert_all(&failures(|| Answer::Stall).await, ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_secret_without_a_value_is_no_secret() {
    let named = r#"{"Name": "s0", "SecretValues": [{"Name": "s0"}, {"Name": "s1"}]}"#;
    let errors = failures(move || Answer::Say(200, named.to_owned())).await;
    assert_all(&errors, ErrorKind::Decode);
}

#[tokio::test(start_paused = true)]
async fn the_sdks_own_attempts_end_with_the_operation_timeout() {
    let world = World::new();
    world.aws.put_secret("s0", "old").await;
    let mut builder = world.builder().operation_timeout(2 * SECOND);
    let key = builder.add(secrets_manager::secret("s0"));
    let cache = builder.spawn().await.unwrap();
    let attempts = std::sync::Arc::new(AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&attempts);
    world.aws.script(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        Some(Answer::Never)
    });
    let before = world.clock.now().monotonic();
    assert_eq!(cache.refresh(key).await.unwrap_err().kind(), ErrorKind::Timeout);
    assert!(world.clock.now().monotonic() - before <= 2 * SECOND);
    assert_eq!(attempts.load(Ordering::Relaxed), 2, "an attempt has 1.5 s");
}
