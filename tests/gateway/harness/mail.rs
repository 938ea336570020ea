//! Mail of a gateway that keeps it in a folder.

use serde_json::json;

use super::{Gateway, eventually};

pub fn mails_in_folder(gw: &Gateway) -> Vec<String> {
    let Ok(folder) = std::fs::read_dir(gw.home().join("data/mail")) else { return Vec::new() };
    let paths = folder.map(|entry| entry.expect("a readable folder").path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|kind| kind == "eml")).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read_to_string(path).expect("a whole mail")).collect()
}

/// Confirms an address at a gateway whose mail is kept in its folder.
pub async fn confirm_in_folder(gw: &Gateway, email: &str) {
    let to = format!("To: {email}");
    let is_it = |mail: &String| mail.lines().any(|line| line == to);
    let mail = eventually(email, async || mails_in_folder(gw).into_iter().find(is_it)).await;
    let token = json!({ "token": token_of(&mail) });
    assert_eq!(gw.anonymous().post("/auth/email/verify", &token).await.status(), 204);
}

pub fn token_of(mail: &str) -> String {
    let start = mail.find("pot_").expect("a token in the mail");
    let is_part = |sign: char| sign.is_ascii_alphanumeric() || "_-".contains(sign);
    mail[start..].chars().take_while(|sign| is_part(*sign)).collect()
}
