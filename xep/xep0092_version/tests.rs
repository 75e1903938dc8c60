//! XEP-0092 §5: the operating system is told only if the operator says so.

use kim_core::module::Entry;
use kim_core::testing::House;

use super::Version;

#[tokio::test]
async fn the_operating_system_is_told_if_the_operator_wants_it() {
    let house = House::configured(&[Entry::of::<Version>()], "[xep0092_version]\ntell_os = true\n").await;
    let mut alice = house.connect("alice@localhost/phone").await;
    alice
        .ask(
            "<iq id='v' to='localhost' type='get'><query xmlns='jabber:iq:version'/></iq>",
            "<iq id='v' type='result'><query xmlns='jabber:iq:version'><name>kIM</name><version>*</version><os>*</os></query></iq>",
        )
        .await;
}
