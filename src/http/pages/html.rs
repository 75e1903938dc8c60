//! The pages as HTML. The templates escape whatever is put into them; the one thing that is not, the QR code, is made of
//! numbers alone.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use qrcode::{Color, EcLevel, QrCode};

use super::Settings;
use super::client;
use super::guide::{Invitation, Keeping, PublicRoom};
use super::words::{Language, Words, with};

/// What a page is made for: this server, this reader.
pub(super) struct Reader<'a> {
    pub settings: &'a Settings,
    pub language: Language,
    /// The page's own path, for the language switch.
    pub path: &'a str,
    /// Passwords and messages may travel on this connection.
    pub may_sign_in: bool,
}

/// What scripts must know of a page.
#[derive(Default)]
struct Script<'a> {
    kind: &'a str,
    room: Option<String>,
    invite: Option<&'a str>,
}

impl Reader<'_> {
    fn words(&self) -> &'static Words {
        self.language.words()
    }

    /// The frame of a page.
    fn page(&self, title: &str, script: Option<Script<'_>>, content: &Markup) -> Markup {
        let (words, settings) = (self.words(), self.settings);
        let script = script.filter(|_| self.may_sign_in && client::base().is_some());
        let data = script.as_ref().map(|script| self.data(script));
        html! {
            (DOCTYPE)
            html lang=(self.language.tag()) {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1, interactive-widget=resizes-content";
                    meta name="referrer" content="no-referrer";
                    meta name="theme-color" media="(prefers-color-scheme: light)" content="#f3f6f5";
                    meta name="theme-color" media="(prefers-color-scheme: dark)" content="#101615";
                    title { (title) }
                    link rel="icon" type="image/svg+xml" href="/favicon.svg";
                    link rel="manifest" href="/manifest.webmanifest";
                    link rel="stylesheet" href=(client::own("pages.css"));
                    @if script.is_some() {
                        script type="module" src=(client::own("chat.js")) {}
                    }
                }
                body data-page=[data] {
                    div.page {
                        a.skip href="#content" { (words.skip) }
                        header.top {
                            a.brand href="/" {
                                img src=(client::own("kim.svg")) alt="" width="36" height="36";
                                span { (settings.domain) }
                            }
                            nav {
                                a href="/rooms" { (words.rooms) }
                                (self.switch())
                            }
                        }
                        main #content {
                            @if client::base().is_none() { p.note.wide { (words.client_missing) } }
                            @if !self.may_sign_in { (self.elsewhere()) }
                            (content)
                            @if script.is_some() { noscript { p.note { (words.scripts_needed) } } }
                        }
                        footer.foot {
                            "kIM · " (words.about)
                            @if let Some(base) = client::base() {
                                " · " a href={ (base) "NOTICE.txt" } { (words.licences) }
                            }
                        }
                    }
                }
            }
        }
    }

    /// What stands between two sentences. Chinese full stops bring their own space.
    fn gap(&self) -> &'static str {
        match self.language {
            Language::English => " ",
            Language::Chinese => "",
        }
    }

    /// Leads to the same page where the connection is encrypted.
    fn elsewhere(&self) -> Markup {
        let (words, origin) = (self.words(), &self.settings.origin);
        html! {
            p.note.wide #needs-https role="status" {
                (words.needs_https)
                @if origin.starts_with("https:") {
                    (self.gap()) a href={ (origin) (self.path) } { (words.go_to_https) }
                }
            }
        }
    }

    /// Whether a form would lead anywhere.
    fn has_forms(&self) -> bool {
        self.may_sign_in && client::base().is_some()
    }

    /// What becomes of the words of somebody who enters a room.
    fn kept(&self, keeping: Keeping) -> String {
        let words = self.words();
        match keeping {
            Keeping::Nothing => words.kept_nothing.to_owned(),
            Keeping::Days(1) => words.kept_a_day.to_owned(),
            Keeping::Days(days) => with(words.kept_days, &days.to_string()),
            Keeping::Forever => words.kept_forever.to_owned(),
        }
    }

    fn switch(&self) -> Markup {
        let link = |language: Language, shown: &str| {
            html! {
                @if language == self.language {
                    b lang=(language.tag()) aria-current="true" { (shown) }
                } @else {
                    a href={ (self.path) "?language=" (language.name()) } hreflang=(language.tag())
                        lang=(language.tag()) { (shown) }
                }
            }
        };
        html! {
            (link(Language::English, "English"))
            (link(Language::Chinese, "中文"))
        }
    }

    /// What the scripts read, as JSON in an attribute: no script stands in a page.
    fn data(&self, script: &Script<'_>) -> String {
        let settings = self.settings;
        let mut words = self.words().for_scripts();
        if let Some(words) = words.as_object_mut() {
            words.extend(
                self.language
                    .script_words()
                    .map(|(name, text)| (name.to_owned(), text.into())),
            );
        }
        serde_json::json!({
            "kind": script.kind,
            "home": "/",
            "client": client::base(),
            "styles": [client::own("client.css"), client::own("ours.css")],
            "locale": self.language.locale(),
            "domain": settings.domain,
            "guests": settings.guest_domain(),
            "conference": settings.conference_domain(),
            "uploads": settings.uploads,
            "push": settings.push,
            "page_style": client::own("pages.css"),
            "lobbies": settings.rooms,
            "room": script.room,
            "invite": script.invite,
            "words": words,
        })
        .to_string()
    }

    /// `/`
    pub fn home(&self) -> Markup {
        let (words, settings) = (self.words(), self.settings);
        let title = with(words.welcome, &settings.domain);
        let content = html! {
            section.card aria-labelledby="title" {
                h1 #title { (title) }
                @if self.has_forms() { (self.sign_in_form()) }
                @if settings.registration_open {
                    p { (words.no_account) (self.gap()) a href="/register" { (words.make_account) } }
                } @else {
                    p.quiet { (words.by_invitation) }
                }
                @if settings.guests {
                    p.quiet { (words.look_around) (self.gap()) a href="/rooms" { (words.see_rooms) } }
                }
            }
            @if client::base().is_none() { (self.apps(false)) }
        };
        self.page(
            &title,
            Some(Script {
                kind: "home",
                ..Script::default()
            }),
            &content,
        )
    }

    fn sign_in_form(&self) -> Markup {
        let words = self.words();
        html! {
            form #sign-in autocomplete="on" {
                (self.complaint())
                (self.username_field(words.username, None, None))
                (password_field(words.password, None, "password", "current-password"))
                (self.trusted_tick())
                p { button type="submit" { (words.sign_in) } }
            }
        }
    }

    /// Where a form says what went wrong.
    fn complaint(&self) -> Markup {
        html! { p role="alert" hidden {} }
    }

    fn username_field(&self, label: &str, hint: Option<&str>, fixed: Option<&str>) -> Markup {
        html! {
            label.field {
                (label)
                @if let Some(hint) = hint { small { (hint) } }
                span.input {
                    input name="name" value=[fixed] readonly[fixed.is_some()] required maxlength="256"
                        autocomplete="username" autocapitalize="none" spellcheck="false";
                    span.suffix aria-hidden="true" { "@" (self.settings.domain) }
                }
            }
        }
    }

    fn trusted_tick(&self) -> Markup {
        let words = self.words();
        html! {
            label.tick {
                input type="checkbox" name="trusted" value="yes" checked;
                span { (words.trusted) br; small.quiet { (words.trusted_hint) } }
            }
        }
    }

    fn register_form(&self, submit: &str, username: Option<&str>) -> Markup {
        let words = self.words();
        let domain = &self.settings.domain;
        let (label, address) = match username {
            Some(fixed) => (
                words.your_username,
                with(words.your_address, &format!("{fixed}@{domain}")),
            ),
            None => (words.choose_username, with(words.address_hint, domain)),
        };
        html! {
            form #register autocomplete="on" {
                (self.complaint())
                (self.username_field(label, Some(&address), username))
                (password_field(words.choose_password, Some(words.password_hint), "password", "new-password"))
                (password_field(words.again, None, "again", "new-password"))
                (self.trusted_tick())
                p.quiet role="status" hidden {}
                p { button type="submit" { (submit) } }
            }
        }
    }

    /// `/register`
    pub fn register(&self) -> Markup {
        let words = self.words();
        let content = html! {
            section.card aria-labelledby="title" {
                @if self.settings.registration_open {
                    h1 #title { (words.make_account) }
                    @if self.has_forms() { (self.register_form(words.make_and_chat, None)) }
                    p.quiet { (words.have_account) (self.gap()) a href="/" { (words.sign_in) } }
                } @else {
                    h1 #title { (words.registration_closed) }
                    p { (words.registration_closed_more) }
                    p { a href="/" { (words.sign_in) } }
                }
            }
            @if client::base().is_none() { (self.apps(false)) }
        };
        self.page(
            words.make_account,
            Some(Script {
                kind: "register",
                ..Script::default()
            }),
            &content,
        )
    }

    /// `/rooms`
    pub fn rooms(&self, rooms: &[PublicRoom]) -> Markup {
        let (words, settings) = (self.words(), self.settings);
        let content = html! {
            section.card.wide aria-labelledby="title" {
                h1 #title { (words.public_rooms) }
                @if rooms.is_empty() {
                    p.quiet { (words.no_rooms) }
                } @else {
                    p.quiet { @if settings.guests { (words.public_rooms_more) } @else { (words.public_rooms_account) } }
                    ul.list {
                        @for room in rooms {
                            li {
                                a href={ "/room/" (in_path(&room.name)) } {
                                    span {
                                        strong { (room.shown()) }
                                        @if !room.about.is_empty() { span.quiet { (room.about) } }
                                    }
                                    @if let Some(occupants) = room.occupants.filter(|occupants| *occupants > 0) {
                                        span.badge { (with(words.people_there, &occupants.to_string())) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        };
        self.page(words.public_rooms, None, &content)
    }

    /// `/room/NAME`
    pub fn room(&self, room: &PublicRoom) -> Markup {
        let (words, settings) = (self.words(), self.settings);
        let title = with(words.room_to_join, room.shown());
        let address = format!("{}@{}", room.name, settings.conference_domain());
        let for_guests = settings.guests && room.admits_guests;
        let content = html! {
            section.card aria-labelledby="title" {
                h1 #title { (title) }
                @if !room.about.is_empty() { p { (room.about) } }
                p.quiet.facts {
                    span { code { (address) } }
                    @if let Some(occupants) = room.occupants {
                        " " span.count { (with(words.people_there, &occupants.to_string())) }
                    }
                }
                p.quiet #kept { (self.kept(room.keeping)) (self.gap()) (words.read_along) }
                @if !for_guests {
                    p.note { (words.members_only) }
                } @else if self.has_forms() {
                    form #visit {
                        (self.complaint())
                        label.field {
                            (words.nickname)
                            small { (words.nickname_hint) }
                            span.input { input name="nick" required maxlength="64" autocomplete="nickname" autofocus; }
                        }
                        p { button type="submit" { (words.join) } }
                    }
                    p.quiet { (words.guest_note) }
                }
                div.row {
                    @if self.has_forms() {
                        a.button.plain href={ "/#converse/room?jid=" (in_path(&address)) } { (words.with_account) }
                    }
                    a.button.plain href={ "xmpp:" (in_path(&address)) "?join" } { (words.with_app) }
                }
            }
            @if client::base().is_none() { (self.apps(false)) }
        };
        let script = Script {
            kind: "room",
            room: Some(address.clone()),
            ..Script::default()
        };
        self.page(&title, Some(script), &content)
    }

    /// `/invite/TOKEN`
    pub fn invitation(&self, token: &str, invitation: &Invitation, url: &str) -> Markup {
        let (words, settings) = (self.words(), self.settings);
        let title = match (&invitation.room, &invitation.inviter) {
            (Some(room), _) => with(words.invited_to_room, room),
            (None, Some(inviter)) => with(words.invited_by, inviter),
            (None, None) => with(words.invited, &settings.domain),
        };
        let may_register = invitation.may_register;
        let content = html! {
            section.card.lead {
                h1 { (title) }
                p.quiet { (words.invited_more) }
                @if let Some(keeping) = invitation.keeping {
                    p.quiet #kept { (self.kept(keeping)) }
                } @else if invitation.room.is_none() {
                    p.quiet { (words.between_two) }
                }
            }
            section.card aria-labelledby="in-app" {
                h2 #in-app { (words.in_app) }
                p.quiet { (words.scan) }
                (qr(url))
                div.row {
                    a.button href=(safe_uri(&invitation.uri)) { (words.open_app) }
                    @if self.has_forms() {
                        button.plain type="button" data-copy=(url) hidden { (words.copy_link) }
                    }
                }
            }
            @if may_register && self.has_forms() {
                section.card aria-labelledby="in-browser" {
                    h2 #in-browser { (words.in_browser) }
                    (self.register_form(words.make_and_chat, invitation.username.as_deref()))
                }
            } @else if !may_register {
                section.card { p.note { (words.contact_only) } p { a href="/" { (words.sign_in) } } }
            }
            (self.apps(false))
        };
        let script = Script {
            kind: "invite",
            room: invitation.room.clone(),
            invite: Some(token),
        };
        self.page(&title, Some(script), &content)
    }

    /// `/apps`
    pub fn app_list(&self) -> Markup {
        self.page(self.words().get_app, None, &self.apps(true))
    }

    /// Apps to chat with, alone on a page or as a part of one; none of them belongs to us, all were seen working.
    fn apps(&self, is_page: bool) -> Markup {
        const APPS: [(&str, &str, &str); 6] = [
            ("Conversations", "https://conversations.im/", "Android"),
            ("Cheogram", "https://cheogram.com/", "Android"),
            ("Monal", "https://monal-im.org/", "iPhone, iPad, Mac"),
            ("Gajim", "https://gajim.org/", "Windows, Linux, Mac"),
            ("Dino", "https://dino.im/", "Linux, Windows"),
            ("Profanity", "https://profanity-im.github.io/", "Terminal"),
        ];
        let words = self.words();
        html! {
            section.card.wide aria-labelledby="apps" {
                @if is_page { h1 #apps { (words.get_app) } } @else { h2 #apps { (words.get_app) } }
                p.quiet { (words.get_app_more) }
                ul.apps {
                    @for (name, link, systems) in APPS {
                        li { a href=(link) rel="noreferrer" { (name) } small { (systems) } }
                    }
                }
            }
        }
    }

    /// A page that only says something.
    pub fn message(&self, title: &str, more: &str, link: (&str, &str)) -> Markup {
        let content = html! {
            section.card aria-labelledby="title" {
                h1 #title { (title) }
                p { (more) }
                p { a.button href=(link.0) { (link.1) } }
            }
        };
        self.page(title, None, &content)
    }
}

fn password_field(label: &str, hint: Option<&str>, name: &str, autocomplete: &str) -> Markup {
    html! {
        label.field {
            (label)
            @if let Some(hint) = hint { small { (hint) } }
            span.input {
                input name=(name) type="password" required maxlength="1023" autocomplete=(autocomplete);
            }
        }
    }
}

/// As a part of a path or a query (RFC 3986 §2.3): everything but unreserved characters and `@` is a percent and two digits.
fn in_path(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02X}"));
        }
    }
    written
}

/// Templates escape what stands in an attribute, not what a link does: only these kinds may be followed.
fn safe_uri(uri: &str) -> &str {
    let is_safe = ["xmpp:", "https:"].iter().any(|scheme| uri.starts_with(scheme));
    if is_safe { uri } else { "#" }
}

/// A QR code; nothing if it were too long for one.
fn qr(text: &str) -> Markup {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::M) else {
        return html! {};
    };
    // The quiet zone that readers need around it.
    const MARGIN: usize = 4;
    let width = code.width();
    let mut path = String::new();
    for (at, color) in code.to_colors().into_iter().enumerate() {
        if color == Color::Dark {
            path.push_str(&format!(
                "M{} {}h1v1h-1z",
                at % width + MARGIN,
                at / width + MARGIN
            ));
        }
    }
    let side = width + 2 * MARGIN;
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {side} {side}\" role=\"img\" aria-label=\"QR\" \
         shape-rendering=\"crispEdges\"><path d=\"{path}\"/></svg>"
    );
    html! { div.qr { (PreEscaped(svg)) } }
}
