//! Dependencies point down this list only.

use std::fs;
use std::path::{Path, PathBuf};

const TOP_TO_BOTTOM: [&str; 15] = [
    "lib",
    "testing",
    "lambda",
    "memo",
    "cache",
    "refresher",
    "sources",
    "decode",
    "snapshot",
    "stats",
    "entry",
    "freshness",
    "mode",
    "error",
    "clock",
];

#[test]
fn no_module_uses_one_above_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut uses = 0;
    for file in rust_files(&src) {
        let user = module_of(&file, &src);
        let text = fs::read_to_string(&file).expect("a readable file");
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for used in code.flat_map(|line| line.split("crate::").skip(1)) {
            let used = used.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("");
            let used = if used.starts_with(char::is_uppercase) { "lib" } else { used };
            let (from, to) = (rank(&user), rank(used));
            assert!(from <= to, "{} uses {used}, which is above it", file.display());
            uses += 1;
        }
    }
    assert!(uses > 50, "only {uses} uses found: is this test still looking in the right place?");
}

fn rank(module: &str) -> usize {
    TOP_TO_BOTTOM
        .iter()
        .position(|&it| it == module)
        .unwrap_or_else(|| panic!("give module {module} its place in the list"))
}

fn module_of(file: &Path, src: &Path) -> String {
    let first = file.strip_prefix(src).ok().and_then(|path| path.iter().next());
    first.and_then(|it| it.to_str()).unwrap_or_default().trim_end_matches(".rs").to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
    let (folders, files): (Vec<_>, Vec<_>) =
        entries.map(|entry| entry.path()).partition(|path| path.is_dir());
    let below = folders.iter().flat_map(|folder| rust_files(folder));
    files
        .iter()
        .filter(|file| file.extension().is_some_and(|it| it == "rs"))
        .cloned()
        .chain(below)
        .collect()
}
