//! The driver works on a thread of its own for each connection. Those give way to the threads that proxy, as
//! the threads that hash passwords do, so that a flood of logins doesn't slow requests that need no store. Less
//! so than these: a refresh and a logout wait for them, too.

/// How their names begin; Linux keeps fifteen bytes.
const THREADS: &str = "sqlite-";
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

pub(super) fn thread_name(number: u64) -> String {
    format!("{THREADS}{number}")
}

/// Lowers the priority of all of these threads; called when one has begun.
#[cfg(target_os = "linux")]
pub(super) fn step_back() {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for task in tasks {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let id =
            task.file_name().to_str().and_then(|id| id.parse().ok()).and_then(rustix::process::Pid::from_raw);
        // Threads come and go meanwhile.
        if let Some(id) = id.filter(|_| name.starts_with(THREADS))
            && let Err(cause) = rustix::process::setpriority_process(Some(id), NICENESS)
        {
            tracing::debug!(%cause, "a thread of SQLite runs at normal priority");
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn step_back() {}
