//! A policy for tests: cheap hashes, three failures lock.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use portcullis::config::policy::{
    Admin, Argon2Params, Audit, Auth, CacheSettings, ClientTimeouts, ControlSocket, EmailRules, KeyMaterial,
    KeyRules, Listen, Log, LogLevel, Mail, MailTemplate, MaxConnections, MfaRules, PasswordRules, Policy,
    Quota, Revocation, RouteTable, Share, SigningAlgorithm, StateStorage, Storage, TokenKey, Tokens,
    UserStorage,
};
use portcullis::identity::reserved::ReservedNames;
use portcullis::identity::secret::Secret;
use portcullis::store::LockoutRule;

pub const LOCKING_FAILURES: u32 = 3;
const FAILURES: NonZeroU32 = NonZeroU32::new(100).expect("it isn't 0");

pub fn policy() -> Policy {
    Policy {
        digest: String::new(),
        listen: Listen {
            max_fields: 100,
            proxy: Vec::new(),
            admin: ([127, 0, 0, 1], 0).into(),
            control: ControlSocket { path: PathBuf::new(), is_required: false },
            drain: Duration::ZERO,
            idle_timeout: Duration::from_secs(75),
            timeouts: ClientTimeouts {
                header: Duration::from_secs(10),
                body: Duration::from_secs(60),
                send: Duration::from_secs(60),
            },
            max_connections: MaxConnections { total: None, per_address: None },
            shutdown_timeout: Duration::ZERO,
        },
        admin: Admin::default(),
        audit: Audit { keep: None, failures: Quota::new(FAILURES, Duration::from_secs(60), FAILURES) },
        log: Log { level: LogLevel::Info, allowed: Share::ALL, denied: Share::ALL },
        tracing: None,
        trusted_proxies: Vec::new(),
        trust_request_id: false,
        storage: Storage {
            users: UserStorage::Sqlite(PathBuf::new()),
            state: StateStorage::Embedded(PathBuf::new()),
        },
        tokens: tokens(),
        issuers: Vec::new(),
        auth: auth(),
        mail: mail(),
        revocation: Revocation { max_staleness: None, admit_unchecked_bearers: false },
        upstreams: Vec::new(),
        limits: Vec::new(),
        routes: RouteTable::default(),
        tests: Vec::new(),
        fast_lane: true,
        cache: CacheSettings { enabled: true, memory: 1 << 20 },
    }
}

fn mail() -> Mail {
    let template =
        || MailTemplate { subject: "s".to_owned(), text: "{token}".to_owned(), html: "{token}".to_owned() };
    Mail {
        from: "x@example.org".to_owned(),
        delivery: None,
        verify: template(),
        reset: template(),
        notice: template(),
        operators: template(),
    }
}

fn tokens() -> Tokens {
    let material = KeyMaterial::Shared(Secret::new("0f1e2d3c4b5a69788796a5b4c3d2e1f0-test"));
    Tokens {
        issuer: "https://gate.example".to_owned(),
        audience: "tests".to_owned(),
        client_id: "portcullis".to_owned(),
        access_ttl: Duration::from_secs(900),
        refresh_ttl: Duration::from_secs(14 * 86_400),
        session_ttl: Duration::from_secs(90 * 86_400),
        max_sessions: 100,
        refresh_window: Duration::from_secs(10),
        leeway: Duration::from_secs(30),
        max_size: 8192,
        keys: vec![TokenKey { id: "k1".to_owned(), algorithm: SigningAlgorithm::HS256, material }],
    }
}

fn auth() -> Auth {
    Auth {
        prefix: "/auth".to_owned(),
        cookie_path: "/auth".to_owned(),
        device_path: "/auth".to_owned(),
        alias_paths: Vec::new(),
        registration_open: true,
        reserved_names: ReservedNames::with(&[]),
        docs: true,
        password: PasswordRules {
            min_length: 8,
            max_length: 1024,
            argon2: Argon2Params { memory_kib: 64, iterations: 1, parallelism: 1 },
            workers: 1,
            queue: 256,
        },
        keys: KeyRules { enabled: true, max_ttl: None },
        mfa: MfaRules {
            required_roles: Vec::new(),
            issuer: "tests".to_owned(),
            ticket_ttl: Duration::from_secs(300),
        },
        email: EmailRules {
            is_required: false,
            change_needs_password: true,
            notices: true,
            verify_ttl: Duration::from_secs(3600),
            reset_ttl: Duration::from_secs(3600),
            verify_link: None,
            reset_link: None,
            most: (5, Duration::from_secs(3600)),
        },
        lockout: LockoutRule { failures: LOCKING_FAILURES, for_: Duration::from_secs(900) },
        limits: Vec::new(),
    }
}
