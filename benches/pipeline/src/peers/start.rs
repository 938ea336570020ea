//! How each peer is started: its configuration is a template in `benches/pipeline/peers/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_bench::token::{Bearer, NAME, SECRET};

use super::{Peer, check};
use crate::process::{PROXY_CORE, Process};
use crate::stage::{REDIS_PORT, Stage, UPSTREAM};
use crate::{Failure, redis};

type Start = fn(&Stage, &'static str) -> Result<Peer, Failure>;

pub const HAPROXY: &str = "(d) HAProxy: JWT + map + role + stick table, nothing shared";
pub const ENVOY: &str = "(e) Envoy: jwt_authn, cached + role + local limit, no revocation";
pub const NGINX_LUA: &str = "(f) nginx + Lua: JWT + role + one script in Redis";
pub const NGINX_LUA_CACHED: &str = "(g) the same, verdicts on JWTs cached";
pub const NGINX_AUTH_REQUEST: &str = "(h) nginx auth_request: JWT + role, neither revocation nor limit";

pub const ALL: [(&str, Start); 5] = [
    (HAPROXY, haproxy),
    (ENVOY, envoy),
    (NGINX_LUA, |stage, name| nginx_lua(stage, name, 19130, false)),
    (NGINX_LUA_CACHED, |stage, name| nginx_lua(stage, name, 19140, true)),
    (NGINX_AUTH_REQUEST, nginx_auth_request),
];

fn haproxy(stage: &Stage, name: &'static str) -> Result<Peer, Failure> {
    let (listen, folder) = place(stage, 19110)?;
    // A map in use holds more than one entry.
    let others = (0..1000).map(|number| Bearer::user(number + 1_000_000).token);
    let lines = others.chain([check::revoked().token]).map(|id| format!("{id} 1\n"));
    std::fs::write(folder.join("revoked.map"), lines.collect::<String>())?;
    let config = fill(&folder, &listen, include_str!("../../peers/haproxy.cfg"), &[]);
    let config = write(&folder, "haproxy.cfg", &config)?;
    let process = start("haproxy", &["-db", "-f", &config], &listen)?;
    Ok(Peer { name, address: listen, processes: vec![process], revokes: true })
}

fn envoy(stage: &Stage, name: &'static str) -> Result<Peer, Failure> {
    let (listen, folder) = place(stage, 19120)?;
    let secret = URL_SAFE_NO_PAD.encode(SECRET);
    let own = [("@SECRET_BASE64URL@", secret.as_str())];
    let config = fill(&folder, &listen, include_str!("../../peers/envoy.yaml"), &own);
    let config = write(&folder, "envoy.yaml", &config)?;
    let arguments = ["--concurrency", "1", "--log-level", "error", "--disable-hot-restart", "-c", &config];
    let process = start("envoy", &arguments, &listen)?;
    Ok(Peer { name, address: listen, processes: vec![process], revokes: false })
}

fn nginx_lua(stage: &Stage, name: &'static str, port: u16, cached: bool) -> Result<Peer, Failure> {
    let (listen, folder) = place(stage, port)?;
    write(&folder, "gate.lua", include_str!("../../peers/gate.lua"))?;
    let modules = nginx_modules(&["ndk_http_module.so", "ngx_http_lua_module.so"])?;
    let cached = cached.to_string();
    let own = [("@MODULES@", modules.as_str()), ("@CACHED@", cached.as_str())];
    let config = fill(&folder, &listen, include_str!("../../peers/nginx-lua.conf"), &own);
    let process = nginx(&folder, &config, &listen)?;
    revoke_in_redis()?;
    Ok(Peer { name, address: listen, processes: vec![process], revokes: true })
}

fn nginx_auth_request(stage: &Stage, name: &'static str) -> Result<Peer, Failure> {
    const VERIFIER: &str = "127.0.0.1:19151";
    let verifier = Process::start(PROXY_CORE, &stage.programs.join("auth-verifier"), &[VERIFIER])?
        .listening(VERIFIER)?;
    let (listen, folder) = place(stage, 19150)?;
    let own = [("@VERIFIER@", VERIFIER)];
    let config = fill(&folder, &listen, include_str!("../../peers/nginx-auth-request.conf"), &own);
    let process = nginx(&folder, &config, &listen)?;
    Ok(Peer { name, address: listen, processes: vec![process, verifier], revokes: false })
}

/// nginx with a cache, for everybody or behind the same verifier.
pub fn nginx_cache(stage: &Stage, name: &'static str, port: u16, verifies: bool) -> Result<Peer, Failure> {
    let verifier = format!("127.0.0.1:{}", port + 1);
    let (listen, folder) = place(stage, port)?;
    let auth = if verifies { "auth_request /verify;" } else { "" };
    let own = [("@VERIFIER@", &*verifier), ("@AUTH@", auth)];
    let config = fill(&folder, &listen, include_str!("../../peers/nginx-cache.conf"), &own);
    let mut processes = vec![nginx(&folder, &config, &listen)?];
    if verifies {
        let program = stage.programs.join("auth-verifier");
        processes.push(Process::start(PROXY_CORE, &program, &[&verifier])?.listening(&verifier)?);
    }
    Ok(Peer { name, address: listen, processes, revokes: false })
}

fn nginx(folder: &Path, config: &str, listen: &str) -> Result<Process, Failure> {
    let config = write(folder, "nginx.conf", config)?;
    let prefix = folder.to_str().ok_or("the folder's name is not UTF-8")?;
    start(&nginx_program(), &["-e", "stderr", "-p", prefix, "-c", &config], listen)
}

/// Debian's lies where an ordinary user's shell doesn't look.
fn nginx_program() -> String {
    let system = "/usr/sbin/nginx";
    if Path::new(system).exists() { system.to_owned() } else { "nginx".to_owned() }
}

/// Lines that load those of the modules that nginx doesn't have built in.
fn nginx_modules(names: &[&str]) -> Result<String, Failure> {
    let told = Command::new(nginx_program()).arg("-V").output().map_err(|error| format!("nginx: {error}"))?;
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    let folder = told.split_whitespace().find_map(|word| word.strip_prefix("--modules-path="));
    let folder = Path::new(folder.unwrap_or("/usr/lib/nginx/modules"));
    let present = names.iter().map(|name| folder.join(name)).filter(|path| path.exists());
    Ok(present.map(|path| format!("load_module {};\n", path.display())).collect())
}

/// By the key that gate.lua asks for.
fn revoke_in_redis() -> Result<(), Failure> {
    redis::command(&format!("SET revoked:{} 1", check::revoked().token))?;
    Ok(())
}

fn start(program: &str, arguments: &[&str], listen: &str) -> Result<Process, Failure> {
    Process::start(PROXY_CORE, Path::new(program), arguments)?.listening(listen)
}

fn place(stage: &Stage, port: u16) -> Result<(String, PathBuf), Failure> {
    Ok((format!("127.0.0.1:{port}"), stage.folder(&port.to_string())?))
}

fn fill(folder: &Path, listen: &str, template: &str, own: &[(&str, &str)]) -> String {
    let folder = folder.to_string_lossy();
    let port = |address: &str| address.rsplit_once(':').map(|(_, port)| port.to_owned()).unwrap_or_default();
    let (own_port, upstream_port) = (port(listen), port(UPSTREAM));
    let common = [
        ("@LISTEN@", listen),
        ("@PORT@", &own_port),
        ("@UPSTREAM@", UPSTREAM),
        ("@UPSTREAM_PORT@", &upstream_port),
        ("@REDIS_PORT@", REDIS_PORT),
        ("@FOLDER@", &folder),
        ("@NAME@", NAME),
        ("@SECRET@", SECRET),
    ];
    let values = common.iter().chain(own);
    values.fold(template.to_owned(), |text, (key, value)| text.replace(key, value))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<String, Failure> {
    let path = folder.join(name);
    std::fs::write(&path, text)?;
    Ok(path.to_str().ok_or("the folder's name is not UTF-8")?.to_owned())
}
