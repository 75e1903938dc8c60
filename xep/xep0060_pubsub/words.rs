//! The words in a node's configuration, and what they mean (§16.4.4).

macro_rules! words {
    ($(#[$doc:meta])* $name:ident: $($(#[$vdoc:meta])* $variant:ident = $text:literal,)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }
        impl $name {
            /// The word in forms.
            pub fn as_str(self) -> &'static str { match self { $($name::$variant => $text,)* } }
            /// The value that a word names.
            pub fn named(text: &str) -> Option<$name> { match text { $($text => Some($name::$variant),)* _ => None } }
            /// Every word, for the forms.
            pub(super) const WORDS: &'static [&'static str] = &[$($text,)*];
        }
    };
}

words! {
    /// Who may subscribe and retrieve items (§4.5).
    AccessModel:
    /// Anybody.
    Open = "open",
    /// Who sees the owner's presence.
    Presence = "presence",
    /// Who sees the owner's presence and stands in one of the groups.
    Roster = "roster",
    /// Whom an owner has approved.
    Authorize = "authorize",
    /// Whom an owner has named.
    Whitelist = "whitelist",
}

words! {
    /// Who may publish.
    PublishModel:
    /// Owners and publishers.
    Publishers = "publishers",
    /// Subscribers too.
    Subscribers = "subscribers",
    /// Anybody.
    Open = "open",
}

words! {
    /// When the last item is sent without being asked for.
    SendLast:
    /// Never.
    Never = "never",
    /// To a new subscriber.
    OnSub = "on_sub",
    /// To a new subscriber and to one who becomes available.
    OnSubAndPresence = "on_sub_and_presence",
}

words! {
    /// The type of the messages that carry notifications.
    NotificationType:
    /// Alerts, which are not stored.
    Headline = "headline",
    /// Single messages.
    Normal = "normal",
    /// Conversation.
    Chat = "chat",
}

words! {
    /// Whom answers to an item go to.
    ItemReply:
    /// The node's owner.
    Owner = "owner",
    /// Who published it.
    Publisher = "publisher",
}

/// How many of something: a number, or as many as the server allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Most {
    /// So many.
    Count(usize),
    /// The server's limit.
    Max,
}

impl Most {
    pub(super) fn read(text: &str) -> Option<Most> {
        match text.trim() {
            "max" => Some(Most::Max),
            // More than a machine can count is as many as there may be.
            number if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(number.parse().map_or(Most::Max, Most::Count))
            }
            _ => None,
        }
    }

    pub(super) fn word(self) -> String {
        match self {
            Most::Max => "max".to_owned(),
            Most::Count(count) => count.to_string(),
        }
    }
}
