//! What the pages say, in English and in Chinese, and which of the two a reader gets: the one chosen with the switch, else
//! the browser's.

use axum::http::{HeaderMap, header};

use super::script_words::CLIENT;

/// The cookie that keeps the reader's choice. It holds `en` or `zh`, and nothing else.
pub(super) const COOKIE: &str = "kim-language";

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Chinese,
}

impl Language {
    /// From the switch (`?language=zh`) or the cookie.
    pub fn named(name: &str) -> Option<Language> {
        match name {
            "en" => Some(Language::English),
            "zh" => Some(Language::Chinese),
            _ => None,
        }
    }

    /// What a reader wants to see.
    pub fn of(chosen: Option<Language>, headers: &HeaderMap) -> Language {
        chosen
            .or_else(|| from_cookie(headers))
            .or_else(|| from_browser(headers))
            .unwrap_or(Language::English)
    }

    /// As the switch names it.
    pub fn name(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh",
        }
    }

    /// As HTML names it (BCP 47).
    pub fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh-Hans",
        }
    }

    /// As the chat client names it.
    pub fn locale(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh_CN",
        }
    }

    /// What the chat client's scripts say beyond the pages.
    pub fn script_words(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        CLIENT.iter().map(move |(name, english, chinese)| match self {
            Language::English => (*name, *english),
            Language::Chinese => (*name, *chinese),
        })
    }

    /// What the pages say.
    pub fn words(self) -> &'static Words {
        match self {
            Language::English => &ENGLISH,
            Language::Chinese => &CHINESE,
        }
    }
}

fn from_cookie(headers: &HeaderMap) -> Option<Language> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let mut pairs = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    pairs.find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name.trim() == COOKIE).then(|| Language::named(value.trim()))?
    })
}

/// RFC 9110 §12.5.4: the one with the greatest weight; of equals, the first.
fn from_browser(headers: &HeaderMap) -> Option<Language> {
    let accepted = headers.get(header::ACCEPT_LANGUAGE)?.to_str().ok()?;
    let mut best: Option<(f32, Language)> = None;
    for range in accepted.split(',') {
        let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
        let weight = weight
            .trim()
            .strip_prefix("q=")
            .and_then(|weight| weight.trim().parse::<f32>().ok());
        let weight = weight.unwrap_or(0.0);
        let primary = tag.trim().split('-').next().unwrap_or("").to_ascii_lowercase();
        if let Some(language) = Language::named(&primary)
            && weight > best.map_or(0.0, |(most, _)| most)
        {
            best = Some((weight, language));
        }
    }
    best.map(|(_, language)| language)
}

macro_rules! words {
    ($($name:ident: $english:literal, $chinese:literal;)*) => {
        /// Everything the pages say. `{}` stands for what the page puts in.
        pub(super) struct Words {
            $(pub $name: &'static str,)*
        }
        const ENGLISH: Words = Words { $($name: $english,)* };
        const CHINESE: Words = Words { $($name: $chinese,)* };
        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $english, $chinese),)*];
    };
}

words! {
    // The frame of every page.
    skip: "Skip to the content", "跳到正文";
    rooms: "Rooms", "聊天室";
    sign_in: "Sign in", "登录";
    about: "Open messaging with end-to-end encryption", "开放的端到端加密即时通讯";
    licences: "Licences", "许可证";
    scripts_needed: "Chatting in the browser needs JavaScript. Chat apps work without it.", "在浏览器中聊天需要启用 JavaScript；使用聊天应用则不需要。";
    client_missing: "This server was built without the web client. You can use any chat app instead.",
        "此服务器未包含网页客户端，您可以使用任何聊天应用。";
    needs_https: "You cannot sign in or chat on this page because the connection is not encrypted.", "当前连接未加密，无法在此页面登录或聊天。";
    go_to_https: "Continue on the encrypted page", "前往加密页面";

    // Home.
    welcome: "Welcome to {}", "欢迎来到 {}";
    username: "Username", "用户名";
    password: "Password", "密码";
    trusted: "Keep me signed in on this device", "在此设备上保持登录";
    trusted_hint: "End-to-end encryption needs this. Do not use it on a device that you share with others.",
        "端到端加密需要启用此项。请勿在与他人共用的设备上使用。";
    no_account: "No account yet?", "还没有账号？";
    make_account: "Create an account", "注册账号";
    have_account: "Already have an account?", "已有账号？";
    by_invitation: "You need an invitation to create an account here. Ask somebody who already has one.",
        "此服务器采用邀请注册，请向已有账号的人索取邀请。";
    look_around: "Just looking? You can enter public rooms without an account.", "只想随便看看？公共聊天室无需账号即可进入。";
    see_rooms: "See the public rooms", "查看公共聊天室";

    // Making an account.
    choose_username: "Choose a username", "选择用户名";
    address_hint: "Your address for chatting will be this name at {}.", "您的聊天地址将是“用户名@{}”。";
    your_username: "Your username", "您的用户名";
    your_address: "Your address for chatting will be {}.", "您的聊天地址将是“{}”。";
    choose_password: "Choose a password", "设置密码";
    password_hint: "We recommend ten characters or more. A few words are easy to remember.", "建议至少使用十个字符，用几个词组成的密码更容易记住。";
    again: "Repeat the password", "再次输入密码";
    registration_closed: "Registration is closed", "注册未开放";
    registration_closed_more: "You need an invitation to create an account on this server. If you have a link, open it.",
        "此服务器采用邀请注册。如果您有邀请链接，请直接打开。";

    // Rooms.
    public_rooms: "Public rooms", "公共聊天室";
    public_rooms_more: "Pick one and join. You do not need an account.", "选择一个即可加入，无需账号。";
    public_rooms_account: "Sign in to join one of them.", "登录后即可加入。";
    no_rooms: "There are no public rooms yet.", "目前还没有公共聊天室。";
    people_there: "{} online", "{} 人在线";
    room_to_join: "Join {}", "加入 {}";
    nickname: "Your nickname", "您的昵称";
    nickname_hint: "Others in the room see this name. You do not have to give anything else.", "聊天室里的其他人会看到这个昵称，无需填写其他信息。";
    join: "Join", "加入";
    guest_note: "You are a guest until you close this page.", "关闭此页面后，您的访客身份即失效。";
    read_along: "Public rooms are not end-to-end encrypted. Anybody who enters can read along.", "公共聊天室没有端到端加密，任何进入的人都能看到消息。";
    kept_a_day: "The room keeps what you write for one day, under your nickname.", "聊天室会以您的昵称保存您发送的消息，保存一天。";
    kept_days: "The room keeps what you write for {} days, under your nickname.", "聊天室会以您的昵称保存您发送的消息，保存 {} 天。";
    kept_forever: "The room keeps what you write, under your nickname, for as long as the room exists.",
        "聊天室会以您的昵称保存您发送的消息，直到聊天室被删除。";
    kept_nothing: "The room keeps no archive. People who enter after you may still see the latest messages.",
        "此聊天室不保存聊天记录，但之后进入的人仍可能看到最近的消息。";
    with_account: "Join with your account", "使用账号加入";
    with_app: "Open in a chat app", "在聊天应用中打开";
    members_only: "Guests cannot enter this room. Sign in to join it.", "访客无法进入此聊天室，请登录后加入。";
    no_such_room: "No such room", "没有这个聊天室";
    no_such_room_more: "There is no public room called “{}” here. It may have another name, or be open to its members only.",
        "这里没有名为“{}”的公共聊天室。它可能使用了其他名称，或仅对成员开放。";

    // Invitations.
    invited: "You are invited to {}", "您受邀加入 {}";
    invited_by: "{} invites you to chat", "{} 邀请您聊天";
    invited_to_room: "You are invited to the room {}", "您受邀加入聊天室 {}";
    invited_more: "Chat with a phone or desktop app, or right here in the browser.", "您可以使用手机或桌面应用聊天，也可以直接在浏览器中聊天。";
    between_two: "Chats between two people are end-to-end encrypted when both apps support it. Then nobody else can read them, \
         not even this server.",
        "如果双方的应用都支持，两个人之间的聊天就会进行端到端加密，其他任何人（包括此服务器）都无法读取。";
    in_app: "In an app", "在应用中";
    scan: "Scan the code with your phone, or open the link in an app that you already have:", "用手机扫描二维码，或在已安装的应用中打开链接：";
    open_app: "Open in an app", "在应用中打开";
    copy_link: "Copy the link", "复制链接";
    copied: "Copied", "已复制";
    get_app: "Apps to chat with", "推荐的聊天应用";
    get_app_more: "All of them are free, and they work together.", "它们都是免费的，并且可以互通。";
    in_browser: "In this browser", "在此浏览器中";
    make_and_chat: "Create the account and start", "注册并开始聊天";
    contact_only: "This invitation is for people who already have an account, on this server or another.",
        "此邀请适用于已有账号的用户，无论账号在哪个服务器上。";
    invitation_over: "This invitation cannot be used", "此邀请无法使用";
    invitation_over_more: "It has already been used, it has expired, or the link is incomplete. Ask for a new one.",
        "它可能已被使用、已过期，或链接不完整。请索取新的邀请。";

    // When something is wrong.
    unavailable: "Temporarily unavailable", "暂时无法使用";
    unavailable_more: "The server cannot answer at the moment. Please try again soon.", "服务器暂时无法响应，请稍后再试。";
    no_page: "Page not found", "找不到页面";
    no_page_more: "There is nothing at this address. The link may be old or incomplete.", "此地址没有任何内容，链接可能已失效或不完整。";
    home: "Go to the start page", "返回首页";

    // What scripts say.
    other_server: "Only accounts at {} can sign in here.", "只有 {} 的账号可以在此登录。";
    username_empty: "Please enter a username.", "请输入用户名。";
    username_space: "A username cannot contain spaces.", "用户名不能包含空格。";
    username_character: "A username cannot contain any of these characters: \" & ' / : < > @", "用户名不能包含以下字符：\" & ' / : < > @";
    username_long: "This username is too long.", "此用户名过长。";
    username_unsupported: "This username contains characters that are not supported.", "此用户名含有不支持的字符。";
    password_empty: "Please enter a password.", "请输入密码。";
    password_long: "This password is too long.", "此密码过长。";
    password_unsupported: "This password contains characters that are not supported.", "此密码含有不支持的字符。";
    wrong_password: "The username or the password is wrong.", "用户名或密码错误。";
    no_connection: "The server cannot be reached. Please try again.", "无法连接服务器，请重试。";
    client_unreachable: "The chat client could not be loaded. Please try again.", "无法加载聊天客户端，请重试。";
    away: "The server cannot be reached.", "无法连接服务器。";
    next_try: "Trying again in {} s.", "{} 秒后重试。";
    trying: "Trying again…", "正在重试……";
    try_now: "Try now", "立即重试";
    passwords_differ: "The two passwords differ.", "两次输入的密码不一致。";
    nick_needed: "Please choose a nickname.", "请输入昵称。";
    room_full: "This room is full. Please try again later.", "聊天室已满，请稍后再试。";
    register_conflict: "This username is taken, or looks like one that is. Please choose another.", "此用户名已被占用，或与已有用户名过于相似，请换一个。";
    register_not_acceptable: "This username or password cannot be used. Please choose another.", "此用户名或密码无法使用，请换一个。";
    register_not_allowed: "Registration is not open here.", "此服务器未开放注册。";
    register_resource_constraint: "Too many accounts were made from your network. Please try again later.",
        "您所在的网络注册的账号过多，请稍后再试。";
    register_item_not_found: "This invitation can no longer be used.", "此邀请已失效。";
    register_checking: "Checking that you are not a robot. This takes a few seconds…", "正在进行人机验证，请稍候几秒……";
    register_failed: "The account could not be made. Please try again.", "注册失败，请重试。";
}

impl Words {
    /// Those that scripts show, by the names that the scripts know.
    pub fn for_scripts(&self) -> serde_json::Value {
        serde_json::json!({
            "copied": self.copied,
            "other_server": self.other_server,
            "username_empty": self.username_empty,
            "username_space": self.username_space,
            "username_character": self.username_character,
            "username_long": self.username_long,
            "username_unsupported": self.username_unsupported,
            "password_empty": self.password_empty,
            "password_long": self.password_long,
            "password_unsupported": self.password_unsupported,
            "wrong_password": self.wrong_password,
            "no_connection": self.no_connection,
            "client_unreachable": self.client_unreachable,
            "away": self.away,
            "next_try": self.next_try,
            "trying": self.trying,
            "try_now": self.try_now,
            "passwords_differ": self.passwords_differ,
            "nick_needed": self.nick_needed,
            "room_full": self.room_full,
            "unavailable_more": self.unavailable_more,
            "register_conflict": self.register_conflict,
            "register_not_acceptable": self.register_not_acceptable,
            "register_not_allowed": self.register_not_allowed,
            "register_resource_constraint": self.register_resource_constraint,
            "register_item_not_found": self.register_item_not_found,
            "register_checking": self.register_checking,
            "register_failed": self.register_failed,
        })
    }
}

/// Puts something in the place of `{}`. It is escaped with the rest by the template.
pub(super) fn with(sentence: &str, what: &str) -> String {
    sentence.replace("{}", what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn asking(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn the_browser_says_what_its_reader_reads() {
        use Language::{Chinese, English};
        for (accepted, language) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Chinese),
            ("zh-Hant-TW", Chinese),
            ("en-GB,en;q=0.9,zh;q=0.8", English),
            ("de,zh;q=0.7,en;q=0.3", Chinese),
            ("de-DE,de;q=0.9,fr", English),
            ("zh;q=0,en", English),
            ("zh;q=high", English),
            ("", English),
        ] {
            assert_eq!(
                Language::of(None, &asking(header::ACCEPT_LANGUAGE, accepted)),
                language,
                "{accepted}"
            );
        }
        assert_eq!(Language::of(None, &HeaderMap::new()), English);
    }

    #[test]
    fn the_switch_is_stronger_than_the_cookie_and_that_than_the_browser() {
        let mut headers = asking(header::COOKIE, "other=1; kim-language=en");
        headers.insert(header::ACCEPT_LANGUAGE, HeaderValue::from_static("zh"));
        assert_eq!(Language::of(None, &headers), Language::English);
        assert_eq!(Language::of(Some(Language::Chinese), &headers), Language::Chinese);
        let nonsense = asking(header::COOKIE, "kim-language=<script>");
        assert_eq!(Language::of(None, &nonsense), Language::English);
    }

    #[test]
    fn both_languages_put_things_in_the_same_places() {
        for (name, english, chinese) in ALL {
            assert_eq!(
                english.matches("{}").count(),
                chinese.matches("{}").count(),
                "{name}"
            );
            assert!(!chinese.is_ascii() && !english.is_empty(), "{name}");
        }
    }
}
