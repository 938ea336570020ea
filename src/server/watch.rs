//! Notices that a file's content has changed.
//!
//! The folder is watched, not the file: editors replace files, and Kubernetes swaps the symlink
//! `..data` beside it. Whatever happens there, only the content counts. A slow poll stands in
//! where the system sends no events (network file systems, exhausted inotify instances).

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};

/// Events of one save come close together; what counts is the content after the last.
const QUIET: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_secs(10);

/// Watches until it is dropped.
pub struct Watch {
    /// Held, not used: the thread ends when no event can come any more.
    _events: Sender<()>,
    _watcher: Option<RecommendedWatcher>,
}

/// Calls `on_change`, on a thread of its own, whenever `path` has another content than the last
/// time. Begin before loading the file, so that no change falls in between.
pub fn watch(path: &Path, on_change: impl FnMut() + Send + 'static) -> io::Result<Watch> {
    let (events, happened) = mpsc::channel();
    let watcher = watch_folders(path, events.clone())
        .inspect_err(|error| tracing::warn!(%error, "no file events; polling {}", path.display()))
        .ok();
    let file = path.to_path_buf();
    let known = fingerprint(&file);
    std::thread::Builder::new()
        .name("config-watch".to_owned())
        .spawn(move || compare_on_events(&file, known, &happened, on_change))?;
    Ok(Watch { _events: events, _watcher: watcher })
}

/// The file's folder and, if the file is a link, the folder of what it links to.
fn watch_folders(path: &Path, events: Sender<()>) -> notify::Result<RecommendedWatcher> {
    let names = names_of(path);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading the file is an event too; answering it by reading would never end.
        if event.is_ok_and(|event| !event.kind.is_access() && concerns(&event, &names)) {
            // Nobody listens once the watch is dropped.
            let _ = events.send(());
        }
    })?;
    let folder = folder_of(path);
    watcher.watch(&folder, RecursiveMode::NonRecursive)?;
    let target = path.canonicalize().map(|target| folder_of(&target));
    if let Ok(target) = target
        && folder.canonicalize().is_ok_and(|folder| folder != target)
    {
        watcher.watch(&target, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// The names under which a change of the file can show itself: its own, that of what it links to, and the
/// links on the way, `..data` of Kubernetes among them.
fn names_of(path: &Path) -> HashSet<OsString> {
    let target = std::fs::read_link(path).unwrap_or_default();
    let real = path.canonicalize().unwrap_or_default();
    let on_the_way = target.components().map(|part| part.as_os_str().to_owned());
    let own = [path.file_name(), real.file_name(), Some(OsStr::new("..data"))];
    own.into_iter().flatten().map(OsStr::to_owned).chain(on_the_way).collect()
}

/// A database beside the file is written all the time; that says nothing about the file.
fn concerns(event: &notify::Event, names: &HashSet<OsString>) -> bool {
    let is_ours = |path: &PathBuf| path.file_name().is_none_or(|name| names.contains(name));
    event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(is_ours)
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn compare_on_events(
    file: &Path,
    mut known: Option<Vec<u8>>,
    happened: &Receiver<()>,
    mut on_change: impl FnMut(),
) {
    loop {
        match happened.recv_timeout(POLL) {
            Ok(()) => settle(happened),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        // A file that is away is about to be replaced.
        let current = fingerprint(file);
        if current.is_some() && current != known {
            known = current;
            on_change();
        }
    }
}

/// Waits for a pause between events, but not for ever: something beside the file may be written
/// all the time.
fn settle(happened: &Receiver<()>) {
    let patience = Instant::now() + LONGEST;
    while Instant::now() < patience && happened.recv_timeout(QUIET).is_ok() {}
}

/// SHA-256 of the content; `None` if it can't be read.
fn fingerprint(file: &Path) -> Option<Vec<u8>> {
    let content = std::fs::read(file).ok()?;
    Some(digest(&SHA256, &content).as_ref().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn watched(path: &Path) -> (Watch, Receiver<()>) {
        let (changed, changes) = mpsc::channel();
        let watch = watch(path, move || changed.send(()).unwrap()).unwrap();
        (watch, changes)
    }

    #[test]
    fn a_new_content_is_noticed_and_a_mere_touch_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        std::fs::write(&file, "version: 1").unwrap();
        let (_watch, changes) = watched(&file);

        std::fs::write(&file, "version: 1").unwrap();
        assert_eq!(changes.recv_timeout(QUIET * 5), Err(RecvTimeoutError::Timeout));

        std::fs::write(&file, "version: 2").unwrap();
        assert_eq!(changes.recv_timeout(PATIENCE), Ok(()));
    }

    #[test]
    fn what_happens_beside_the_file_is_nothing_to_it() {
        let names = names_of(Path::new("/etc/portcullis/gateway.yaml"));
        let event = |name: &str| {
            notify::Event::new(notify::EventKind::Any).add_path(Path::new("/etc/portcullis").join(name))
        };

        assert!(!concerns(&event("portcullis.db-wal"), &names));
        assert!(concerns(&event("gateway.yaml"), &names));
        assert!(concerns(&event("..data"), &names));
        assert!(concerns(&event("portcullis.db-wal").set_flag(notify::event::Flag::Rescan), &names));
    }

    #[test]
    fn a_replaced_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.yaml");
        std::fs::write(&file, "version: 1").unwrap();
        let (_watch, changes) = watched(&file);

        std::fs::write(folder.path().join("new"), "version: 2").unwrap();
        std::fs::rename(folder.path().join("new"), &file).unwrap();

        assert_eq!(changes.recv_timeout(PATIENCE), Ok(()));
    }

    #[cfg(unix)]
    #[test]
    fn a_swapped_config_map_is_noticed() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (version, content) in [("..1", "version: 1"), ("..2", "version: 2")] {
            std::fs::create_dir(path(version)).unwrap();
            std::fs::write(path(version).join("gateway.yaml"), content).unwrap();
        }
        symlink("..1", path("..data")).unwrap();
        symlink("..data/gateway.yaml", path("gateway.yaml")).unwrap();
        let (_watch, changes) = watched(&path("gateway.yaml"));

        symlink("..2", path("..data_tmp")).unwrap();
        std::fs::rename(path("..data_tmp"), path("..data")).unwrap();

        assert_eq!(changes.recv_timeout(PATIENCE), Ok(()));
    }
}
