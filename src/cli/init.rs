//! `portcullis init`: a first configuration with a signing key of its own. Nothing that is there already is
//! touched.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;

use super::print;
use crate::config::policy::SigningAlgorithm;
use crate::identity::secret::Secret;
use crate::identity::token::KeyRing;
use crate::identity::token::generate::generate;

const GATEWAY: &str = include_str!("init/gateway.yaml");
const COMPOSE: &str = include_str!("init/compose.yaml");

#[derive(Debug, Args)]
pub struct Init {
    /// The folder to write to; made if it isn't there
    #[arg(default_value = ".")]
    folder: PathBuf,
    /// The backend
    #[arg(long, value_name = "HOST:PORT", value_parser = upstream)]
    upstream: Option<String>,
    /// Also a compose file, with Postgres and Redis
    #[arg(long)]
    compose: bool,
}

struct NewFile {
    path: PathBuf,
    content: Secret,
    mode: u32,
}

/// It is put between quotes.
fn upstream(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_:/[]".contains(c);
    match text.chars().all(is_plain) && !text.is_empty() {
        true => Ok(text.to_owned()),
        false => Err("expected something like localhost:9000 or https://backend.example:443".to_owned()),
    }
}

pub fn run(args: &Init) -> Result<(), String> {
    let writing = |path: &Path, error: std::io::Error| format!("writing {}: {error}", path.display());
    let keys = args.folder.join("keys");
    DirBuilder::new().recursive(true).create(&args.folder).map_err(|error| writing(&args.folder, error))?;
    let files = files(args).map_err(|error| writing(&args.folder, error))?;
    if let Some(there) = files.iter().find(|file| file.path.symlink_metadata().is_ok()) {
        return Err(format!("{} is there already; nothing was written", there.path.display()));
    }
    DirBuilder::new().recursive(true).mode(0o700).create(&keys).map_err(|error| writing(&keys, error))?;
    for file in &files {
        file.write().map_err(|error| writing(&file.path, error))?;
        print(&format!("wrote {}", file.path.display()))?;
    }
    print(next_steps(args))
}

impl NewFile {
    fn new(path: PathBuf, content: &str) -> Self {
        Self { path, content: Secret::new(content), mode: 0o644 }
    }

    /// For its owner only.
    fn secret(path: PathBuf, content: Secret) -> Self {
        Self { path, content, mode: 0o600 }
    }

    fn write(&self) -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(self.mode).open(&self.path)?;
        file.write_all(self.content.expose())?;
        file.sync_all()
    }
}

fn files(args: &Init) -> std::io::Result<Vec<NewFile>> {
    let Init { folder, compose, .. } = args;
    let (listen, backend) = match compose {
        true => ("0.0.0.0:8080", "host.docker.internal:9000"),
        false => ("127.0.0.1:8080", "127.0.0.1:9000"),
    };
    let backend = args.upstream.as_deref().unwrap_or(backend);
    let gateway = GATEWAY.replace("LISTEN", listen).replace("UPSTREAM", backend);
    let key = generate(SigningAlgorithm::ES256);
    let mut files = vec![
        NewFile::new(folder.join("gateway.yaml"), &gateway),
        NewFile::secret(folder.join("keys/signing.pem"), key),
    ];
    if *compose {
        // The gateway runs as whoever may read the key.
        let owner = folder.metadata()?;
        let compose = COMPOSE.replace("OWNER", &format!("{}:{}", owner.uid(), owner.gid()));
        let password = KeyRing::generate_secret();
        let environment = [b"POSTGRES_PASSWORD=", password.expose(), b"\n"].concat();
        files.push(NewFile::new(folder.join("compose.yaml"), &compose));
        files.push(NewFile::secret(folder.join(".env"), Secret::new(environment)));
    }
    Ok(files)
}

fn next_steps(args: &Init) -> &'static str {
    match args.compose {
        true => {
            "next: build the image once (docker build -f deploy/Dockerfile -t portcullis . in the sources), then\n\
             docker compose up -d, then\n\
             docker compose exec gateway portcullis user add NAME --operator\n\
             registration is closed; `registration: open` under `auth:` lets strangers make accounts"
        }
        false => {
            "next: portcullis serve, and portcullis user add NAME --operator\n\
             registration is closed; `registration: open` under `auth:` lets strangers make accounts"
        }
    }
}
