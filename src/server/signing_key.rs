//! The key that signs when the file names none: generated once and kept where all gateways of the
//! same account store find it. On Postgres that is the database, in the embedded default a file
//! beside it that only its owner may read. See docs/decisions/0002.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::StartError;
use super::open_stores::OpenStores;
use crate::config::policy::{KeyMaterial, Policy, SigningAlgorithm, TokenKey, UserStorage};
use crate::identity::secret::Secret;
use crate::identity::token::KeyRing;

const FILE_NAME: &str = "signing-key";
const ID: &str = "generated";

/// The generated key; `None` when the file names keys.
pub async fn get_or_create(policy: &Policy, stores: &OpenStores) -> Result<Option<TokenKey>, StartError> {
    if !policy.tokens.keys.is_empty() {
        return Ok(None);
    }
    let candidate = KeyRing::generate_secret();
    let secret = match &policy.storage.users {
        UserStorage::Sqlite(database) => {
            let folder = database.parent().unwrap_or(Path::new("."));
            in_file(&folder.join(FILE_NAME), &candidate).map_err(|cause| StartError::Io {
                doing: "keeping the signing key beside the database",
                cause,
            })?
        }
        UserStorage::Postgres(_) => {
            let text = String::from_utf8_lossy(candidate.expose()).into_owned();
            Secret::new(stores.keys.get_or_create(&text).await?)
        }
    };
    tracing::info!("tokens.keys names no key; signing with the one kept beside the accounts");
    Ok(Some(TokenKey {
        id: ID.into(),
        algorithm: SigningAlgorithm::HS256,
        material: KeyMaterial::Shared(secret),
    }))
}

/// Creates the file unless it exists; of two processes at once, both end up with the same key.
fn in_file(path: &Path, candidate: &Secret) -> std::io::Result<Secret> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let fresh = folder.join(format!("{FILE_NAME}.{}.new", std::process::id()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    file.write_all(candidate.expose())?;
    file.sync_all()?;
    // A link never replaces what is there, and appears with its content.
    let linked = std::fs::hard_link(&fresh, path);
    std::fs::remove_file(&fresh)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut secret = Vec::new();
    std::fs::File::open(path)?.read_to_end(&mut secret)?;
    let secret = Secret::new(secret.trim_ascii().to_vec());
    if secret.expose().len() < 32 {
        return Err(std::io::Error::new(
            ErrorKind::InvalidData,
            format!("{} holds no key of 32 bytes", path.display()),
        ));
    }
    Ok(secret)
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

    #[test]
    fn a_broken_file_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, "short").unwrap();

        assert!(in_file(&path, &Secret::new([b'a'; 40])).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"short");
    }
}
