//! What is asked for (§4.2, §6.1).

use kim_core::error::{Condition, ErrorType, Fault, StanzaError};
use kim_core::wire::{El, Writer};

use super::{ChannelSearchConfig, NS};
use crate::xep0004_forms::api::{Form, FormKind, Sheet};
use crate::xep0059_rsm::api::Asked;

/// §4.2.1
const PARAMS: &str = "urn:xmpp:channel-search:0:search-params";
/// §4.2.2.2
pub const ERRORS: &str = "urn:xmpp:channel-search:0:error";
/// §6.1
const BY_USERS: &str = "{urn:xmpp:channel-search:0:order}nusers";
const BY_ADDRESS: &str = "{urn:xmpp:channel-search:0:order}address";
/// Words of one query, and characters that one needs.
const WORDS_MAX: usize = 10;
const WORD_CHARS_MIN: usize = 2;

/// A query.
#[derive(Debug)]
pub struct SearchQuery {
    /// What a room must have, in lower case; nothing finds all.
    pub words: Vec<String>,
    /// Where it is looked for.
    pub in_name: bool,
    /// Where it is looked for.
    pub in_description: bool,
    /// Where it is looked for.
    pub in_address: bool,
    /// How many must be there.
    pub users_min: usize,
    /// Whether rooms of the kind that there is here are wanted.
    pub wants_rooms: bool,
    /// Those with most people first, and not by address.
    pub by_users: bool,
    /// Which page.
    pub page: Asked,
    /// How much of it.
    pub max: usize,
}

fn refused(condition: Condition, kind: ErrorType, detail: &'static str, text: &'static str) -> Fault {
    StanzaError::new(condition)
        .kind(kind)
        .text(text)
        .detail(detail, ERRORS)
        .into()
}

impl SearchQuery {
    /// Reads a `<search/>`; `None` if it asks for the form (§4.2.1).
    pub fn read(search: El<'_>, config: &ChannelSearchConfig) -> Result<Option<SearchQuery>, Fault> {
        let Some(form) = Form::submitted(search, PARAMS)? else {
            return Ok(None);
        };
        let switch = |var: &str| -> Result<bool, Fault> { Ok(form.boolean(var)?.unwrap_or(true)) };
        let asked = form.value("q").map(str::trim).filter(|text| !text.is_empty());
        let all = form.boolean("all")?.unwrap_or(false);
        let words = match (asked, all) {
            (Some(_), true) => {
                // §4.2.2.6
                let mut xml = Writer::new();
                xml.start("conflicting-fields", ERRORS);
                for var in ["all", "q"] {
                    xml.start("var", ERRORS).text(var).end();
                }
                xml.end();
                return Err(StanzaError::new(Condition::BadRequest)
                    .kind(ErrorType::Modify)
                    .text("fill in \"Search for\" or choose \"Return all entries\", not both")
                    .payload(xml)
                    .into());
            }
            (None, false) => {
                // §4.2.2.7
                let text = "fill in \"Search for\", or choose \"Return all entries\"";
                return Err(refused(
                    Condition::BadRequest,
                    ErrorType::Cancel,
                    "no-search-conditions",
                    text,
                ));
            }
            (None, true) if !config.list_all => {
                // §4.2.2.5
                return Err(refused(
                    Condition::NotAllowed,
                    ErrorType::Cancel,
                    "full-set-retrieval-rejected",
                    "this server does not list all rooms; enter a search term",
                ));
            }
            (None, true) => Vec::new(),
            (Some(text), false) => words(text)?,
        };
        let by_users = match form.value("key").map(str::trim) {
            None | Some("" | BY_USERS) => true,
            Some(BY_ADDRESS) => false,
            // §4.2.2.2
            Some(_) => {
                return Err(refused(
                    Condition::FeatureNotImplemented,
                    ErrorType::Modify,
                    "invalid-sort-key",
                    "rooms can be sorted by number of users or by address",
                ));
            }
        };
        let types = form.values("types");
        let page = Asked::parse(search)?;
        Ok(Some(SearchQuery {
            words,
            in_name: switch("sinname")?,
            in_description: switch("sindescription")?,
            // §4.2.1 and §6.1 name it differently.
            in_address: switch("sinaddress")? && switch("sinaddr")?,
            users_min: form
                .value("min_users")
                .and_then(|number| number.trim().parse().ok())
                .unwrap_or(0),
            wants_rooms: types.is_none_or(|types| types.iter().any(|kind| kind.trim() == "xep-0045")),
            by_users,
            max: page
                .max
                .unwrap_or(config.page_rooms_max)
                .min(config.page_rooms_max),
            page,
        }))
    }
}

fn words(text: &str) -> Result<Vec<String>, Fault> {
    let words: Vec<String> = text
        .split_whitespace()
        .map(str::to_lowercase)
        .filter(|word| word.chars().count() >= WORD_CHARS_MIN)
        .take(WORDS_MAX)
        .collect();
    if words.is_empty() {
        // §4.2.2.3
        return Err(refused(
            Condition::BadRequest,
            ErrorType::Modify,
            "invalid-search-terms",
            "search terms must have at least two characters",
        ));
    }
    Ok(words)
}

/// §4.2.1: the form, with what holds where nothing is said.
pub fn form() -> String {
    let sheet = Sheet::new(FormKind::Form, PARAMS)
        .line("q", "Search for", "")
        .boolean("all", "Return all entries", false)
        .boolean("sinname", "Search in name", true)
        .boolean("sindescription", "Search in description", true)
        .boolean("sinaddress", "Search in address", true)
        .line("min_users", "Minimum number of users", "0")
        .several(
            "types",
            "Service types",
            &["xep-0045"],
            &[("xep-0045", "XEP-0045 Multi-User Chats")],
        )
        .choice(
            "key",
            "Sort results by",
            BY_USERS,
            &[(BY_USERS, "Number of online users"), (BY_ADDRESS, "Address")],
        );
    let mut xml = Writer::new();
    xml.start("search", NS).raw(&sheet.xml());
    xml.end();
    xml.finish_string()
}
