//! How a node behaves (§16.4.4), and the words of the forms that say so. Every option that clients send is known and kept;
//! booleans and numbers are compared as what they mean, not as they were written.

use kim_core::error::{Condition, StanzaError};
use kim_core::jid::BareJid;
use kim_core::wire::El;

use super::names::NODE_CONFIG;
pub use super::words::{AccessModel, ItemReply, Most, NotificationType, PublishModel, SendLast};
use crate::xep0004_forms::api::{Form, FormKind, Sheet};

/// Texts of a configuration (title, description, groups …) may have so many bytes each.
const TEXT_BYTES_MAX: usize = 4_096;
/// Roster groups that a node may name.
const GROUPS_MAX: usize = 64;
/// Languages that the form offers; any other may be submitted.
const LANGUAGES: &[(&str, &str)] = &[
    ("ar", "Arabic"),
    ("bn", "Bengali"),
    ("cs", "Czech"),
    ("da", "Danish"),
    ("de", "German"),
    ("el", "Greek"),
    ("en", "English"),
    ("es", "Spanish"),
    ("fa", "Persian"),
    ("fi", "Finnish"),
    ("fr", "French"),
    ("he", "Hebrew"),
    ("hi", "Hindi"),
    ("hu", "Hungarian"),
    ("id", "Indonesian"),
    ("it", "Italian"),
    ("ja", "Japanese"),
    ("ko", "Korean"),
    ("nl", "Dutch"),
    ("no", "Norwegian"),
    ("pl", "Polish"),
    ("pt", "Portuguese"),
    ("ro", "Romanian"),
    ("ru", "Russian"),
    ("sv", "Swedish"),
    ("th", "Thai"),
    ("tr", "Turkish"),
    ("uk", "Ukrainian"),
    ("vi", "Vietnamese"),
    ("zh", "Chinese"),
];

/// How a node behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// A name for humans.
    pub title: String,
    /// A description for humans.
    pub description: String,
    /// The namespace of the payloads, `pubsub#type`.
    pub kind: String,
    /// The language of the payloads.
    pub language: String,
    /// Who may subscribe and retrieve items.
    pub access: AccessModel,
    /// The roster groups for [`AccessModel::Roster`].
    pub groups: Vec<String>,
    /// Who may publish.
    pub publish: PublishModel,
    /// Whether items are kept.
    pub persist_items: bool,
    /// How many of them.
    pub max_items: Most,
    /// For how many seconds; [`Most::Max`] for ever.
    pub item_expire: Most,
    /// When the last one is sent without being asked for.
    pub send_last: SendLast,
    /// Whether anybody is notified at all.
    pub deliver_notifications: bool,
    /// Whether notifications carry the payloads.
    pub deliver_payloads: bool,
    /// Whether subscribers are told of a new configuration.
    pub notify_config: bool,
    /// Whether subscribers are told that the node is gone.
    pub notify_delete: bool,
    /// Whether subscribers are told that items are gone.
    pub notify_retract: bool,
    /// Whether owners are told of new subscribers.
    pub notify_sub: bool,
    /// Whether only available subscribers are notified.
    pub presence_based_delivery: bool,
    /// The type of notifications.
    pub notification_type: NotificationType,
    /// Whom answers to an item go to.
    pub itemreply: ItemReply,
    /// Whether one may subscribe.
    pub subscribe: bool,
    /// How many bytes a payload may have; the server's limit holds beside it.
    pub max_payload_size: Most,
}

/// Whether an owner is an account rather than the service.
pub fn is_account(owner: &BareJid) -> bool {
    owner.local().is_some()
}

impl NodeConfig {
    /// What a node of this owner is unless somebody says otherwise.
    pub fn of(owner: &BareJid) -> NodeConfig {
        if is_account(owner) {
            NodeConfig::of_account()
        } else {
            NodeConfig::of_service()
        }
    }

    /// What a node of an account is unless somebody says otherwise (XEP-0163 §5). One item: clients publish bundles of keys
    /// without an id, and old ones must not pile up.
    pub fn of_account() -> NodeConfig {
        NodeConfig {
            title: String::new(),
            description: String::new(),
            kind: String::new(),
            language: String::new(),
            access: AccessModel::Presence,
            groups: Vec::new(),
            publish: PublishModel::Publishers,
            persist_items: true,
            max_items: Most::Count(1),
            item_expire: Most::Max,
            send_last: SendLast::OnSubAndPresence,
            deliver_notifications: true,
            deliver_payloads: true,
            notify_config: false,
            notify_delete: false,
            notify_retract: true,
            notify_sub: false,
            presence_based_delivery: true,
            notification_type: NotificationType::Headline,
            itemreply: ItemReply::Owner,
            subscribe: true,
            max_payload_size: Most::Max,
        }
    }

    /// What a node of the service is unless somebody says otherwise.
    pub fn of_service() -> NodeConfig {
        NodeConfig {
            access: AccessModel::Open,
            max_items: Most::Count(20),
            send_last: SendLast::Never,
            notify_delete: true,
            presence_based_delivery: false,
            ..NodeConfig::of_account()
        }
    }

    /// What a node is whose stored configuration cannot be read: closed but to its owners, and nothing of it expires until one
    /// of them configures it anew.
    pub(super) fn unreadable(base: NodeConfig) -> NodeConfig {
        NodeConfig {
            access: AccessModel::Whitelist,
            publish: PublishModel::Publishers,
            max_items: Most::Max,
            ..base
        }
    }

    /// The same with the fields of a submitted form; what it does not name stays (XEP-0004 §3.2). `unknown` decides what
    /// becomes of a field that no node has.
    pub fn with(&self, form: &Form, unknown: Unknown) -> Result<NodeConfig, StanzaError> {
        let mut config = self.clone();
        for var in form.vars() {
            let values = form.values(var).unwrap_or_default();
            let known = config.set(var, values)?;
            if !known && unknown == Unknown::Refused {
                return Err(not_acceptable(format!("unknown option {var}")));
            }
        }
        Ok(config)
    }

    /// The same with the publish-options, if there are any (§7.1.5: what is unknown is refused).
    pub(super) fn with_options(&self, options: Option<&Form>) -> Result<NodeConfig, StanzaError> {
        match options {
            Some(options) => self.with(options, Unknown::Refused),
            None => Ok(self.clone()),
        }
    }

    /// Which field of a form this configuration does not meet (§7.1.5).
    pub fn unmet<'f>(&self, form: &'f Form) -> Result<Option<&'f str>, StanzaError> {
        for var in form.vars() {
            let mut wanted = self.clone();
            if !wanted.set(var, form.values(var).unwrap_or_default())? {
                return Err(not_acceptable(format!("unknown option {var}")));
            }
            if wanted != *self {
                return Ok(Some(var));
            }
        }
        Ok(None)
    }

    /// Sets one field; false if no node has it.
    fn set(&mut self, var: &str, values: &[String]) -> Result<bool, StanzaError> {
        let Some(name) = var.strip_prefix("pubsub#") else {
            return Ok(false);
        };
        let first = values.first().map_or("", String::as_str).trim();
        let bad = || not_acceptable(format!("{var} does not accept this value"));
        let flag = || match first {
            "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            _ => Err(bad()),
        };
        let text = || {
            let text = values.join("\n");
            if text.len() > TEXT_BYTES_MAX {
                Err(bad())
            } else {
                Ok(text)
            }
        };
        match name {
            "title" => self.title = text()?,
            "description" => self.description = text()?,
            "type" => self.kind = text()?,
            "language" => self.language = text()?,
            "access_model" => self.access = AccessModel::named(first).ok_or_else(bad)?,
            "roster_groups_allowed" => {
                if values.len() > GROUPS_MAX || values.iter().any(|group| group.len() > TEXT_BYTES_MAX) {
                    return Err(bad());
                }
                self.groups = values.iter().filter(|group| !group.is_empty()).cloned().collect();
            }
            "publish_model" => self.publish = PublishModel::named(first).ok_or_else(bad)?,
            "persist_items" => self.persist_items = flag()?,
            "max_items" => {
                let most = Most::read(first).filter(|most| *most != Most::Count(0));
                self.max_items = most.ok_or_else(bad)?;
            }
            "item_expire" => {
                // 0 says "never" to the clients that know no better.
                let most = Most::read(first).ok_or_else(bad)?;
                self.item_expire = if most == Most::Count(0) { Most::Max } else { most };
            }
            "send_last_published_item" => {
                // Some clients send a boolean of older versions of the text.
                self.send_last = match first {
                    "1" | "true" => SendLast::OnSubAndPresence,
                    "0" | "false" => SendLast::Never,
                    word => SendLast::named(word).ok_or_else(bad)?,
                };
            }
            "deliver_notifications" => self.deliver_notifications = flag()?,
            "deliver_payloads" => self.deliver_payloads = flag()?,
            "notify_config" => self.notify_config = flag()?,
            "notify_delete" => self.notify_delete = flag()?,
            "notify_retract" => self.notify_retract = flag()?,
            "notify_sub" => self.notify_sub = flag()?,
            "presence_based_delivery" => self.presence_based_delivery = flag()?,
            "notification_type" => {
                self.notification_type = NotificationType::named(first).ok_or_else(bad)?;
            }
            "itemreply" => self.itemreply = ItemReply::named(first).ok_or_else(bad)?,
            "subscribe" => self.subscribe = flag()?,
            "max_payload_size" => {
                let most = Most::read(first).ok_or_else(bad)?;
                self.max_payload_size = if most == Most::Count(0) { Most::Max } else { most };
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The form that shows it: to be filled in, or as it is stored. The types of the fields are those of the registry
    /// (§16.4.4). `groups` are those of the roster of whoever fills it in.
    pub fn sheet(&self, kind: FormKind, groups: &[String]) -> Sheet {
        let chosen: Vec<&str> = self.groups.iter().map(String::as_str).collect();
        let groups: Vec<(&str, &str)> = groups.iter().map(|group| (&**group, &**group)).collect();
        Sheet::new(kind, NODE_CONFIG)
            .line("pubsub#title", "A short name for the node", &self.title)
            .line(
                "pubsub#description",
                "A description of the node",
                &self.description,
            )
            .line("pubsub#type", "The namespace of the payloads", &self.kind)
            .choice(
                "pubsub#language",
                "The language of the payloads",
                &self.language,
                LANGUAGES,
            )
            .choice_of(
                "pubsub#access_model",
                "Who may subscribe and retrieve items",
                self.access.as_str(),
                AccessModel::WORDS,
            )
            .several(
                "pubsub#roster_groups_allowed",
                "Roster groups that may subscribe and retrieve items",
                &chosen,
                &groups,
            )
            .choice_of(
                "pubsub#publish_model",
                "Who may publish",
                self.publish.as_str(),
                PublishModel::WORDS,
            )
            .boolean("pubsub#persist_items", "Keep items", self.persist_items)
            .line(
                "pubsub#max_items",
                "How many items to keep (a number or max)",
                &self.max_items.word(),
            )
            .line(
                "pubsub#item_expire",
                "Seconds after which items expire (or max)",
                &self.item_expire.word(),
            )
            .choice_of(
                "pubsub#send_last_published_item",
                "When to send the last published item",
                self.send_last.as_str(),
                SendLast::WORDS,
            )
            .boolean(
                "pubsub#deliver_notifications",
                "Notify subscribers",
                self.deliver_notifications,
            )
            .boolean(
                "pubsub#deliver_payloads",
                "Send payloads with notifications",
                self.deliver_payloads,
            )
            .boolean(
                "pubsub#notify_config",
                "Notify subscribers when the configuration changes",
                self.notify_config,
            )
            .boolean(
                "pubsub#notify_delete",
                "Notify when the node is deleted",
                self.notify_delete,
            )
            .boolean(
                "pubsub#notify_retract",
                "Notify when items are removed",
                self.notify_retract,
            )
            .boolean(
                "pubsub#notify_sub",
                "Notify owners of new subscribers",
                self.notify_sub,
            )
            .boolean(
                "pubsub#presence_based_delivery",
                "Notify only available subscribers",
                self.presence_based_delivery,
            )
            .choice_of(
                "pubsub#notification_type",
                "The type of notifications",
                self.notification_type.as_str(),
                NotificationType::WORDS,
            )
            .choice_of(
                "pubsub#itemreply",
                "Who receives replies",
                self.itemreply.as_str(),
                ItemReply::WORDS,
            )
            .boolean("pubsub#subscribe", "Allow subscriptions", self.subscribe)
            .line(
                "pubsub#max_payload_size",
                "Maximum payload size in bytes (or max)",
                &self.max_payload_size.word(),
            )
    }

    /// The form as it is stored.
    pub(super) fn to_stored(&self) -> String {
        self.sheet(FormKind::Result, &[]).xml()
    }

    /// Reads what was stored; an option that it does not have is as in `defaults`.
    pub(super) fn from_stored(x: El<'_>, defaults: &NodeConfig) -> Result<NodeConfig, StanzaError> {
        defaults.with(&Form::read(x)?, Unknown::Ignored)
    }
}

/// What becomes of a field that no node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// It is passed over: a form may hold more than one program needs (XEP-0004 §3.1).
    Ignored,
    /// The request fails (§7.1.5).
    Refused,
}

/// Choices whose labels say no more than their values.
trait Choices {
    fn choice_of(self, var: &str, label: &str, value: &str, words: &[&str]) -> Self;
}

impl Choices for Sheet {
    fn choice_of(self, var: &str, label: &str, value: &str, words: &[&str]) -> Sheet {
        let options: Vec<(&str, &str)> = words.iter().map(|word| (*word, *word)).collect();
        self.choice(var, label, value, &options)
    }
}

fn not_acceptable(why: String) -> StanzaError {
    StanzaError::new(Condition::NotAcceptable).text(why)
}
