//! A flood of logins gives way to what is proxied: the threads that hash and those that write to SQLite.

use std::fs;

use crate::harness;

/// Name and niceness of each thread of a process.
fn threads(id: u32) -> Vec<(String, i32)> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("it runs").flatten();
    let read = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, fields) = stat.split_once('(')?.1.rsplit_once(')')?;
        Some((name.to_owned(), fields.split_whitespace().nth(16)?.parse().ok()?))
    };
    tasks.filter_map(read).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_threads_that_write_for_logins_run_below_those_that_proxy() {
    let gw = harness::gateway("").await;
    let alice = gw.register("alice").await;
    alice.refresh().await;

    let threads = threads(gw.id());

    let writers: Vec<_> = threads.iter().filter(|(name, _)| name.starts_with("sqlite-")).collect();
    assert!(writers.len() >= 2, "{threads:?}");
    assert!(writers.iter().all(|(_, niceness)| *niceness == 10), "{threads:?}");
    let passwords: Vec<_> = threads.iter().filter(|(name, _)| name.starts_with("password")).collect();
    assert!(!passwords.is_empty() && passwords.iter().all(|(_, niceness)| *niceness == 19), "{threads:?}");
    let others =
        threads.iter().filter(|(name, _)| !name.starts_with("sqlite-") && !name.starts_with("password"));
    assert!(others.clone().count() > 2 && others.clone().all(|(_, niceness)| *niceness == 0), "{threads:?}");
}
