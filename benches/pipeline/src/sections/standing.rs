//! How long a credential still passes at either of two gateways after something at one of them took its
//! right away: a role change, disabling, a new password, a second factor reset, the end of a session, the deletion
//! of a key.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::verdict;
use crate::Failure;
use crate::client::Client;
use crate::gateway::{self, Gateway, Plan};
use crate::report::{quantile, say};
use crate::stage::Stage;
use crate::totp;

const TRIES: usize = 200;
const MOST_MS: f64 = 50.0;
const PATIENCE: Duration = Duration::from_secs(5);
const PASSWORD: &str = "correct horse battery staple";
const CHEAP: &str = "limits: off, password: { argon2: { memory: 8KiB, iterations: 1, parallelism: 1 } }";

#[derive(Clone, Copy)]
enum Change {
    Roles,
    Disable,
    Password,
    SecondFactor,
    Session,
    Key,
}

const ALL: [(Change, &str); 6] = [
    (Change::Roles, "role change"),
    (Change::Disable, "disable"),
    (Change::Password, "password change"),
    (Change::SecondFactor, "second factor reset"),
    (Change::Session, "session end"),
    (Change::Key, "key deletion"),
];

pub fn run(stage: &Stage) -> Result<(), Failure> {
    let redis_url = Stage::redis_url();
    let first = Plan { auth: CHEAP, ..Plan::new(stage, 19120, &redis_url)? };
    let second = Plan { data: first.data.clone(), auth: CHEAP, ..Plan::new(stage, 19130, &redis_url)? };
    let (a, b) = (gateway::start(stage, &first)?, gateway::start(stage, &second)?);
    let operator = gateway::operator(stage, &a)?;
    say(
        "| refused after ms, from the answer to the change | here p99 | there p50 | there p99 | there at most |",
    )?;
    say("| --- | ---: | ---: | ---: | ---: |")?;
    let mut worst: f64 = 0.0;
    for (change, name) in ALL {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for number in 0..TRIES {
            let user = User::register(&a, &format!("{}-{number}", name.replace(' ', "-")), change)?;
            let mut at_b = Client::connect(&b.address)?;
            let mut at_a = Client::connect(&a.address)?;
            expect("before the change", at_b.get("/protected", Some(&user.credential))?.status, 200)?;
            user.change(&a, &operator, change)?;
            let changed = Instant::now();
            there.push(until_refused(&mut at_b, &user.credential, changed)?);
            let changed = Instant::now();
            here.push(until_refused(&mut at_a, &user.credential, changed)?);
        }
        let share = |figures: &[f64], share: f64| quantile(figures.iter().copied(), share);
        let most = share(&there, 0.99);
        worst = worst.max(most).max(share(&here, 0.99));
        say(&format!(
            "| {name} | {:.2} | {:.2} | {most:.2} | {:.2} |",
            share(&here, 0.99),
            share(&there, 0.5),
            share(&there, 1.0)
        ))?;
    }
    say(&format!("\ntarget p99 ≤ {MOST_MS:.0} ms: {}", verdict(worst <= MOST_MS)))?;
    Ok(())
}

fn until_refused(client: &mut Client, credential: &str, since: Instant) -> Result<f64, Failure> {
    while client.get("/protected", Some(credential))?.status == 200 {
        if since.elapsed() > PATIENCE {
            return Err("what was taken away stayed good".into());
        }
    }
    Ok(since.elapsed().as_secs_f64() * 1e3)
}

struct User {
    name: String,
    token: String,
    /// Loses its right by the change.
    credential: String,
    /// The session's or the key's.
    id: String,
}

impl User {
    fn register(gateway: &Gateway, name: &str, change: Change) -> Result<Self, Failure> {
        let mut client = Client::connect(&gateway.address)?;
        let account = json!({ "username": name, "password": PASSWORD }).to_string();
        expect("a registration", client.post("/auth/register", None, &account)?.status, 201)?;
        let token = text(&client.post("/auth/login", None, &account)?.body, "/access_token")?;
        let (credential, id) = match change {
            Change::Key => {
                let key = client.post("/auth/keys", Some(&token), r#"{"name":"bench"}"#)?.body;
                (text(&key, "/key")?, text(&key, "/id")?)
            }
            Change::SecondFactor => {
                let password = json!({ "password": PASSWORD }).to_string();
                let begun = client.post("/auth/mfa/totp", Some(&token), &password)?.body;
                let code = json!({ "code": totp::code(&text(&begun, "/secret")?)? }).to_string();
                let confirmed = client.post("/auth/mfa/totp/confirm", Some(&token), &code)?.body;
                (text(&confirmed, "/access_token")?, String::new())
            }
            _ => {
                let sessions = client.get("/auth/sessions", Some(&token))?.body;
                (token.clone(), text(&sessions, "/sessions/0/id")?)
            }
        };
        Ok(Self { name: name.to_owned(), token, credential, id })
    }

    fn change(&self, gateway: &Gateway, operator: &str, change: Change) -> Result<(), Failure> {
        let Self { name, token, id, .. } = self;
        let (address, bearer) = match change {
            Change::Roles | Change::Disable | Change::SecondFactor => (&gateway.admin_address, operator),
            _ => (&gateway.address, token.as_str()),
        };
        let password = json!({ "old_password": PASSWORD, "new_password": "a horse of another colour" });
        let (method, path, body) = match change {
            Change::Roles => ("PUT", format!("/api/users/{name}/roles"), r#"{"roles":["guest"]}"#.to_owned()),
            Change::Disable => ("POST", format!("/api/users/{name}/disable"), String::new()),
            Change::Password => ("POST", "/auth/password".to_owned(), password.to_string()),
            Change::SecondFactor => ("DELETE", format!("/api/users/{name}/mfa"), String::new()),
            Change::Session => ("DELETE", format!("/auth/sessions/{id}"), String::new()),
            Change::Key => ("DELETE", format!("/auth/keys/{id}"), String::new()),
        };
        let answer = Client::connect(address)?.send(method, &path, Some(bearer), &body)?;
        match answer.status {
            200 | 204 => Ok(()),
            status => Err(format!("{method} {path}: {status} {}", answer.body).into()),
        }
    }
}

fn text(body: &str, pointer: &str) -> Result<String, Failure> {
    let document: Value = serde_json::from_str(body)?;
    let found = document.pointer(pointer).and_then(Value::as_str);
    Ok(found.ok_or_else(|| format!("{body} has no {pointer}"))?.to_owned())
}

fn expect(what: &str, status: u16, wanted: u16) -> Result<(), Failure> {
    if status != wanted {
        return Err(format!("{what}: {status} instead of {wanted}").into());
    }
    Ok(())
}
