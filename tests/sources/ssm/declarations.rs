//! What is declared wrongly is an error from `spawn`, before any request, which names the entry (A8).

use lambda_cache::sources::{Declare, Entry, ssm};
use lambda_cache::{Builder, Error, ErrorKind};

use crate::fixture::{INSTANT, MINUTE, World};

/// The one error with which an entry is refused.
async fn refused<D: Declare + 'static, T: Send + Sync + 'static>(entry: Entry<D, T>) -> Error {
    let world = World::with([("/app/fine", "fine")]).await;
    let mut builder = world.builder();
    builder.add(ssm::parameter("/app/fine"));
    builder.add(entry);
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Declaration);
    assert_eq!(world.aws.calls().len(), 0, "a request was made");
    let [refused] = error.others() else { panic!("not one error: {error}") };
    assert_eq!(refused.kind(), ErrorKind::Declaration);
    assert!(error.to_string().contains(&refused.to_string()), "{error}");
    refused.clone()
}

#[tokio::test(start_paused = true)]
async fn a8_a_group_or_a_path_without_a_name_is_refused() {
    for error in
        [refused(ssm::parameters(["/app/a", "/app/b"])).await, refused(ssm::path("/app/")).await]
    {
        assert!(error.to_string().contains("`.name(..)`"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_without_parameters_is_refused() {
    let error = refused(ssm::parameters([""; 0]).name("group")).await;
    assert!(error.to_string().contains("at least one name"), "{error}");
    assert_eq!(error.entry(), Some("group"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_a_parameters_name_is_refused() {
    for name in ["", "/app/", "/app/a b"] {
        let error = refused(ssm::parameter(name).name("entry")).await;
        assert!(error.to_string().contains(&format!("\"{name}\" is not the name")), "{error}");
        assert_eq!(error.entry(), Some("entry"), "{error}");
        let error = refused(ssm::parameters(["/app/fine", name]).name("group")).await;
        assert!(error.to_string().contains(&format!("\"{name}\" is not the name")), "{error}");
        assert_eq!(error.entry(), Some("group"), "{error}");
    }
}

/// Parameter Store refuses the whole call that one of these is in.
#[tokio::test(start_paused = true)]
async fn a_name_against_the_rules_of_parameter_store_is_refused_and_the_rule_is_named() {
    let long = format!("/{}", "x".repeat(2048));
    let arn = format!("arn:aws:ssm:eu-west-1:111122223333:parameter/{}", "x".repeat(2010));
    for (name, why) in [
        ("/app/a@b", "it contains '@'; allowed are letters"),
        ("app/x", "has to begin with one"),
        ("/app//x", "nothing follows one of its slashes"),
        ("/ssm/x", "are reserved"),
        ("awsx", "are reserved"),
        ("/aws/reference/other", "are reserved"),
        ("/aws/reference/secretsmanager/a b", "not the name of a secret"),
        ("arn:aws:s3:::bucket/x", "the ARN is not that of a parameter"),
        ("/app/x:a*", "neither a version nor a label"),
        (&long, "it has 2049 characters, and 2048 are allowed"),
        (&arn, "it has 2055 characters, and 2048 are allowed"),
    ] {
        for error in [
            refused(ssm::parameter(name).name("entry")).await,
            refused(ssm::parameters(["/app/fine", name]).name("entry")).await,
        ] {
            assert!(error.to_string().contains(why), "{error}");
            assert!(error.to_string().len() < 400, "{error}");
        }
    }
    let error = refused(ssm::parameter("/app/x").label("a b")).await;
    assert!(error.to_string().contains("neither a version nor a label"), "{error}");
    let error = refused(ssm::path("/app/*").name("tree")).await;
    assert!(error.to_string().contains("it contains '*'"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_aws_itself_offers_below_its_reserved_prefix_is_not_refused() {
    let world = World::new();
    let mut builder = world.builder();
    let public = "/aws/service/global-infrastructure/version";
    builder.add(ssm::parameter(public).lazy());
    let arn = format!("arn:aws:ssm:eu-west-1::parameter{public}");
    builder.add(ssm::parameter(arn).name("by arn").lazy());
    builder.add(ssm::parameter("/aws/reference/secretsmanager/prod/db+1").lazy());
    builder.add(ssm::path("/aws/service/").name("tree").lazy());
    builder.spawn().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_entry_with_an_empty_name_is_refused() {
    let error = refused(ssm::parameter("/app/x").name("")).await;
    assert!(error.to_string().contains("must not be empty"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_version_and_a_label_at_once_are_refused() {
    for entry in [
        ssm::parameter("/app/x").version(1).label("live"),
        ssm::parameter("/app/x").label("live").version(1),
        ssm::parameter("/app/x").version(1).version(2),
        ssm::parameter("/app/x").version(0),
        ssm::parameter("/app/x").label(""),
    ] {
        let error = refused(entry).await;
        assert!(error.to_string().contains("/app/x"), "{error}");
        assert_eq!(error.entry(), Some("x"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_that_does_not_begin_with_a_slash_is_refused() {
    let error = refused(ssm::path("app/").name("tree")).await;
    assert!(error.to_string().contains("path \"app/\""), "{error}");
    assert_eq!(error.entry(), Some("tree"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn two_entries_of_one_name_are_refused() {
    let error = refused(ssm::parameter("/other/fine")).await;
    assert_eq!(error.entry(), Some("fine"), "{error}");
    let error = refused(ssm::parameters(["/app/a"]).name("fine")).await;
    assert_eq!(error.entry(), Some("fine"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_soft_bound_beyond_the_hard_one_is_refused() {
    let error = refused(ssm::parameter("/app/x").refresh_after(MINUTE + INSTANT)).await;
    assert_eq!(error.entry(), Some("x"), "{error}");
    let entry = ssm::parameter("/app/y").max_age(MINUTE - INSTANT).refresh_after(MINUTE);
    let error = refused(entry).await;
    assert_eq!(error.entry(), Some("y"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_bounds_themselves_are_not_refused() {
    let world = World::with([("/app/x", "x"), ("/app/y", "y")]).await;
    let mut builder = world.builder();
    builder.add(ssm::parameter("/app/x").refresh_after(MINUTE));
    builder.add(
        ssm::parameter("/app/y")
            .max_age(std::time::Duration::ZERO)
            .refresh_after(std::time::Duration::ZERO),
    );
    builder.spawn().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_parameter_in_a_cache_without_aws_configuration_is_refused() {
    let mut builder = Builder::new();
    builder.add(ssm::parameter("/app/x"));
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Declaration);
    assert!(error.to_string().contains("Cache::builder(&aws)"), "{error}");
    assert_eq!(error.others()[0].entry(), Some("x"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_declared_wrongly_is_reported_at_once() {
    let world = World::with([("/app/fine", "fine")]).await;
    let mut builder = world.builder();
    builder.add(ssm::parameter("/app/fine"));
    builder.add(ssm::parameters(["/app/a", "/app/b"]));
    builder.add(ssm::path("app").name("tree"));
    builder.add(ssm::parameter("/app/x").version(1).label("live"));
    builder.add(ssm::parameter("/other/fine"));
    builder.add(ssm::parameter("/app/y").refresh_after(2 * MINUTE));
    builder.add(ssm::parameter("").name("z"));
    let error = builder.spawn().await.unwrap_err();
    assert_eq!(error.others().len(), 6, "{error}");
    let text = error.to_string();
    for part in ["`.name(..)`", "path \"app\"", "/app/x", "\"fine\"", "\"y\"", "\"\" is not"] {
        assert!(text.contains(part), "{text} lacks {part}");
    }
    assert_eq!(world.aws.calls().len(), 0);
}
