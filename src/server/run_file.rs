//! Where a running gateway is reached, noted under the name of the configuration that it started with: the
//! command line finds it although that file has changed since, or can't be read.
//!
//! It lies in a folder that only the same user can open. Whoever runs under another user, or where nothing can
//! be written, goes by the configuration alone.

use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

#[derive(Debug)]
pub struct RunFile(PathBuf);

#[derive(Debug, Serialize, Deserialize)]
pub struct Running {
    pub control: Option<PathBuf>,
    pub admin: SocketAddr,
}

impl RunFile {
    /// `None` where it can't be written; the gateway runs without it.
    pub fn write(config: &Path, control: Option<&Path>, admin: SocketAddr) -> Option<Self> {
        let written = try_write(config, control, admin);
        written.inspect_err(|cause| tracing::debug!(%cause, "no run file")).ok()
    }

    pub fn remove(&self) {
        // One that stays leads nowhere, and to the next way.
        let _ = fs::remove_file(&self.0);
    }
}

impl Running {
    /// What the gateway noted that runs, or ran, on this file.
    pub fn on(config: &Path) -> Option<Self> {
        let folder = folder();
        is_private(&folder).then_some(())?;
        serde_json::from_slice(&fs::read(folder.join(name(config)?)).ok()?).ok()
    }
}

fn try_write(config: &Path, control: Option<&Path>, admin: SocketAddr) -> std::io::Result<RunFile> {
    let folder = folder();
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    if !is_private(&folder) {
        return Err(std::io::Error::other(format!("{} isn't this user's alone", folder.display())));
    }
    let name = name(config).ok_or(std::io::ErrorKind::NotFound)?;
    let control = control.map(std::path::absolute).transpose()?;
    let text = serde_json::to_vec(&Running { control, admin })?;
    let (path, draft) = (folder.join(&name), folder.join(format!("{name}.{}", std::process::id())));
    fs::write(&draft, text)?;
    fs::rename(&draft, &path)?;
    Ok(RunFile(path))
}

fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("portcullis-{}", rustix::process::geteuid().as_raw()))
}

/// Anybody may make a folder of any name in the temporary folder.
fn is_private(folder: &Path) -> bool {
    fs::symlink_metadata(folder).is_ok_and(|found| {
        let is_own = found.uid() == rustix::process::geteuid().as_raw();
        found.is_dir() && is_own && found.permissions().mode() & 0o077 == 0
    })
}

fn name(config: &Path) -> Option<String> {
    // The file itself may be gone, or a link that leads elsewhere with each change.
    let folder = std::path::absolute(config).ok()?.parent().map(fs::canonicalize)?.ok()?;
    let path = folder.join(config.file_name()?);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, path.as_os_str().as_encoded_bytes());
    Some(hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}
