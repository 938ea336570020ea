//! The control socket: a Unix socket that only the gateway's own user can open. Who gets in there needs no
//! token.
//!
//! It is bound within a folder of mode 0700 and only then gets its name, so that it is never open to others,
//! not even for a moment. A socket that nobody listens on any more is replaced, and nothing else.

use std::fs::{self, DirBuilder, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::{UnixListener, UnixStream};

use super::StartError;
use crate::config::policy::ControlSocket;

/// What a crash may have left behind are as many names.
const ATTEMPTS: u32 = 16;
/// A gateway that starts holds the lock for milliseconds.
const LOCKED_FOR: Duration = Duration::from_secs(5);
const LOCK_ASKED_EVERY: Duration = Duration::from_millis(20);

/// The socket as it lies in the file system.
#[derive(Debug)]
pub struct Placed {
    path: PathBuf,
    /// Device and inode: what another gateway has put there since isn't ours to remove.
    id: (u64, u64),
}

impl Placed {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn remove(&self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| identify(&found) == self.id) {
            // Whatever keeps it from going keeps nobody from starting again.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Who holds the other end.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    uid: Option<u32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self { uid: stream.io().peer_cred().ok().map(|peer| peer.uid()) }
    }
}

impl Peer {
    /// As in the records of the command line: `cli:` and the login, or the user's number.
    pub fn name(self) -> String {
        self.uid.map_or_else(|| "cli:unknown".to_owned(), name_of)
    }
}

/// Who runs this process: of root, whoever became root by sudo. The environment of anybody else says nothing.
pub fn own_name() -> String {
    let uid = rustix::process::getuid();
    let before = std::env::var("SUDO_USER").ok().filter(|name| uid.is_root() && is_login(name));
    before.map_or_else(|| name_of(uid.as_raw()), |login| format!("cli:{login}"))
}

fn is_login(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '\\' | '$');
    (1..=64).contains(&name.len()) && name.chars().all(is_plain)
}

fn name_of(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let login = users.lines().find_map(|line| login_of(line, uid));
    login.map_or_else(|| format!("cli:{uid}"), |login| format!("cli:{login}"))
}

fn login_of(line: &str, uid: u32) -> Option<&str> {
    let mut fields = line.split(':');
    let login = fields.next().filter(|login| !login.is_empty())?;
    (fields.nth(1)?.parse() == Ok(uid)).then_some(login)
}

/// `None` when it isn't required and can't be made; the log says why. Must run within a Tokio runtime.
pub async fn open(socket: &ControlSocket) -> Result<Option<(UnixListener, Placed)>, StartError> {
    let failed = |cause| StartError::Control { path: socket.path.clone(), cause };
    match place(&socket.path).await {
        Ok(placed) => Ok(Some(placed)),
        Err(Failure::Taken(reason)) => Err(failed(reason)),
        Err(Failure::Io(cause)) if socket.is_required => Err(failed(cause.to_string())),
        Err(Failure::Io(cause)) => {
            let path = socket.path.display();
            tracing::warn!(%cause, "no control socket at {path}; name another place by listen.control");
            Ok(None)
        }
    }
}

enum Failure {
    /// By what isn't ours to replace.
    Taken(String),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Self {
        Self::Io(cause)
    }
}

async fn place(path: &Path) -> Result<(UnixListener, Placed), Failure> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // Of two gateways that start at once, the second finds the first one's socket.
    let _turn = take_turn(folder).await?;
    let is_stale = check(path).await?;
    let private = PrivateFolder::create_in(folder)?;
    let bound = private.0.join("s");
    let listener = UnixListener::bind(&bound)?;
    fs::set_permissions(&bound, Permissions::from_mode(0o600))?;
    let id = identify(&fs::symlink_metadata(&bound)?);
    if is_stale {
        fs::remove_file(path)?;
    }
    // A link replaces nothing; a file system without links gets the name by renaming.
    match fs::hard_link(&bound, path) {
        Ok(()) => {}
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => {
            return Err(Failure::Taken("something else has just been put there".to_owned()));
        }
        Err(_) => fs::rename(&bound, path)?,
    }
    Ok((listener, Placed { path: path.to_owned(), id }))
}

/// The folder, locked. A file system without locks gives none.
async fn take_turn(folder: &Path) -> Result<Option<File>, Failure> {
    let turn = File::open(folder)?;
    let deadline = Instant::now() + LOCKED_FOR;
    loop {
        match turn.try_lock() {
            Ok(()) => return Ok(Some(turn)),
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                let reason = format!(
                    "another process has kept the folder {} locked for {} s; end it, or give this gateway a `listen.control` in another folder",
                    folder.display(),
                    LOCKED_FOR.as_secs()
                );
                return Err(Failure::Taken(reason));
            }
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_ASKED_EVERY).await,
        }
    }
}

/// Whether a socket lies there that nobody listens on.
async fn check(path: &Path) -> Result<bool, Failure> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(false),
        Err(cause) => return Err(cause.into()),
    };
    if !found.file_type().is_socket() {
        return Err(Failure::Taken("something that is no socket lies there".to_owned()));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(Failure::Taken(
            "another gateway answers there; end it, or give this one a `listen.control` of its own"
                .to_owned(),
        )),
        Err(cause) if cause.kind() == ErrorKind::ConnectionRefused => Ok(true),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(false),
        Err(cause) => Err(Failure::Taken(format!("the socket that lies there can't be opened: {cause}"))),
    }
}

fn identify(found: &fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Nobody else can look into it. Removed with what is left in it.
struct PrivateFolder(PathBuf);

impl PrivateFolder {
    /// Its name is short: the path of a socket can't be long.
    fn create_in(folder: &Path) -> io::Result<Self> {
        let mut last = io::Error::from(ErrorKind::AlreadyExists);
        for attempt in 0..ATTEMPTS {
            let path = folder.join(format!(".s{}-{attempt}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(cause) if cause.kind() == ErrorKind::AlreadyExists => last = cause,
                Err(cause) => return Err(cause),
            }
        }
        Err(last)
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_called_by_its_login() {
        assert_eq!(login_of("ann:x:1000:1000::/home/ann:/bin/sh", 1000), Some("ann"));
        for other in ["ann:x:1001:1000:::", "", "ann", ":x:1000:", "ann:x:x:"] {
            assert_eq!(login_of(other, 1000), None, "{other}");
        }
    }
}
