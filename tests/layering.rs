//! Dependencies point down this list only.

use std::fs;
use std::path::{Path, PathBuf};

const LIBRARY: &[&str] = &[
    "lib",
    "testing",
    "lambda",
    "memo",
    "cache",
    "refresher",
    "engine",
    "sources",
    "decode",
    "snapshot",
    "stats",
    "entry",
    "freshness",
    "mode",
    "error",
    "clock",
    "sync",
    // Of tests.
    "near",
];

const SIDECAR: &[&str] = &[
    "main",
    "sidecar",
    "declared",
    "on_demand",
    "settings",
    "config",
    "http",
    "answer",
    "log",
    "messages",
    "unsent",
    "go_syntax",
    // Of tests.
    "near",
];

#[test]
fn no_module_of_the_library_uses_one_above_it() {
    check("src", LIBRARY, 50);
}

#[test]
fn no_module_of_the_sidecar_uses_one_above_it() {
    check("src/bin/lambda-cache-extension", SIDECAR, 20);
}

#[test]
fn the_engine_knows_no_task_clock_lock_or_network() {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/engine");
    let files = rust_files(&engine);
    assert!(files.len() > 8, "is this test still looking in the right place?");
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable file");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for (number, line) in code.enumerate() {
            for word in ["tokio", "async", "await", "Mutex", "RwLock", "now()", "thread", "spawn"] {
                assert!(!line.contains(word), "{}, line {number}: {line}", file.display());
            }
        }
    }
}

fn check(folder: &str, top_to_bottom: &[&str], at_least: usize) {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let rank = |module: &str| {
        let rank = top_to_bottom.iter().position(|&it| it == module);
        rank.unwrap_or_else(|| panic!("give module {module} of {folder} its place in the list"))
    };
    let mut uses = 0;
    for file in rust_files(&src) {
        let user = module_of(&file, &src);
        let text = fs::read_to_string(&file).expect("a readable file");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for used in code.flat_map(|line| line.split("crate::").skip(1)) {
            let used = used.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
            let used = if used.starts_with(char::is_uppercase) { top_to_bottom[0] } else { used };
            let (from, to) = (rank(&user), rank(used));
            assert!(from <= to, "{} uses {used}, which is above it", file.display());
            uses += 1;
        }
    }
    assert!(
        uses > at_least,
        "only {uses} uses found: is this test still looking in the right place?"
    );
}

fn module_of(file: &Path, src: &Path) -> String {
    let first = file.strip_prefix(src).ok().and_then(|path| path.iter().next());
    first.and_then(|it| it.to_str()).unwrap_or_default().trim_end_matches(".rs").to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let (folders, files): (Vec<_>, Vec<_>) =
        entries.map(|entry| entry.path()).partition(|path| path.is_dir());
    // Binaries are crates of their own.
    let folders = folders.iter().filter(|folder| !folder.ends_with("src/bin"));
    let below = folders.flat_map(|folder| rust_files(folder));
    files
        .iter()
        .filter(|file| file.extension().is_some_and(|it| it == "rs"))
        .cloned()
        .chain(below)
        .collect()
}
