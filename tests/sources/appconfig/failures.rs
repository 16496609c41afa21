//! What the service's failures are to a reader, and that the old value outlives them.

use lambda_cache::sources::appconfig;
use lambda_cache::{Error, ErrorKind};

use super::store::{Deployed, error};
use crate::aws::Answer;
use crate::fixture::{MINUTE, SECOND, World};

/// What a read of an expired configuration gets; the next one gets the new value.
async fn failure(answer: impl Fn() -> Answer + Send + Sync + 'static) -> Error {
    let world = World::new();
    let deployed = Deployed::in_world(&world, "old");
    let mut builder = world.builder();
    let key = builder.add(appconfig::configuration("shop", "production", "settings").text());
    let cache = builder.spawn().await.unwrap();
    deployed.deploy("new");
    world.clock.freeze(MINUTE);
    world.aws.script(move |_| Some(answer()));
    let error = cache.get(key).await.unwrap_err();
    let text = error.to_string();
    for part in ["entry \"settings\"", "shop/production/settings", "max age 60s"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    assert_eq!(*cache.peek(key).unwrap(), "old");
    deployed.heal(&world);
    world.clock.advance(SECOND);
    assert_eq!(*cache.get(key).await.unwrap(), "new");
    error
}

#[tokio::test(start_paused = true)]
async fn each_failure_is_of_its_kind() {
    for (status, code, kind) in [
        (404, "ResourceNotFoundException", ErrorKind::NotFound),
        (403, "AccessDeniedException", ErrorKind::Denied),
        (429, "ThrottlingException", ErrorKind::Throttled),
        (500, "InternalServerException", ErrorKind::Source),
        (400, "BadRequestException", ErrorKind::Source),
    ] {
        let error = failure(move || error(status, code)).await;
        assert_eq!(error.kind(), kind, "{code}: {error}");
    }
    assert_eq!(failure(|| Answer::Break).await.kind(), ErrorKind::Source);
    assert_eq!(failure(|| Answer::Never).await.kind(), ErrorKind::Timeout);
    assert_eq!(failure(|| Answer::Stall).await.kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_configuration_that_is_no_json_is_an_error_that_quotes_nothing() {
    let world = World::new();
    Deployed::in_world(&world, "hunter2");
    let mut builder = world.builder();
    let configuration = || appconfig::configuration("shop", "production", "settings");
    builder.add(configuration().json::<Vec<u32>>().name("json"));
    builder.add(configuration().flag("a").name("flag"));
    let error = builder.spawn().await.unwrap_err();
    assert!(error.others().iter().all(|it| it.kind() == ErrorKind::Decode));
    assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
}

#[tokio::test]
async fn what_is_declared_wrongly_is_an_error() {
    let world = World::new();
    let long = "x".repeat(129);
    for [application, environment, profile] in
        [["", "b", "c"], ["a", "", "c"], ["a", "b", ""], [&long, "b", "c"]]
    {
        let mut builder = world.builder();
        builder.add(appconfig::configuration(application, environment, profile));
        let error = builder.spawn().await.unwrap_err();
        assert_eq!(error.others()[0].kind(), ErrorKind::Declaration);
        let named = (!profile.is_empty()).then_some(profile);
        assert_eq!(error.others()[0].entry(), named);
    }
    assert!(world.aws.calls().is_empty());
}
