//! Who plays in the tests of accounts' nodes: clients that want to hear of nodes, contacts, guests; and how they are asked.

use kim_core::testing::{Client, House};
use kim_core::wire::Element;

use crate::MODULES;

/// A house with every module. What stands in for keys in these tests is none, so nobody looks at them.
pub async fn house() -> House {
    House::configured(MODULES, "[xep0384_omemo]\npolicy = \"off\"\n").await
}

/// A client that is available and wants to hear of these nodes. What came so far is read away.
pub async fn wanting(house: &House, jid: &str, nodes: &[&str]) -> Client {
    let mut client = house.connect(jid).await;
    client
        .send("<iq id='roster' type='get'><query xmlns='jabber:iq:roster'/></iq>")
        .await;
    client.skip();
    appear(&mut client, nodes).await;
    client
}

/// The client's initial presence, and its answer to the question what it wants.
pub async fn appear(client: &mut Client, nodes: &[&str]) {
    // A format without a hash is believed for this session alone.
    let ver = format!("{}{}", nodes.join(","), client.session.jid);
    let c = format!("<c xmlns='http://jabber.org/protocol/caps' node='urn:client' ver='{ver}'/>");
    client.send(&format!("<presence>{c}</presence>")).await;
    let question = std::iter::from_fn(|| client.next())
        .find(|xml| xml.contains("disco#info"))
        .expect("a question");
    let id = Element::parse(&question)
        .unwrap()
        .attr("id")
        .unwrap()
        .into_owned();
    let features: String = nodes
        .iter()
        .map(|node| format!("<feature var='{node}+notify'/>"))
        .collect();
    let query = format!(
        "<query xmlns='http://jabber.org/protocol/disco#info'><identity category='client' type='pc'/>{features}</query>"
    );
    client
        .send(&format!(
            "<iq id='{id}' to='localhost' type='result'>{query}</iq>"
        ))
        .await;
}

/// Both see each other's presence. What they got of it is read away.
pub async fn befriend(a: &mut Client, b: &mut Client) {
    let (to_a, to_b) = (a.session.account.clone(), b.session.account.clone());
    a.send(&format!("<presence to='{to_b}' type='subscribe'/>")).await;
    b.send(&format!("<presence to='{to_a}' type='subscribed'/>"))
        .await;
    b.send(&format!("<presence to='{to_a}' type='subscribe'/>")).await;
    a.send(&format!("<presence to='{to_b}' type='subscribed'/>"))
        .await;
    a.skip();
    b.skip();
}

/// Asks and gives the answer, whatever else comes before it.
pub async fn ask(client: &mut Client, to: &str, kind: &str, payload: &str) -> String {
    let to = if to.is_empty() {
        String::new()
    } else {
        format!(" to='{to}'")
    };
    client
        .send(&format!("<iq id='ask'{to} type='{kind}'>{payload}</iq>"))
        .await;
    let mut answer = String::new();
    while let Some(xml) = client.next() {
        if xml.starts_with("<iq") && xml.contains("id='ask'") {
            answer = xml;
        }
    }
    answer
}

/// The same for the namespace of requests.
pub async fn pubsub(client: &mut Client, to: &str, kind: &str, inner: &str) -> String {
    let payload = format!("<pubsub xmlns='http://jabber.org/protocol/pubsub'>{inner}</pubsub>");
    ask(client, to, kind, &payload).await
}

/// The same for the namespace of owners.
pub async fn owner(client: &mut Client, to: &str, kind: &str, inner: &str) -> String {
    let payload = format!("<pubsub xmlns='http://jabber.org/protocol/pubsub#owner'>{inner}</pubsub>");
    ask(client, to, kind, &payload).await
}

/// The publish-options with these fields.
pub fn options(fields: &[(&str, &str)]) -> String {
    let field =
        |(var, value): &(&str, &str)| format!("<field var='pubsub#{var}'><value>{value}</value></field>");
    let fields: String = fields.iter().map(field).collect();
    format!(
        "<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'>\
         <value>http://jabber.org/protocol/pubsub#publish-options</value></field>{fields}</x></publish-options>"
    )
}

/// Publishes an item with a small payload.
pub async fn publish(client: &mut Client, to: &str, node: &str, id: &str, fields: &[(&str, &str)]) -> String {
    let id = if id.is_empty() {
        String::new()
    } else {
        format!(" id='{id}'")
    };
    let options = if fields.is_empty() {
        String::new()
    } else {
        options(fields)
    };
    let item = match node {
        // Nodes whose payload the server knows.
        "urn:xmpp:bookmarks:1" => {
            "<item id='play@conference.localhost'><conference xmlns='urn:xmpp:bookmarks:1'/></item>"
                .to_owned()
        }
        _ => format!("<item{id}><note xmlns='urn:note'>hello</note></item>"),
    };
    pubsub(
        client,
        to,
        "set",
        &format!("<publish node='{node}'>{item}</publish>{options}"),
    )
    .await
}

/// What an answer came to: `result`, or the condition and, behind a `/`, the one of the specification's own.
pub fn outcome(answer: &str) -> String {
    if answer.contains("type='result'") {
        return "result".to_owned();
    }
    let element = Element::parse(answer).unwrap_or_else(|_| panic!("no answer: {answer}"));
    let error = element
        .children()
        .find(|child| child.name() == "error")
        .expect(answer);
    let names: Vec<&str> = error
        .children()
        .filter(|child| child.name() != "text")
        .map(|child| child.name())
        .collect();
    names.join("/")
}

/// Whether a notification of the node came; everything else is read away.
pub fn was_told(client: &mut Client, node: &str) -> usize {
    let mut told = 0;
    while let Some(xml) = client.next() {
        if xml.contains("pubsub#event") && xml.contains(&format!("node='{node}'")) {
            told += 1;
        }
    }
    told
}
