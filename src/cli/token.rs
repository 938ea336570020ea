//! `portcullis token`: what a token says and whether it counts, and tokens for tests.

use std::io::BufRead;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use uuid::Uuid;

use super::operator::{self, OutputArg};
use super::{ConfigArg, block_on};
use crate::auth::administration::Administration;
use crate::clock::{now, unix_seconds};
use crate::config::policy::Issuer;
use crate::identity::Identity;
use crate::identity::foreign::{Cause, issuer_of};
use crate::identity::token::KeyRing;
use crate::issuers::TrustedIssuer;
use crate::rejection::Code;
use crate::server;
use crate::store::{Bearer, Standing};

/// Of a login with an authenticator app (RFC 8176).
const WITH_FACTOR: [&str; 3] = ["pwd", "otp", "mfa"];

#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    output: OutputArg,
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Say whether an access token counts right now, and what it says
    Inspect {
        /// Read from standard input when left out: arguments are seen by every user of the machine
        token: Option<String>,
    },
    /// Make an access token of an account, for tests; it belongs to no session
    Mint {
        user: String,
        /// In seconds; at most tokens.access_ttl
        #[arg(long, value_name = "SECONDS")]
        ttl: Option<u64>,
        /// Say that a second factor was shown, as auth.mfa.required_roles and routes ask for; it is audited
        #[arg(long)]
        mfa: bool,
    },
}

pub fn run(args: &TokenArgs) -> Result<(), String> {
    block_on(async {
        let (administration, stores) = operator::open(&args.config).await?;
        let tokens = server::tokens_with_keys(&administration.policy, &stores)
            .await
            .map_err(|error| error.to_string())?;
        let keys = KeyRing::new(&tokens).map_err(|error| error.to_string())?;
        match &args.command {
            TokenCommand::Inspect { token } => {
                let token = token.clone().map_or_else(read_token, Ok)?;
                match issuer_of(&token).filter(|says| *says != tokens.issuer) {
                    Some(says) if !administration.policy.issuers.is_empty() => {
                        inspect_foreign(&administration, &says, &token, &args.output).await
                    }
                    _ => inspect(&administration, &keys, &token, &args.output).await,
                }
            }
            TokenCommand::Mint { user, ttl, mfa } => {
                let most = tokens.access_ttl;
                let ttl = ttl.map_or(most, Duration::from_secs);
                if ttl > most || ttl.is_zero() {
                    return Err(format!("--ttl must be between 1 and {}", most.as_secs()));
                }
                mint(&administration, &keys, user, ttl, *mfa, &args.output).await
            }
        }
    })?
}

fn read_token() -> Result<String, String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| format!("reading the token: {error}"))?;
    Ok(line.trim().to_owned())
}

/// Fails unless the token counts.
async fn inspect(
    administration: &Administration,
    keys: &KeyRing,
    token: &str,
    output: &OutputArg,
) -> Result<(), String> {
    let identity = keys.verify(token, now()).map_err(|error| refused(error.into()))?;
    check_standing(administration, &identity).await?;
    let said = describe(&identity);
    output.print(&format!("{said:#}"), &said)
}

fn refused(code: Code) -> String {
    format!("{}: {}", code.as_str(), code.detail())
}

async fn check_standing(administration: &Administration, identity: &Identity) -> Result<(), String> {
    let revocations = &administration.stores.revocations;
    let standing = revocations.standing(Bearer::from(identity), now()).await;
    match standing.map_err(|error| error.to_string())? {
        Standing::Good => Ok(()),
        Standing::Revoked => Err(refused(Code::TokenRevoked)),
        Standing::Stale => Err(refused(Code::TokenStale)),
    }
}

/// A token that says it is of another issuer: by that issuer's keys as they are now.
async fn inspect_foreign(
    administration: &Administration,
    says: &str,
    token: &str,
    output: &OutputArg,
) -> Result<(), String> {
    let of = |name: &str, cause: Cause| {
        format!("{}: {} (issuer {name}): {}", cause.code().as_str(), cause.as_str(), cause.describe())
    };
    let policy = administration.policy.issuers.iter().find(|issuer| issuer.speaks_as(says));
    let policy = policy.ok_or_else(|| of("-", Cause::WrongIssuer))?;
    let issuer = TrustedIssuer::follow(Issuer::clone(policy))?;
    let verified = match issuer.verify(token, now()) {
        // Its keys are on their way.
        Err(Cause::KeysUnavailable) => {
            issuer.verify_by_new_keys(token, now()).await.map_err(|(cause, _)| cause)
        }
        known => known,
    };
    let identity = verified.map_err(|cause| of(issuer.name(), cause))?;
    check_standing(administration, &identity).await?;
    let mut said = describe(&identity);
    said["issuer"] = json!(issuer.name());
    output.print(&format!("{said:#}"), &said)
}

fn describe(identity: &Identity) -> Value {
    json!({
        "sub": identity.user_id,
        "preferred_username": identity.username,
        "email": identity.email,
        "roles": identity.roles,
        "scope": identity.scopes.join(" "),
        "sid": identity.session_id,
        "jti": identity.token_id,
        "ver": identity.version,
        "iat": identity.issued_at,
        "exp": identity.expires_at,
    })
}

async fn mint(
    administration: &Administration,
    keys: &KeyRing,
    user: &str,
    ttl: Duration,
    mfa: bool,
    output: &OutputArg,
) -> Result<(), String> {
    let account = administration.find(user).await.map_err(|error| error.to_string())?;
    if account.disabled {
        return Err(format!("{} is disabled", account.username));
    }
    let needs_factor = &administration.policy.auth.mfa.required_roles;
    if let Some(role) = account.roles.iter().find(|role| !mfa && needs_factor.contains(role)) {
        eprintln!(
            "note: the role {role:?} opens nothing without a second factor; --mfa says that one was shown"
        );
    }
    administration.note_mint(&account, mfa).await.map_err(|error| error.to_string())?;
    let identity = Identity {
        user_id: account.id,
        username: account.username.clone(),
        email: account.confirmed_email().map(str::to_owned),
        roles: account.roles,
        scopes: Vec::new(),
        amr: if mfa { WITH_FACTOR.map(str::to_owned).to_vec() } else { Vec::new() },
        session_id: Uuid::now_v7(),
        token_id: Uuid::now_v7(),
        version: account.version,
        issued_at: unix_seconds(now()),
        expires_at: unix_seconds(now() + ttl),
    };
    let token = keys.mint(&identity);
    output.print(&token, &json!({ "access_token": token, "expires_in": ttl.as_secs() }))
}
