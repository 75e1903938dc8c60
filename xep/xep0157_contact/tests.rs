//! The form as XEP-0157 §3 shows it, from the settings.

use kim_core::module::Entry;
use kim_core::testing::House;

use super::ContactAddresses;
use crate::rfc6121_im::Im;
use crate::xep0004_forms::DataForms;
use crate::xep0030_disco::Disco;
use crate::xep0359_ids::StanzaIds;

const MODULES: &[Entry] = &[
    Entry::of::<StanzaIds>(),
    Entry::of::<Im>(),
    Entry::of::<crate::xep0059_rsm::ResultSets>(),
    Entry::of::<Disco>(),
    Entry::of::<DataForms>(),
    Entry::of::<ContactAddresses>(),
];
const QUESTION: &str =
    "<iq id='1' to='localhost' type='get'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>";

#[tokio::test]
async fn roles_with_addresses_are_shown() {
    let settings = "[contact]\nabuse = [\"mailto:abuse@shakespeare.lit\", \"xmpp:abuse@shakespeare.lit\"]\n\
                    status = [\"https://status.shakespeare.lit/?a&b\"]\n";
    let house = House::configured(MODULES, settings).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    alice
        .ask(
            QUESTION,
            "<iq id='1' type='result'><query xmlns='http://jabber.org/protocol/disco#info'>...
               <x xmlns='jabber:x:data' type='result'>
                 <field var='FORM_TYPE' type='hidden'><value>http://jabber.org/network/serverinfo</value></field>
                 <field var='abuse-addresses' type='list-multi'>
                   <value>mailto:abuse@shakespeare.lit</value>
                   <value>xmpp:abuse@shakespeare.lit</value>
                 </field>
                 <field var='status-addresses' type='list-multi'><value>https://status.shakespeare.lit/?a&amp;b</value></field>
               </x></query></iq>",
        )
        .await;
}

#[tokio::test]
async fn without_addresses_there_is_no_form() {
    let house = House::new(MODULES).await;
    let mut alice = house.connect("alice@localhost/phone").await;
    alice.send(QUESTION).await;
    assert!(!alice.next().unwrap().contains("jabber:x:data"));
}
