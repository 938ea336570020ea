//! Notices that the content of the configuration has changed: of the file, of one that it includes, or of a
//! certificate.
//!
//! Folders are watched, not files: editors replace files, and Kubernetes swaps the symlink
//! `..data` beside them. Whatever happens there, only the content counts. A slow poll stands in
//! where the system sends no events (network file systems, exhausted inotify instances).

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;

use super::load;
use crate::config::include;

/// Events of one save come close together; what counts is the content after the last.
const QUIET: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_secs(10);

/// Watches until it is dropped.
pub struct Watch {
    /// Held, not used: the thread ends when no event can come any more.
    _events: Sender<()>,
    _watcher: Option<Arc<Mutex<RecommendedWatcher>>>,
}

/// Calls `on_change`, on a thread of its own, whenever `path` or what it includes has another content
/// than the last time. Begin before loading the file, so that no change falls in between.
pub fn watch(path: &Path, on_change: impl FnMut() + Send + 'static) -> io::Result<Watch> {
    let (events, happened) = mpsc::channel();
    let interest = Arc::new(Mutex::new(Interest::default()));
    let watcher = watcher(events.clone(), interest.clone())
        .inspect_err(|error| tracing::warn!(%error, "no file events; polling {}", path.display()))
        .ok()
        .map(|watcher| Arc::new(Mutex::new(watcher)));
    let mut files = Files {
        main: path.to_path_buf(),
        print: None,
        patterns: Vec::new(),
        certificates: Vec::new(),
        interest,
        watcher: watcher.as_ref().map(Arc::downgrade).unwrap_or_default(),
        watched: HashSet::new(),
    };
    let known = files.fingerprint();
    std::thread::Builder::new()
        .name("config-watch".to_owned())
        .spawn(move || compare_on_events(&mut files, known, &happened, on_change))?;
    Ok(Watch { _events: events, _watcher: watcher })
}

fn watcher(events: Sender<()>, interest: Arc<Mutex<Interest>>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too; answering it by reading would never end.
        if event.is_ok_and(|event| !event.kind.is_access() && interest.lock().concerns(&event)) {
            // Nobody listens once the watch is dropped.
            let _ = events.send(());
        }
    })
}

/// The names under which a change can show itself.
#[derive(Default)]
struct Interest {
    names: HashSet<OsString>,
    patterns: Vec<String>,
}

impl Interest {
    /// A file's own name, that of what it links to, and the links on the way, `..data` of Kubernetes among
    /// them.
    fn add(&mut self, path: &Path) {
        let target = std::fs::read_link(path).unwrap_or_default();
        let real = path.canonicalize().unwrap_or_default();
        let on_the_way = target.components().map(|part| part.as_os_str().to_owned());
        let own = [path.file_name(), real.file_name(), Some(OsStr::new("..data"))];
        self.names.extend(own.into_iter().flatten().map(OsStr::to_owned).chain(on_the_way));
    }

    /// A database beside the file is written all the time; that says nothing about the file.
    fn concerns(&self, event: &notify::Event) -> bool {
        let is_ours = |path: &PathBuf| path.file_name().is_none_or(|name| self.knows(name));
        event.need_rescan() || event.paths.is_empty() || event.paths.iter().any(is_ours)
    }

    fn knows(&self, name: &OsStr) -> bool {
        self.names.contains(name)
            || self
                .patterns
                .iter()
                .any(|pattern| name.to_str().is_some_and(|name| include::fits(pattern, name)))
    }
}

/// The file and what it includes at the moment.
struct Files {
    main: PathBuf,
    /// Of the main file when its patterns were read.
    print: Option<Digest>,
    patterns: Vec<PathBuf>,
    /// What the listeners serve; followed like the files that are included.
    certificates: Vec<PathBuf>,
    interest: Arc<Mutex<Interest>>,
    watcher: Weak<Mutex<RecommendedWatcher>>,
    watched: HashSet<PathBuf>,
}

impl Files {
    /// SHA-256 of all names and contents; `None` if the main file can't be read: one that is away is about
    /// to be replaced.
    fn fingerprint(&mut self) -> Option<Vec<u8>> {
        loop {
            self.attend(vec![self.main.clone()]);
            let content = std::fs::read(&self.main).ok()?;
            let print = digest(&SHA256, &content);
            if self.print.as_ref().is_none_or(|known| known.as_ref() != print.as_ref()) {
                self.patterns = load::included_patterns(&self.main, &content);
                self.certificates = load::certificate_files(&self.main, &content);
                self.print = Some(print);
            }
            let included: Vec<PathBuf> = self
                .patterns
                .iter()
                .filter_map(|pattern| load::matching_files(pattern).ok())
                .flatten()
                .chain(self.certificates.iter().cloned())
                .collect();
            // What changed before its folder was watched needs another look.
            let is_new = self.attend([self.patterns.as_slice(), &included].concat());
            if !is_new {
                return Some(combine(&print, &included));
            }
        }
    }

    /// Watches the folders of these files, and of what they link to; `true` if one is new.
    fn attend(&mut self, files: Vec<PathBuf>) -> bool {
        let mut interest = self.interest.lock();
        interest.patterns =
            self.patterns.iter().filter_map(|path| Some(path.file_name()?.to_str()?.to_owned())).collect();
        files.iter().for_each(|file| interest.add(file));
        drop(interest);
        let own = files.iter().map(|file| folder_of(file));
        let linked = files.iter().filter_map(|file| Some(folder_of(&file.canonicalize().ok()?)));
        let folders: Vec<PathBuf> = own.chain(linked).filter(|folder| folder.is_dir()).collect();
        let Some(watcher) = self.watcher.upgrade() else { return false };
        let mut is_new = false;
        for folder in folders {
            // The same folder by another name would be watched once more for nothing.
            let real = folder.canonicalize().unwrap_or(folder);
            if self.watched.insert(real.clone()) {
                is_new = true;
                if let Err(error) = watcher.lock().watch(&real, RecursiveMode::NonRecursive) {
                    tracing::warn!(%error, "no file events; polling {}", real.display());
                }
            }
        }
        is_new
    }
}

fn combine(main: &Digest, included: &[PathBuf]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(main.as_ref());
    for file in included {
        context.update(file.as_os_str().as_encoded_bytes());
        let content = std::fs::read(file).unwrap_or_default();
        context.update(digest(&SHA256, &content).as_ref());
    }
    context.finish().as_ref().to_vec()
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn compare_on_events(
    files: &mut Files,
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
        let current = files.fingerprint();
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
        let mut interest = Interest { names: HashSet::new(), patterns: vec!["*.yml".to_owned()] };
        interest.add(Path::new("/etc/portcullis/gateway.yaml"));
        let event = |name: &str| {
            notify::Event::new(notify::EventKind::Any).add_path(Path::new("/etc/portcullis").join(name))
        };

        assert!(!interest.concerns(&event("portcullis.db-wal")));
        for ours in ["gateway.yaml", "..data", "shop.yml"] {
            assert!(interest.concerns(&event(ours)), "{ours}");
        }
        assert!(interest.concerns(&event("portcullis.db-wal").set_flag(notify::event::Flag::Rescan)));
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

    #[test]
    fn included_files_are_watched_also_those_that_come_later_and_their_folders() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("gateway.yaml"), "version: 1").unwrap();
        let (_watch, changes) = watched(&path("gateway.yaml"));
        let notice = |what: &str| assert_eq!(changes.recv_timeout(PATIENCE), Ok(()), "{what}");

        std::fs::create_dir(path("routes")).unwrap();
        std::fs::write(path("gateway.yaml"), "include: routes/*.yaml").unwrap();
        notice("the pattern");
        std::fs::write(path("routes/a.yaml"), "routes: []").unwrap();
        notice("a new file");
        std::fs::write(path("routes/a.yaml"), "limits: {}").unwrap();
        notice("another content");
        std::fs::rename(path("routes/a.yaml"), path("routes/b.yaml")).unwrap();
        notice("another name");
        std::fs::remove_file(path("routes/b.yaml")).unwrap();
        notice("a file that goes");
        std::fs::write(path("routes/notes.txt"), "nothing to it").unwrap();
        assert_eq!(changes.recv_timeout(QUIET * 5), Err(RecvTimeoutError::Timeout));
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
