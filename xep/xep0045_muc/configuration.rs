//! The configuration form and who may use it (§10.1, §10.2), and what the occupants hear of a change (§10.2.1).

use std::sync::Arc;

use kim_core::cx::Cx;
use kim_core::error::{Condition, Fault, StanzaError};
use kim_core::jid::{BareJid, Jid};
use kim_core::module::{HandleIq, Reply, Request};
use kim_core::stanza::{Kind, MessageType, Stanza};
use kim_core::wire::{El, Writer};

use super::admission::{self, MEMBERS_ONLY, PASSWORD, PASSWORD_PROTECTED};
use super::affiliations::{self, Decided};
use super::fields::{ROOMCONFIG, RoomConfig};
use super::names::{OWNER, USER};
use super::opening::open;
use super::privacy::{self, BROADCAST, WHOIS};
use super::privileges::{Affiliation, Right, affiliation_allows};
use super::retention::ARCHIVE;
use super::room::Phase;
use super::rooms::{HeldRoom, Registry};
use super::turn::RoomTurn;
use super::{destroy, guests, presence, roles, saved};
use crate::xep0004_forms::api::{Form, FormKind, Sheet};

/// The lists of §10.2 that are set as a whole: the field, and what stands on the list.
const LISTS: [(&str, &str, Affiliation); 2] = [
    ("muc#roomconfig_roomadmins", "Admins", Affiliation::Admin),
    ("muc#roomconfig_roomowners", "Owners", Affiliation::Owner),
];

/// Answers `muc#owner`.
pub struct OwnerRequests(pub Arc<Registry>);

impl HandleIq for OwnerRequests {
    async fn handle(&self, iq: &Request<'_>, cx: &mut Cx) -> Result<Reply, Fault> {
        let held = self.0.open_to(iq.from, iq.account, cx.router()).await?;
        if !affiliation_allows(held.affiliation(&iq.from.bare()), Right::Own) {
            return Err(Condition::Forbidden.into());
        }
        if !iq.is_set() {
            return Ok(form(&self.0, &held));
        }
        if let Some(destroy) = iq.payload.child("destroy", OWNER) {
            return destroy::by_owner(&self.0, held, destroy, cx).await;
        }
        let x = iq
            .payload
            .child("x", kim_core::ns::DATA)
            .ok_or(Condition::BadRequest)?;
        submit(&self.0, held, x, iq.from, cx).await
    }
}

/// The form with the settings as they are (§10.2).
fn form(registry: &Registry, held: &HeldRoom) -> Reply {
    let title = format!("Configuration of {}", held.jid);
    let sheet = Sheet::new(FormKind::Form, ROOMCONFIG).title(&title);
    let mut sheet = held.config.write(&registry.fields(), sheet);
    for (var, label, affiliation) in LISTS {
        let on_it = held
            .members
            .iter()
            .filter(|(_, member)| member.affiliation == affiliation);
        sheet = sheet.jids(var, label, on_it.map(|(jid, _)| jid.as_str()));
    }
    let mut xml = Writer::new();
    xml.start("query", OWNER).raw(&sheet.xml()).end();
    xml.into()
}

async fn submit(
    registry: &Arc<Registry>,
    held: HeldRoom,
    x: El<'_>,
    from: &Jid,
    cx: &mut Cx,
) -> Result<Reply, Fault> {
    let form = Form::read(x)?;
    let mut turn = RoomTurn::new(registry, held, cx);
    let is_new = matches!(turn.held.phase, Phase::Locked { .. });
    match form.kind {
        FormKind::Submit => {}
        FormKind::Cancel if is_new => {
            // §10.1.3
            destroy::put_out(&mut turn, &destroy::DestroyNotice::default()).await?;
            turn.close(cx);
            return Ok(Reply::Empty);
        }
        FormKind::Cancel => return Ok(Reply::Empty),
        _ => return Err(Condition::BadRequest.into()),
    }
    if form.value("FORM_TYPE").is_some_and(|own| own != ROOMCONFIG) {
        return Err(Condition::BadRequest.into());
    }
    let was = turn.held.config.clone();
    let mut config = RoomConfig::clone(&was);
    let fields = registry.fields();
    let changed = config.submit(&fields, &form)?;
    if is_new && is_private(&config) {
        config.make_private(&fields, &form);
    }
    if config.is(&PASSWORD_PROTECTED) && config.text(&PASSWORD).is_empty() {
        // §10.1.3
        return Err(StanzaError::new(Condition::NotAcceptable)
            .text("a password-protected room requires a password")
            .into());
    }
    let lists = lists(&turn, &form)?;
    turn.held.config = Arc::new(config);
    if is_new {
        open(&mut turn).await?;
    } else {
        saved::room(&mut turn).await?;
    }
    let actor = turn
        .held
        .at(from)
        .map(|one| one.nick().to_owned())
        .unwrap_or_default();
    for (jid, to) in lists {
        let decided = Decided {
            jid,
            to,
            nick: None,
            actor: &actor,
            reason: "",
        };
        affiliations::change_affiliation(&mut turn, decided, |_| ()).await?;
    }
    if is_new || !changed.is_empty() {
        after(&mut turn, &was, is_new, &changed).await?;
    }
    turn.close(cx);
    Ok(Reply::Empty)
}

/// What clients ask for when their user makes a private group: for members only, and everybody knows who is who.
fn is_private(config: &RoomConfig) -> bool {
    config.is(&MEMBERS_ONLY) && privacy::is_non_anonymous(config)
}

/// The changes of affiliations that the form's lists come to: they name everybody who is to be on them (§10.5, note).
fn lists(turn: &RoomTurn, form: &Form) -> Result<Vec<(BareJid, Affiliation)>, Fault> {
    let mut changes = Vec::new();
    for (var, _, affiliation) in LISTS {
        let Some(values) = form.values(var) else { continue };
        let mut wanted = Vec::new();
        for value in values
            .iter()
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
        {
            let jid = Jid::parse(value)?.bare();
            if jid.is_domain() || guests::is_guest(&jid, turn.cx.router()) {
                return Err(Condition::NotAcceptable.into());
            }
            wanted.push(jid);
        }
        if affiliation == Affiliation::Owner && wanted.is_empty() {
            // §10.4
            return Err(Condition::Conflict.into());
        }
        let on_it = turn
            .held
            .members
            .iter()
            .filter(|(_, member)| member.affiliation == affiliation);
        for (jid, _) in on_it.filter(|(jid, _)| !wanted.contains(jid)) {
            // People on the other list have not lost anything.
            if !changes.iter().any(|(other, _)| other == jid) {
                changes.push((jid.clone(), Affiliation::Member));
            }
        }
        for jid in wanted {
            if turn.held.members.get(&jid).map(|member| member.affiliation) != Some(affiliation) {
                changes.retain(|(other, _)| *other != jid);
                changes.push((jid, affiliation));
            }
        }
    }
    Ok(changes)
}

/// What the occupants are told of a change of the settings (§10.2.1). With the first configuration logging begins.
fn codes(was: &RoomConfig, config: &RoomConfig, is_new: bool, changed: &[&str]) -> Vec<u16> {
    let mut codes = Vec::new();
    let is_other = |var: &&str| *var != ARCHIVE.var && *var != WHOIS.var;
    if changed.iter().any(is_other) {
        codes.push(104);
    }
    match (was.is(&ARCHIVE) && !is_new, config.is(&ARCHIVE)) {
        (false, true) => codes.push(170),
        (_, false) if was.is(&ARCHIVE) => codes.push(171),
        _ => {}
    }
    match (privacy::is_non_anonymous(was), privacy::is_non_anonymous(config)) {
        (false, true) => codes.push(172),
        (true, false) => codes.push(173),
        _ => {}
    }
    codes
}

/// What a change of the settings means for the occupants.
async fn after(turn: &mut RoomTurn, was: &RoomConfig, is_new: bool, changed: &[&str]) -> Result<(), Fault> {
    let config = turn.held.config.clone();
    let codes = codes(was, &config, is_new, changed);
    if was.is(&ARCHIVE) != config.is(&ARCHIVE) {
        turn.held.ring = None;
    }
    let mut xml = Writer::new();
    xml.start("x", USER);
    for code in codes {
        xml.start("status", USER).attr("code", &code.to_string()).end();
    }
    let message = Stanza::new(Kind::Message(MessageType::Groupchat), &xml.finish_string());
    let everybody = turn.held.everybody();
    turn.send_all(message.from(turn.held.jid.clone()), everybody);

    if config.is(&admission::MEMBERS_ONLY) && !was.is(&admission::MEMBERS_ONLY) {
        put_out(turn, 322, |affiliation, _| affiliation < Affiliation::Member).await?;
    }
    let closed = guests::may_enter(was).is_ok() && guests::may_enter(&config).is_err();
    if closed {
        let router = turn.cx.router().clone();
        put_out(turn, 322, |_, user| guests::is_guest(user, &router)).await?;
    }
    let seen_otherwise =
        was.text(&WHOIS) != config.text(&WHOIS) || was.values(&BROADCAST) != config.values(&BROADCAST);
    if seen_otherwise && turn.held.phase == Phase::Open {
        let keys: Vec<Box<str>> = turn.held.occupants.keys().cloned().collect();
        for key in keys {
            presence::dress(turn, &key).await?;
            let role = turn.held.occupants.get(&key).map(|one| one.role);
            let was_seen = role.filter(|role| privacy::is_broadcast(was, *role));
            presence::tell_others_after(turn, &key, was_seen.is_some());
        }
    }
    Ok(())
}

async fn put_out(
    turn: &mut RoomTurn,
    code: u16,
    is_meant: impl Fn(Affiliation, &BareJid) -> bool,
) -> Result<(), Fault> {
    let keys: Vec<Box<str>> = turn
        .held
        .occupants
        .iter()
        .filter(|(_, one)| is_meant(turn.held.affiliation(&one.user), &one.user))
        .map(|(key, _)| key.clone())
        .collect();
    for key in keys {
        let removal = roles::Removal {
            code,
            actor: "",
            reason: "",
        };
        roles::remove(turn, &key, &removal, |_| ()).await?;
    }
    Ok(())
}
