//! Stories of archives, told in memory; each names its section.

mod disk;
mod paging;
mod prefs;
mod resend;
mod storing;
mod tombstones;
mod traces;

use kim_core::module::Entry;
use kim_core::testing::{Client, House};

use super::Mam;
use crate::rfc6121_im::Im;
use crate::xep0004_forms::DataForms;
use crate::xep0030_disco::Disco;
use crate::xep0059_rsm::ResultSets;
use crate::xep0191_blocking::Blocking;
use crate::xep0359_ids::StanzaIds;

const MODULES: &[Entry] = &[
    Entry::of::<StanzaIds>(),
    Entry::of::<Im>(),
    Entry::of::<ResultSets>(),
    Entry::of::<Disco>(),
    Entry::of::<Blocking>(),
    Entry::of::<DataForms>(),
    Entry::of::<Mam>(),
];

async fn house() -> House {
    House::new(MODULES).await
}

/// What an archive gave for a query.
#[derive(Debug, Default)]
struct Answer {
    /// The ids of the results.
    ids: Vec<String>,
    /// The results as they came.
    results: Vec<String>,
    /// The last stanza: `<fin/>` or an error.
    fin: String,
}

impl Answer {
    fn is_complete(&self) -> bool {
        self.fin.contains("complete='true'")
    }

    /// The bodies of the results, in the order in which they came.
    fn bodies(&self) -> Vec<&str> {
        self.results
            .iter()
            .map(|result| {
                result
                    .split("<body>")
                    .nth(1)
                    .map_or("", |rest| rest.split("</body>").next().unwrap())
            })
            .collect()
    }
}

/// Asks with this inside the `<query/>`, and reads all that comes.
async fn ask(client: &mut Client, inner: &str) -> Answer {
    client.skip();
    let query =
        format!("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2' queryid='f27'>{inner}</query></iq>");
    client.send(&query).await;
    let mut answer = Answer::default();
    while let Some(stanza) = client.next() {
        if stanza.starts_with("<iq") {
            answer.fin = stanza;
        } else {
            assert!(
                stanza.contains("<result xmlns='urn:xmpp:mam:2' queryid='f27' id='"),
                "{stanza}"
            );
            let id = stanza.split(" id='").nth(1).unwrap().split('\'').next().unwrap();
            answer.ids.push(id.to_owned());
            answer.results.push(stanza);
        }
    }
    assert!(!answer.fin.is_empty(), "no answer to {query}");
    answer
}

/// A form with these fields.
fn form(fields: &[(&str, &str)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(var, value)| format!("<field var='{var}'><value>{value}</value></field>"))
        .collect();
    format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>\
         <value>urn:xmpp:mam:2</value></field>{fields}</x>"
    )
}

/// A page.
fn set(inner: &str) -> String {
    format!("<set xmlns='http://jabber.org/protocol/rsm'>{inner}</set>")
}

/// Sends a chat message.
async fn say(client: &mut Client, to: &str, body: &str) {
    client
        .send(&format!(
            "<message to='{to}' type='chat'><body>{body}</body></message>"
        ))
        .await;
}
