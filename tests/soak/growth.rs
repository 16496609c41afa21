//! What a process takes of memory and files, over its time.

use std::fs;

use tokio::process::Command;

/// How much more or less memory a process may have in use at the end than after its warm-up.
const TOLERATED_KB: u64 = 2048;
/// Connections come and go.
const TOLERATED_FILES: usize = 8;
/// The first part of the samples, in percent, is the warm-up.
const WARM_UP: usize = 30;

/// Has glibc keep no freed memory for the thread that freed it, and one arena for all: what the process
/// takes is then what it needs. Otherwise it grows for some hundred thousand invocations, by some
/// megabytes, while the live heap does not.
pub(crate) fn frees_at_once(command: &mut Command) -> &mut Command {
    command.env(TUNABLES.0, TUNABLES.1)
}

/// The same, as a variable.
pub(crate) const TUNABLES: (&str, &str) =
    ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1");

/// A process, and samples of what it takes.
pub(crate) struct Growth {
    process: u32,
    samples: Vec<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    resident_kb: u64,
    files: usize,
}

impl Growth {
    pub(crate) fn of(process: u32) -> Self {
        Self { process, samples: Vec::new() }
    }

    pub(crate) fn sample(&mut self) {
        let directory = format!("/proc/{}", self.process);
        let status = fs::read_to_string(format!("{directory}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let resident_kb = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        let files = fs::read_dir(format!("{directory}/fd")).unwrap().count();
        self.samples.push(Sample { resident_kb, files });
    }

    /// Compares the end with the time after the warm-up.
    pub(crate) fn is_none(&self, what: &str) {
        let warm = &self.samples[self.samples.len() * WARM_UP / 100..];
        let (first, last) = (&warm[..warm.len() / 3], &warm[warm.len() - warm.len() / 3..]);
        let [early, late] = [first, last].map(typical);
        let all: Vec<_> = self.samples.iter().map(|it| it.resident_kb).collect();
        let (start, most) = (all[0], all.iter().max().unwrap());
        println!(
            "{what}: {start} kB at the start, {early:?} after the warm-up, {late:?} at the end"
        );
        println!("{what}: {most} kB at most");
        let report = format!("{what}: {early:?}, then {late:?}; in kB: {all:?}");
        assert!(late.resident_kb.abs_diff(early.resident_kb) <= TOLERATED_KB, "{report}");
        assert!(late.files <= early.files + TOLERATED_FILES, "{report}");
    }
}

/// The medians.
fn typical(samples: &[Sample]) -> Sample {
    let mut resident_kb: Vec<_> = samples.iter().map(|it| it.resident_kb).collect();
    let mut files: Vec<_> = samples.iter().map(|it| it.files).collect();
    resident_kb.sort();
    files.sort();
    Sample { resident_kb: resident_kb[resident_kb.len() / 2], files: files[files.len() / 2] }
}
