//! How an object gets into its file, and what is never left beside it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use bytes::Bytes;
use lambda_cache::ErrorKind;
use lambda_cache::sources::s3;
use lambda_cache::testing::Invocations;

use super::store::{Directory, read};
use crate::aws::Answer;
use crate::fixture::{First, Function, MINUTE, SECOND, World};

#[tokio::test(start_paused = true)]
async fn only_the_processs_user_may_read_the_file() {
    let (world, directory) = (World::bucket([("object", "content")]).await, Directory::new());
    let mut builder = world.builder();
    let file = builder.add(s3::object("s3://conf/object").to_file(directory.file("file")));
    let cache = builder.spawn().await.unwrap();
    let path = cache.get(file).await.unwrap();
    assert_eq!(fs::metadata(&**path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(start_paused = true)]
async fn who_has_the_old_file_open_keeps_it() {
    let (world, directory) = (World::bucket([("object", "old")]).await, Directory::new());
    let mut builder = world.builder();
    let file = builder.add(s3::object("s3://conf/object").to_file(directory.file("file")));
    let cache = builder.spawn().await.unwrap();
    let open = fs::File::open(directory.file("file")).unwrap();
    world.aws.put_object("object", "new").await;
    world.clock.freeze(MINUTE);
    assert_eq!(read(&*cache.get(file).await.unwrap()), "new");
    assert_eq!(std::io::read_to_string(open).unwrap(), "old");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_there_before_is_replaced() {
    let (world, directory) = (World::bucket([("object", "content")]).await, Directory::new());
    let path = directory.file("file");
    fs::write(&path, "of an earlier process").unwrap();
    let mut builder = world.builder();
    let file = builder.add(s3::object("s3://conf/object").to_file(&path));
    let cache = builder.spawn().await.unwrap();
    assert_eq!(read(&*cache.get(file).await.unwrap()), "content");
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_does_not_exist_is_the_entrys_error_and_no_other_ones() {
    let (world, directory) = (World::bucket([("object", "content")]).await, Directory::new());
    let mut builder = world.builder();
    let nowhere = directory.file("nowhere").join("file");
    let lost = builder.add(s3::object("s3://conf/object").to_file(&nowhere).lazy());
    let text = builder.add(s3::object("s3://conf/object").text().name("text"));
    let cache = builder.spawn().await.unwrap();
    let error = cache.get(lost).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Source, "{error}");
    assert!(error.to_string().contains(nowhere.to_str().unwrap()), "{error}");
    assert_eq!(*cache.get(text).await.unwrap(), "content");
    fs::create_dir(directory.file("nowhere")).unwrap();
    world.clock.freeze(MINUTE);
    assert_eq!(read(&*cache.get(lost).await.unwrap()), "content");
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_process_left_is_removed_and_nothing_else() {
    let (world, directory) = (World::bucket([("object", "content")]).await, Directory::new());
    let others = [
        ".file",
        ".file.bin.a1B2c3.lambda-cache",
        ".file.txt",
        ".other.a1B2c3.lambda-cache",
        "file.lambda-cache",
    ];
    for name in others.iter().chain(&[".file.a1B2c3.lambda-cache", ".file.x.lambda-cache"]) {
        fs::write(directory.file(name), "half").unwrap();
    }
    let mut builder = world.builder();
    builder.add(s3::object("s3://conf/object").to_file(directory.file("file")));
    builder.spawn().await.unwrap();
    let mut expected = others.to_vec();
    expected.push("file");
    expected.sort();
    assert_eq!(directory.names(), expected);
}

/// Neither a file beside the target nor a change of the target outlives the invocation.
#[tokio::test(start_paused = true)]
async fn a_download_that_is_cancelled_before_a_freeze_leaves_nothing() {
    let (world, directory) = (World::bucket([("object", "old")]).await, Directory::new());
    let mut builder = world.builder();
    let file = builder.add(s3::object("s3://conf/object").to_file(directory.file("file")));
    let cache = builder.spawn().await.unwrap();
    let (mut sender, answer) = Answer::streamed("\"new\"", 9);
    let answer = std::sync::Mutex::new(Some(answer));
    world.aws.script(move |_| answer.lock().unwrap().take());
    world.clock.freeze(50 * SECOND);

    let invocations = Invocations::new(&cache, &world.clock);
    let invocation = invocations.next();
    invocation.handler_begins().await.unwrap();
    let held = tokio::spawn({
        let invocation = invocation.clone();
        async move { invocation.invoke().await }
    });
    for part in ["new", "new"] {
        sender.send_data(Bytes::from_static(part.as_bytes())).await.unwrap();
    }
    let names = directory.names();
    assert_eq!(names.len(), 2, "it is being written: {names:?}");
    assert!(names[0].starts_with(".file.") && names[0].ends_with(".lambda-cache"), "{names:?}");
    invocation.handler_ends().await.unwrap();
    held.await.unwrap().unwrap();
    assert_eq!(directory.names(), ["file"]);
    assert_eq!(read(directory.file("file")), "old");

    world.aws.heal();
    world.aws.put_object("object", "newest").await;
    world.clock.freeze(MINUTE);
    let function = Function::new(&world, cache);
    let text = function.invoke(First::Handler, async |it| read(it.get(file).unwrap())).await;
    assert_eq!(text, "newest");
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_dropped_leaves_nothing() {
    let (world, directory) = (World::new(), Directory::new());
    let mut builder = world.builder();
    let file = s3::object("s3://conf/object").to_file(directory.file("file")).lazy();
    let file = builder.add(file);
    let cache = builder.spawn().await.unwrap();
    let (mut sender, answer) = Answer::streamed("\"new\"", 9);
    let answer = std::sync::Mutex::new(Some(answer));
    world.aws.script(move |_| answer.lock().unwrap().take());
    let reader = tokio::spawn(async move { cache.get(file).await.map(|_| ()) });
    for part in ["new", "new"] {
        sender.send_data(Bytes::from_static(part.as_bytes())).await.unwrap();
    }
    assert_eq!(directory.names().len(), 1, "it is being written");
    reader.abort();
    _ = reader.await;
    // The refresher has ended when nobody reads the body any more.
    while sender.send_data(Bytes::from_static(b"n")).await.is_ok() {}
    assert_eq!(directory.names(), [""; 0]);
}

/// As a process whose files may not grow beyond 64 KiB: the same to a writer as a full disk.
#[test]
fn a_disk_that_is_full_leaves_the_old_file() {
    const CHILD: &str = "LAMBDA_CACHE_TEST_FULL_DISK";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(write_too_much());
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
    let mut child = Command::new("bash");
    child.args(["-c", limited]).arg(std::env::current_exe().unwrap());
    let output = child.args(["--exact", &name]).env(CHILD, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{output:?}");
}

async fn write_too_much() {
    let (world, directory) = (World::bucket([("object", "old")]).await, Directory::new());
    let mut builder = world.builder();
    let file = builder.add(s3::object("s3://conf/object").to_file(directory.file("file")));
    let cache = builder.spawn().await.unwrap();
    for length in [64 * 1024 + 1, 5 * 1024 * 1024] {
        world.aws.put_object("object", vec![b'x'; length]).await;
        let error = cache.refresh(file).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Source, "{error}");
        assert!(error.to_string().to_lowercase().contains("file too large"), "{error}");
        assert_eq!(directory.names(), ["file"]);
        assert_eq!(read(directory.file("file")), "old");
    }
    world.aws.put_object("object", vec![b'x'; 64 * 1024]).await;
    cache.refresh(file).await.unwrap();
    assert_eq!(fs::metadata(directory.file("file")).unwrap().len(), 64 * 1024);
}
