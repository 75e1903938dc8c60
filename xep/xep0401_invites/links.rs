//! An invitation as links: `xmpp:` for clients (RFC 5122, XEP-0147; XEP-0401 §5.1, §5.4), `https:` for browsers.

use kim_core::jid::BareJid;

use super::api::Invitation;

/// The links of an invitation. They hold the token: who has them can use them.
#[derive(Clone, PartialEq, Eq)]
pub struct Links {
    /// For clients.
    pub uri: String,
    /// For browsers, where this server has a site (`[listen] public_url`).
    pub landing: Option<String>,
    /// The room that it leads to, for clients of people who have an account somewhere.
    pub room: Option<String>,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Links(***)")
    }
}

impl Links {
    pub(super) fn of(invitation: &Invitation, token: &str, public_url: Option<&str>) -> Links {
        let uri = match &invitation.inviter {
            Some(inviter) if invitation.contact => {
                let ibr = if invitation.registers { ";ibr=y" } else { "" };
                format!("xmpp:{}?roster;preauth={token}{ibr}", address(inviter))
            }
            _ => {
                let whose = match &invitation.account {
                    Some(account) => address(account),
                    None => encoded(&invitation.domain),
                };
                format!("xmpp:{whose}?register;preauth={token}")
            }
        };
        Links {
            uri,
            landing: public_url.map(|url| format!("{url}/invite/{token}")),
            room: invitation
                .room
                .as_ref()
                .map(|room| format!("xmpp:{}?join", address(room))),
        }
    }
}

fn address(jid: &BareJid) -> String {
    match jid.local() {
        Some(local) => format!("{}@{}", encoded(local), encoded(jid.domain())),
        None => encoded(jid.domain()),
    }
}

/// RFC 5122 §2.2 allows a few characters more, RFC 3986 §2.4 allows to encode them all the same.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
