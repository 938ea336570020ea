//! Names that nobody gives themselves, since they are taken for somebody in charge.

use std::collections::HashSet;

use unicode_security::skeleton;

use super::name;

/// The mailboxes of RFC 2142 and of certification authorities, the usual names of administrators and services, and
/// words that programs take for something else than a name.
const BUILT_IN: &[&str] = &[
    "abuse",
    "admin",
    "administrator",
    "admins",
    "anonymous",
    "api",
    "auth",
    "billing",
    "bot",
    "daemon",
    "everyone",
    "ftp",
    "gateway",
    "guest",
    "help",
    "helpdesk",
    "hostmaster",
    "info",
    "mailer-daemon",
    "marketing",
    "me",
    "moderator",
    "news",
    "no-reply",
    "nobody",
    "noc",
    "null",
    "official",
    "operator",
    "owner",
    "portcullis",
    "postmaster",
    "root",
    "sales",
    "security",
    "self",
    "service",
    "staff",
    "su",
    "sudo",
    "superadmin",
    "superuser",
    "support",
    "sysadmin",
    "sysop",
    "system",
    "team",
    "undefined",
    "usenet",
    "uucp",
    "webmaster",
    "www",
];

/// Compared by what they look like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReservedNames(HashSet<String>);

impl ReservedNames {
    /// The usual ones and these.
    pub fn with(more: &[String]) -> Self {
        let built_in = BUILT_IN.iter().map(|name| looks(name));
        Self(built_in.chain(more.iter().map(|name| looks(name))).collect())
    }

    /// No name at all.
    pub fn none() -> Self {
        Self::default()
    }

    pub fn contains(&self, name: &str) -> bool {
        !self.0.is_empty() && self.0.contains(&looks(name))
    }
}

/// The same for names that look alike: without regard to case, to confusable characters (UTS #39 §4), to marks, to
/// signs between letters, and to which of `0 o`, `1 i l` stands there.
fn looks(name: &str) -> String {
    let folded = name::fold(name);
    let skeleton: String = skeleton(&folded).collect();
    let letters = skeleton.chars().filter(|sign| sign.is_alphanumeric()).flat_map(char::to_lowercase);
    letters.map(alike).collect()
}

fn alike(letter: char) -> char {
    match letter {
        '0' => 'o',
        '1' | 'i' => 'l',
        letter => letter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_reserved_name_is_one() {
        let reserved = ReservedNames::with(&["Board".to_owned()]);
        for name in [
            "admin",
            "ADMIN",
            "Adm1n",
            "admln",
            "a.d-m_i+n",
            "admin.",
            "ádmin",
            "ａｄｍｉｎ",
            "adrnin",
            "r00t",
            "R0OT",
            "ro-ot",
            "mailerdaemon",
            "no_reply",
            "n0reply",
            "post.master",
            "board",
            "B.O.A.R.D",
        ] {
            assert!(reserved.contains(name), "{name}");
        }
    }

    #[test]
    fn other_names_are_free() {
        let reserved = ReservedNames::with(&[]);
        for name in ["alice", "administrata", "admin1", "rooty", "board", "Владимир", "ひらがな", "김철수"]
        {
            assert!(!reserved.contains(name), "{name}");
        }
        assert!(!ReservedNames::none().contains("admin"));
    }
}
