//! The keys that sign when the file names none: generated and kept where all gateways of the same
//! account store find them. On Postgres that is the database, in the embedded default a file beside it
//! that only its owner may read. See docs/decisions/0002 and 0022.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::StartError;
use super::open_stores::OpenStores;
use crate::clock::now;
use crate::config::policy::{Policy, UserStorage};
use crate::identity::secret::Secret;
use crate::identity::token::generated::GeneratedKeys;
use crate::store;

const FILE_NAME: &str = "signing-key";

/// Where they are kept.
#[derive(Clone)]
pub enum KeyPlace {
    File(PathBuf),
    Table(Arc<dyn store::GeneratedKeys>),
}

impl KeyPlace {
    /// `None` when the file names keys.
    pub fn of(policy: &Policy, stores: &OpenStores) -> Option<Self> {
        if !policy.tokens.keys.is_empty() {
            return None;
        }
        Some(match &policy.storage.users {
            UserStorage::Sqlite(database) => {
                Self::File(database.parent().unwrap_or(Path::new(".")).join(FILE_NAME))
            }
            UserStorage::Postgres(_) => Self::Table(stores.keys.clone()),
        })
    }

    pub async fn get_or_create(&self) -> Result<GeneratedKeys, StartError> {
        let candidate = GeneratedKeys::generate().to_text();
        let text = match self {
            Self::File(path) => in_file(path, &candidate).map_err(keeping)?,
            Self::Table(keys) => Secret::new(keys.get_or_create(&text(&candidate)).await?),
        };
        GeneratedKeys::parse(text.expose())
            .map_err(|problem| keeping(std::io::Error::new(ErrorKind::InvalidData, problem)))
    }

    /// A new key, which signs in `overlap`; the keys as they are now.
    pub async fn rotate(&self, overlap: Duration, refresh_ttl: Duration) -> Result<GeneratedKeys, String> {
        let before = self.get_or_create().await.map_err(|error| error.to_string())?;
        let mut after = before.clone();
        after.rotate(now() + overlap, now(), refresh_ttl)?;
        let replaced = match self {
            Self::File(path) => {
                replace_file(path, &after.to_text()).map(|()| true).map_err(|e| e.to_string())
            }
            Self::Table(keys) => keys
                .replace(&text(&before.to_text()), &text(&after.to_text()))
                .await
                .map_err(|error| error.to_string()),
        };
        match replaced? {
            true => Ok(after),
            false => Err("somebody else rotated the keys at the same time".to_owned()),
        }
    }
}

fn text(secret: &Secret) -> String {
    String::from_utf8_lossy(secret.expose()).into_owned()
}

fn keeping(cause: std::io::Error) -> StartError {
    StartError::Io { doing: "keeping the signing keys with the accounts", cause }
}

/// Creates the file unless it exists; of two processes at once, both end up with the same key.
fn in_file(path: &Path, candidate: &Secret) -> std::io::Result<Secret> {
    if !path.exists() {
        let fresh = write_beside(path, candidate)?;
        // A link never replaces what is there, and appears with its content.
        let linked = std::fs::hard_link(&fresh, path);
        std::fs::remove_file(&fresh)?;
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let mut secret = Vec::new();
    std::fs::File::open(path)?.read_to_end(&mut secret)?;
    Ok(Secret::new(secret.trim_ascii().to_vec()))
}

fn replace_file(path: &Path, keys: &Secret) -> std::io::Result<()> {
    std::fs::rename(write_beside(path, keys)?, path)
}

/// For its owner only, and safe on the disk.
fn write_beside(path: &Path, content: &Secret) -> std::io::Result<PathBuf> {
    let fresh = path.with_file_name(format!("{FILE_NAME}.{}.new", std::process::id()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(content.expose())?;
    file.sync_all()?;
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_key_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);

        let first = in_file(&path, &Secret::new([b'a'; 40])).unwrap();
        let second = in_file(&path, &Secret::new([b'b'; 40])).unwrap();

        assert_eq!(first, second);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_broken_file_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, "short").unwrap();

        assert!(KeyPlace::File(path.clone()).get_or_create().await.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
    }

    #[tokio::test]
    async fn a_rotation_keeps_what_was_there_and_the_mode() {
        let folder = tempfile::tempdir().unwrap();
        let place = KeyPlace::File(folder.path().join(FILE_NAME));
        let before = place.get_or_create().await.unwrap();

        let after = place.rotate(Duration::from_secs(60), Duration::from_secs(86_400)).await.unwrap();

        assert_eq!(place.get_or_create().await.unwrap(), after);
        assert_eq!(after.in_force(now())[0], before.in_force(now())[0]);
        assert_eq!(after.in_force(now()).len(), 2);
        let mode = std::fs::metadata(folder.path().join(FILE_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
